#include "reward/answer_match.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "reward/answer_text.h"
#include "reward/registry.h"

namespace ziprl {
namespace {

absl::Status RequireAnswer(const Prompt& prompt) {
  if (!absl::StripAsciiWhitespace(prompt.answer).empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("row %d has no answer to judge by", prompt.row + 1));
}

// Latex dressing that does not change an answer: $...$, \text{...}.
std::string Undress(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  while (text.size() >= 2 && text.front() == '$' && text.back() == '$') {
    text = absl::StripAsciiWhitespace(text.substr(1, text.size() - 2));
  }
  if (absl::ConsumePrefix(&text, "\\text{")) absl::ConsumeSuffix(&text, "}");
  return NormalizeAnswer(text);
}

bool SameAnswer(absl::string_view given, absl::string_view truth) {
  const std::string a = Undress(given), b = Undress(truth);
  if (a == b) return true;
  const std::optional<double> x = ParseNumber(a), y = ParseNumber(b);
  return x && y && NumbersAgree(*x, *y, 1e-6, 0.0);
}

}  // namespace

std::optional<std::string> LastBoxed(absl::string_view text) {
  for (size_t at = text.rfind("\\boxed{"); at != absl::string_view::npos;
       at = at == 0 ? absl::string_view::npos : text.rfind("\\boxed{", at - 1)) {
    const size_t begin = at + 7;
    int depth = 1;
    for (size_t i = begin; i < text.size(); ++i) {
      if (text[i] == '{') ++depth;
      if (text[i] == '}' && --depth == 0) return std::string(text.substr(begin, i - begin));
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeExactMatch(const std::string& argument) {
  if (!argument.empty() && argument != "strict") {
    return absl::InvalidArgumentError(absl::StrFormat(
        "reward function 'exact_match': argument '%s', allowed is 'strict'", argument));
  }
  const bool strict = argument == "strict";
  return WrapReward(
      "exact_match",
      [strict](const Prompt& prompt, const Completion& completion) -> absl::StatusOr<double> {
        if (absl::Status status = RequireAnswer(prompt); !status.ok()) return status;
        if (strict) return completion.text == prompt.answer ? 1.0 : 0.0;
        return NormalizeAnswer(completion.text) == NormalizeAnswer(prompt.answer) ? 1.0 : 0.0;
      });
}

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeContains(const std::string&) {
  return WrapReward(
      "contains", [](const Prompt& prompt, const Completion& completion) -> absl::StatusOr<double> {
        if (absl::Status status = RequireAnswer(prompt); !status.ok()) return status;
        return ContainsWords(completion.text, prompt.answer) ? 1.0 : 0.0;
      });
}

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeBoxed(const std::string&) {
  return WrapReward(
      "boxed", [](const Prompt& prompt, const Completion& completion) -> absl::StatusOr<double> {
        if (absl::Status status = RequireAnswer(prompt); !status.ok()) return status;
        const std::optional<std::string> boxed = LastBoxed(completion.text);
        return boxed && SameAnswer(*boxed, prompt.answer) ? 1.0 : 0.0;
      });
}

}  // namespace ziprl
