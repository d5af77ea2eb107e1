// The prompt of a group of 8 samples at one threshold against 8 prompts of their own: an image of
// 1,024 tokens and 64 of text, up to the first sampled token. 94 M parameters, fp32, one thread.
#include "tests/bench/bench_model.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr int kGroup = 8, kRounds = 5;
constexpr double kThreshold = 0.9;

void Run() {
  const auto model = RandomModel("100m");
  std::vector<GroupLease> apart;
  for (int i = 1; i <= kGroup; ++i) {
    apart.push_back(LeaseOf(*model, RandomPrompt(*model, 1, 64, i), 1, kThreshold));
  }
  const std::vector<GroupLease> group = {LeaseOf(*model, apart[0].prompt, kGroup, kThreshold)};
  Generate(model, group, 1);  // warms up
  std::vector<double> ours, rival, ratios;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(Generate(model, group, 1).seconds);
    rival.push_back(Generate(model, apart, 1).seconds);
    ratios.push_back(rival.back() / ours.back());
  }
  Report({"group_prefill", Median(ours), Median(rival), Median(ratios), 7.5, kGroup, "s"});
}

}  // namespace
}  // namespace ziprl

int main() { ziprl::Run(); }
