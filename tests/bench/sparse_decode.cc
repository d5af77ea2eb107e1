// A decode step over caches of which about a quarter of the prompt is kept against the dense ones:
// 16 prompts of 4,096 tokens, 256 steps. 1.26 M parameters, so that caches are what is read; fp32,
// one thread. The limit is the ratio of the bytes of caches that a step reads; the 5 MB of weights,
// the same for both, stay in the processor's cache.
#include "tests/bench/bench_model.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr int kBatch = 16, kPrompt = 4096, kSteps = 256, kRounds = 5;

struct Step {
  double seconds = 0, kept_ratio = 1;
};

// By difference, so that the prompts' own cost is left out.
Step Measure(const std::shared_ptr<Model>& model, const std::vector<GroupLease>& leases) {
  const Generated prompts = Generate(model, leases, 1);
  const Generated all = Generate(model, leases, 1 + kSteps);
  return {(all.seconds - prompts.seconds) / kSteps, all.kept_ratio};
}

double CacheEntries(double kept_ratio) { return kept_ratio * kPrompt + 0.5 * kSteps; }

std::vector<GroupLease> Leases(const Model& model, double p) {
  std::vector<GroupLease> leases;
  for (int i = 1; i <= kBatch; ++i) {
    leases.push_back(LeaseOf(model, RandomPrompt(model, 0, kPrompt, i), 1, p));
  }
  return leases;
}

void Run() {
  const auto model = RandomModel("tiny");
  const double p = QuarterThreshold(model, RandomPrompt(*model, 0, kPrompt, 1));
  const std::vector<GroupLease> dense = Leases(*model, 1), sparse = Leases(*model, p);
  std::vector<double> ours, rival, ratios;
  double kept = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Step with = Measure(model, sparse);
    ours.push_back(with.seconds);
    kept = with.kept_ratio;
    rival.push_back(Measure(model, dense).seconds);
    ratios.push_back(rival.back() / ours.back());
  }
  const double limit = CacheEntries(1) / CacheEntries(kept);
  Report({"sparse_decode", Median(ours), Median(rival), Median(ratios), 0.8 * limit, limit, "s"});
}

}  // namespace
}  // namespace ziprl

int main() { ziprl::Run(); }
