// A whole model's prefill of image prompts (tower and decoder, to the first sampled token) of which
// about a quarter is kept, against the dense one. 1.26 M parameters, fp32, one thread. The limit is
// Amdahl's: with next to nothing kept the prefill costs what attention has no part in, probes
// included; what dense attention costs beyond that shrinks to its r^2.
#include <ATen/ATen.h>

#include "absl/strings/str_format.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr int kRounds = 5, kImageTokens = 1024;
constexpr double kNextToNothing = 1e-6;  // as a threshold: forced tokens and the heaviest one

void Measure(const std::shared_ptr<Model>& model, int images) {
  const Prompt prompt = RandomPrompt(*model, images, 64, 1);
  const std::vector<GroupLease> dense = {LeaseOf(*model, prompt, 1, 1)};
  const std::vector<GroupLease> sparse = {
      LeaseOf(*model, prompt, 1, QuarterThreshold(model, prompt))};
  const std::vector<GroupLease> none = {LeaseOf(*model, prompt, 1, kNextToNothing)};
  std::vector<double> ours, rival, ratios, shares;
  double kept = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Generated with = Generate(model, sparse, 1);
    ours.push_back(with.seconds);
    kept = with.kept_ratio;
    rival.push_back(Generate(model, dense, 1).seconds);
    ratios.push_back(rival.back() / ours.back());
    shares.push_back(1 - Generate(model, none, 1).seconds / rival.back());
  }
  const double share = Median(shares);
  const double limit = 1 / (1 - share + share * kept * kept);
  const std::string name = absl::StrFormat("model_prefill_n%d", images * kImageTokens);
  Report({name, Median(ours), Median(rival), Median(ratios), 0.9 * limit, limit, "s"});
  Report({name + "_attention", share, std::nullopt, share, std::nullopt, std::nullopt,
          "of the dense time"});
}

}  // namespace
}  // namespace ziprl

int main() {
  const at::NoGradGuard no_grad;
  const auto model = ziprl::RandomModel("tiny");
  for (int images : {4, 16}) ziprl::Measure(model, images);
}
