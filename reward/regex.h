// A compiled regular expression (PCRE2, UTF-8) with a bound on backtracking, so that no pattern can
// hang a run. Thread-safe after construction.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ziprl {

class Regex {
 public:
  // InvalidArgument with the place and the reason when the pattern does not compile. '.' matches
  // line ends too.
  static absl::StatusOr<std::unique_ptr<Regex>> Compile(const std::string& pattern);
  ~Regex();

  // Whether the whole text matches. ResourceExhausted when the bound on backtracking is reached.
  absl::StatusOr<bool> FullMatch(absl::string_view text) const;

 private:
  explicit Regex(void* code) : code_(code) {}
  void* code_;  // pcre2_code
};

}  // namespace ziprl
