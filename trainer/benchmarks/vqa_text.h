// Answers made comparable as the VQA challenge does: punctuation, articles, number words,
// contractions. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ziprl {

// The punctuation that VQA's scripts know goes: to nothing where it stands beside a blank somewhere
// in the text (or the text holds "1,000"), else to a blank. So do periods that no digit follows
// and, with `period_behind_digit` false, none precedes; the first 32, as published.
std::string StripVqaPunctuation(absl::string_view text, bool period_behind_digit);

// TextVQA's answer processor (EvalAI): lower case, "'s" apart, punctuation as above, "none" and
// "zero" to "ten" as digits, articles left out, contractions with their apostrophes.
std::string NormaliseVqaAnswer(absl::string_view text);

// VQA accuracy against the annotators' answers: for each of them, a third of the others that equal
// the response, at most 1; the mean of these. 0 without answers.
double VqaAccuracy(absl::string_view response, const std::vector<std::string>& answers);

}  // namespace ziprl
