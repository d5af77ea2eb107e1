// Text as the benchmarks' Python scripts treat it: their lower case, white space and numbers. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ziprl {

std::string Lowercase(absl::string_view text);                      // by code point
absl::string_view Trim(absl::string_view text);                     // white space of Unicode
std::vector<absl::string_view> SplitWords(absl::string_view text);  // at white space
std::string WithoutThinking(const std::string& response);  // what follows the last "</think>"
int64_t CodePoints(absl::string_view text);
bool HasChinese(absl::string_view text);  // a character of U+4E00...U+9FFF

// What float(text) gives: white space around, digits with single underscores, exponent, inf, nan.
std::optional<double> PythonFloat(absl::string_view text);

// A list of texts and numbers as JSON or Python writes it: ["a", 'it\'s', 3]. InvalidArgument names
// the character that does not fit.
absl::StatusOr<std::vector<std::string>> ParseTextList(absl::string_view text);

}  // namespace ziprl
