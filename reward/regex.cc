#include "reward/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"

namespace ziprl {
namespace {

constexpr uint32_t kMatchLimit = 1000000;  // backtracking steps
constexpr uint32_t kHeapLimitKiB = 64 << 10;

std::string ErrorText(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Regex>> Regex::Compile(const std::string& pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t options =
      PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   options, &error, &offset, nullptr);
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrFormat("regular expression '%s' at character %d: %s",
                                                      pattern, offset, ErrorText(error)));
  }
  return std::unique_ptr<Regex>(new Regex(code));
}

Regex::~Regex() { pcre2_code_free(static_cast<pcre2_code*>(code_)); }

absl::StatusOr<bool> Regex::FullMatch(absl::string_view text) const {
  const auto* code = static_cast<const pcre2_code*>(code_);
  pcre2_match_context* limits = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(limits, kMatchLimit);
  pcre2_set_heap_limit(limits, kHeapLimitKiB);
  pcre2_match_data* data = pcre2_match_data_create_from_pattern(code, nullptr);
  const int rc = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                             PCRE2_ANCHORED | PCRE2_ENDANCHORED, data, limits);
  pcre2_match_data_free(data);
  pcre2_match_context_free(limits);
  if (rc >= 0) return true;
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  return absl::ResourceExhaustedError(absl::StrFormat(
      "regular expression on a response of %d bytes: %s", text.size(), ErrorText(rc)));
}

}  // namespace ziprl
