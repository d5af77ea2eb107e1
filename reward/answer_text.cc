#include "reward/answer_text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace ziprl {
namespace {

// A minus sign keeps its meaning at the front of a number, so it is no outer punctuation.
bool IsOuterPunctuation(char c) {
  return absl::string_view(".,;:!?\"'`*").find(c) != absl::string_view::npos;
}

bool IsWordByte(char c) { return absl::ascii_isalnum(c) || static_cast<unsigned char>(c) >= 0x80; }

bool IsNumberByte(char c) { return absl::ascii_isdigit(c) || c == '.' || c == ','; }

std::optional<double> ParseDecimal(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.empty()) return std::nullopt;
  for (char c : text) {  // not "inf", "nan" or hexadecimal
    if (!IsNumberByte(c) && c != '-' && c != '+' && c != 'e' && c != 'E') return std::nullopt;
  }
  double value = 0.0;
  if (!absl::SimpleAtod(absl::StrReplaceAll(text, {{",", ""}}), &value) || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

// End of the longest run from `begin` that could be a number: digits, separators, one exponent.
size_t NumberEnd(absl::string_view text, size_t begin) {
  size_t end = begin;
  if (end < text.size() && (text[end] == '-' || text[end] == '+')) ++end;
  while (end < text.size() && IsNumberByte(text[end])) ++end;
  if (end + 1 < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    size_t exponent = end + 1;
    if (text[exponent] == '-' || text[exponent] == '+') ++exponent;
    const size_t digits = exponent;
    while (exponent < text.size() && absl::ascii_isdigit(text[exponent])) ++exponent;
    if (exponent > digits) end = exponent;
  }
  while (end > begin && (text[end - 1] == '.' || text[end - 1] == ',')) --end;  // sentence's end
  return end;
}

bool StartsNumber(absl::string_view text, size_t i) {
  if (absl::ascii_isdigit(text[i])) return true;
  return text[i] == '.' && i + 1 < text.size() && absl::ascii_isdigit(text[i + 1]);
}

}  // namespace

std::string NormalizeAnswer(absl::string_view text) {
  std::string out(text);
  absl::AsciiStrToLower(&out);
  absl::RemoveExtraAsciiWhitespace(&out);
  size_t begin = 0, end = out.size();
  while (begin < end && (IsOuterPunctuation(out[begin]) && out[begin] != '.')) ++begin;
  while (end > begin && IsOuterPunctuation(out[end - 1])) --end;
  return std::string(absl::StripAsciiWhitespace(absl::string_view(out).substr(begin, end - begin)));
}

bool ContainsWords(absl::string_view text, absl::string_view words) {
  const std::string hay = NormalizeAnswer(text), needle = NormalizeAnswer(words);
  if (needle.empty()) return false;
  for (size_t at = hay.find(needle); at != std::string::npos; at = hay.find(needle, at + 1)) {
    const size_t after = at + needle.size();
    const bool left = at == 0 || !IsWordByte(hay[at - 1]) || !IsWordByte(needle.front());
    const bool right = after == hay.size() || !IsWordByte(hay[after]) || !IsWordByte(needle.back());
    if (left && right) return true;
  }
  return false;
}

std::optional<double> ParseNumber(absl::string_view text) {
  const std::string plain = absl::StrReplaceAll(text, {{"\u2212", "-"}});
  absl::string_view rest = absl::StripAsciiWhitespace(plain);
  absl::ConsumePrefix(&rest, "$");
  absl::ConsumeSuffix(&rest, "%");
  const size_t slash = rest.find('/');
  if (slash == absl::string_view::npos) return ParseDecimal(rest);
  const std::optional<double> above = ParseDecimal(rest.substr(0, slash));
  const std::optional<double> below = ParseDecimal(rest.substr(slash + 1));
  if (!above || !below || *below == 0.0) return std::nullopt;
  return *above / *below;
}

std::optional<double> LastNumber(absl::string_view text) {
  const std::string plain = absl::StrReplaceAll(text, {{"\u2212", "-"}});
  const absl::string_view view = plain;
  std::optional<double> last;
  for (size_t i = 0; i < view.size();) {
    if (!StartsNumber(view, i)) {
      ++i;
      continue;
    }
    size_t begin = i;
    const bool sign = i > 0 && (view[i - 1] == '-' || view[i - 1] == '+');
    if (sign && (i == 1 || !IsWordByte(view[i - 2]))) begin = i - 1;  // "3-4" holds no -4
    size_t end = NumberEnd(view, begin);
    if (end + 1 < view.size() && view[end] == '/' && StartsNumber(view, end + 1)) {
      const size_t below = NumberEnd(view, end + 1);
      if (ParseNumber(view.substr(begin, below - begin))) end = below;
    }
    if (std::optional<double> value = ParseNumber(view.substr(begin, end - begin))) last = value;
    i = std::max(end, i + 1);
  }
  return last;
}

bool NumbersAgree(double value, double truth, double relative, double absolute) {
  return std::abs(value - truth) <= std::max(relative * std::abs(truth), absolute);
}

}  // namespace ziprl
