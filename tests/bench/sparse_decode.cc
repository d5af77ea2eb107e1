// A decode step over caches of which about a quarter of the prompt is kept against the dense ones:
// 16 prompts of 4,096 tokens, 256 steps. 1.26 M parameters, so that caches are what is read; fp32,
// one thread. The limit is the ratio of the bytes that a step reads, weights and both caches.
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

double BytesOfStep(const Model& model, double kept_ratio) {
  int64_t weights = 0;
  for (size_t i = 0; i < model.params.size(); ++i) {
    if (!IsVisionParam(model.params.name(i))) weights += model.params.tensor(i).numel();
  }
  const Architecture& arch = model.arch;
  const double entries = kept_ratio * kPrompt + 0.5 * kSteps;
  const double entry = 2.0 * arch.layers * arch.kv_heads * arch.head_dim;
  return 4 * (static_cast<double>(weights) + kBatch * entries * entry);
}

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
  const double limit = BytesOfStep(*model, 1) / BytesOfStep(*model, kept);
  Report({"sparse_decode", Median(ours), Median(rival), Median(ratios), 0.8 * limit, limit, "s"});
}

}  // namespace
}  // namespace ziprl

int main() { ziprl::Run(); }
