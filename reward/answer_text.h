// What the reward functions that judge answers share: text made comparable, and numbers in text.
// Pure.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace ziprl {

// Lower case (ASCII), white space collapsed to single blanks and trimmed, and the punctuation and
// quotes around the whole removed: "  The  Red.\n" -> "the red".
std::string NormalizeAnswer(absl::string_view text);

// Whether `words` occurs in `text`, both normalised, not as a part of a longer word.
bool ContainsWords(absl::string_view text, absl::string_view words);

// The number that is the whole text: sign, thousands separators, decimals, exponent, "a/b", and one
// "$" before or "%" after it. nullopt if it is none or not finite.
std::optional<double> ParseNumber(absl::string_view text);

// The last number in the text, nullopt if it holds none.
std::optional<double> LastNumber(absl::string_view text);

// |value - truth| <= max(relative * |truth|, absolute).
bool NumbersAgree(double value, double truth, double relative, double absolute);

}  // namespace ziprl
