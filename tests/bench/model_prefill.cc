// A whole model's prefill of image prompts (tower and decoder, to the first sampled token) of which
// about a quarter is kept, against the dense one. 1.26 M parameters, fp32, one thread. The limit is
// Amdahl's: the decoder's attention, measured alone, gets faster by 1 / (r^2 + probes / n), the
// rest stays.
#include <ATen/ATen.h>

#include "absl/strings/str_format.h"
#include "model/autograd_ops.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr int kRounds = 5, kProbes = 128, kImageTokens = 1024;

// Seconds of dense causal attention over n tokens in all layers but the last, which needs one row.
double AttentionSeconds(const Architecture& arch, int n) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
  const at::Tensor q = at::randn({n, arch.heads, arch.head_dim}, options);
  const at::Tensor k = at::randn({n, arch.kv_heads, arch.head_dim}, options);
  const Visibility visibility = FullVisibility({n}, true, at::kCPU);
  return (arch.layers - 1) * Seconds([&] { RaggedAttention(q, k, k, visibility); });
}

void Measure(const std::shared_ptr<Model>& model, int images) {
  const Prompt prompt = RandomPrompt(*model, images, 64, 1);
  const int n = static_cast<int>(prompt.token_ids.size());
  const std::vector<GroupLease> dense = {LeaseOf(*model, prompt, 1, 1)};
  const std::vector<GroupLease> sparse = {
      LeaseOf(*model, prompt, 1, QuarterThreshold(model, prompt))};
  std::vector<double> ours, rival, ratios, shares;
  double kept = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Generated with = Generate(model, sparse, 1);
    ours.push_back(with.seconds);
    kept = with.kept_ratio;
    rival.push_back(Generate(model, dense, 1).seconds);
    ratios.push_back(rival.back() / ours.back());
    shares.push_back(AttentionSeconds(model->arch, n) / rival.back());
  }
  const double share = Median(shares);
  const double limit = 1 / (1 - share + share * (kept * kept + 1.0 * kProbes / n));
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
