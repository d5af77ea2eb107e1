// Log-probs of 2,048 response tokens over Qwen's whole vocabulary and their gradient, block by
// block, against eager log_softmax of LibTorch on all logits. fp32, hidden size 2,048, every core
// on both sides. logprob_152k_memory: ours beyond inputs and gradients; rival is the size of the
// logits.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <thread>

#include "model/autograd_ops.h"
#include "tests/bench/peak_memory.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr int64_t kVocab = 151936, kTokens = 2048, kHidden = 2048;
constexpr int kRounds = 5;
constexpr double kMiB = 1 << 20;

struct Head {
  at::Tensor hidden, weight, target;
};

Head RandomHead() {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
  Head head;
  head.hidden = at::randn({kTokens, kHidden}, options).requires_grad_(true);
  head.weight = at::randn({kVocab, kHidden}, options).mul_(0.02).requires_grad_(true);
  head.target = at::randint(kVocab, {kTokens}, options.dtype(at::kLong));
  return head;
}

// Gradients of the sum, which are let go of again.
void Backward(const Head& head, const at::Tensor& logprob) {
  torch::autograd::grad({logprob.sum()}, {head.hidden, head.weight});
}

void Ours(const Head& head) {
  Backward(head, TokenLogprob(head.hidden, head.weight, head.target.to(at::kInt), at::Tensor(), 1.0,
                              false, Compute())
                     .logprob);
}

void Eager(const Head& head) {
  const at::Tensor logits = at::matmul(head.hidden, head.weight.t());
  Backward(head, at::log_softmax(logits, -1).gather(-1, head.target.unsqueeze(-1)));
}

void Run() {
  const Head head = RandomHead();
  std::vector<double> ours, rival, ratios, extra;
  const double gradients = 4.0 * kHidden * (kTokens + kVocab);
  for (int round = 0; round < kRounds; ++round) {
    const auto before = static_cast<double>(ResetPeak());
    ours.push_back(Seconds([&] { Ours(head); }));
    extra.push_back((static_cast<double>(PeakBytes()) - before - gradients) / kMiB);
    rival.push_back(Seconds([&] { Eager(head); }));
    ratios.push_back(rival.back() / ours.back());
  }
  Report({"logprob_152k", Median(ours), Median(rival), Median(ratios), 0.9, std::nullopt, "s"});
  const double logits = 4.0 * kTokens * kVocab / kMiB;
  Report({"logprob_152k_memory", Median(extra), logits, logits / Median(extra), 8, std::nullopt,
          "MiB"});
}

}  // namespace
}  // namespace ziprl

int main() {
  at::set_num_threads(static_cast<int>(std::thread::hardware_concurrency()));
  ziprl::Run();
}
