#include "reward/numeric.h"

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "configs/base/status_macros.h"
#include "reward/answer_text.h"
#include "reward/registry.h"

namespace ziprl {
namespace {

struct Tolerance {
  double relative = 1e-6, absolute = 0.0;
};

absl::StatusOr<Tolerance> ParseTolerance(const std::string& argument) {
  Tolerance tolerance;
  if (argument.empty()) return tolerance;
  if (argument.find("rel=") == std::string::npos) tolerance.relative = 0.0;
  for (absl::string_view part : absl::StrSplit(argument, ',')) {
    double* target = &tolerance.relative;
    if (absl::ConsumePrefix(&part, "abs=")) {
      target = &tolerance.absolute;
    } else {
      absl::ConsumePrefix(&part, "rel=");
    }
    if (!absl::SimpleAtod(part, target) || !(*target >= 0.0 && *target < 1e300)) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "reward function 'numeric': tolerance '%s', allowed are numbers >= 0 as 'R', 'rel=R', "
          "'abs=A' or 'rel=R,abs=A'",
          argument));
    }
  }
  return tolerance;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeNumeric(const std::string& argument) {
  ZIPRL_ASSIGN_OR_RETURN(const Tolerance tolerance, ParseTolerance(argument));
  return WrapReward(
      "numeric",
      [tolerance](const Prompt& prompt, const Completion& completion) -> absl::StatusOr<double> {
        std::optional<double> truth = ParseNumber(prompt.answer);
        if (!truth) {
          return absl::InvalidArgumentError(
              absl::StrFormat("row %d: answer '%s' is no number", prompt.row + 1, prompt.answer));
        }
        const std::optional<double> given = LastNumber(completion.text);
        if (!given) return 0.0;
        return NumbersAgree(*given, *truth, tolerance.relative, tolerance.absolute) ? 1.0 : 0.0;
      });
}

}  // namespace ziprl
