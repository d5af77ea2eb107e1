// Recipe `budget` (SPARSE_GRPO section 3): a linear head on the mean of the decoder's input
// embeddings over the prompt proposes the threshold p. Kept beside, never inside, the Hugging Face
// model.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/device.h"

namespace ziprl {

inline constexpr std::array<double, 12> kBudgetGrid = {.2, .3,  .4, .5,  .6,  .7,
                                                       .8, .85, .9, .94, .96, .975};
inline constexpr char kBudgetHeadFile[] = "budget_head.safetensors";

struct BudgetHead {
  at::Tensor weight;  // [12, C] fp32
  at::Tensor bias;    // [12] fp32
  bool defined() const { return weight.defined(); }
};

// All zeros: every p of the grid is equally likely.
BudgetHead ZeroBudgetHead(int hidden, const Device& device);

// Features of one prompt: the detached fp32 mean [C] of its input embeddings [n, C].
at::Tensor BudgetFeatures(const at::Tensor& embeddings);

// features [C] or [B, C] -> logits over kBudgetGrid, [12] or [B, 12]. Differentiable in the head.
at::Tensor BudgetLogits(const BudgetHead& head, const at::Tensor& features);

// DIR/budget_head.safetensors out and in. Load: NotFound when the file is absent; a head of another
// shape than [12, hidden] or with non-finite values is an error that names the tensor.
absl::Status SaveBudgetHead(const std::string& dir, const BudgetHead& head);
absl::StatusOr<BudgetHead> LoadBudgetHead(const std::string& dir, int hidden, const Device& device);

}  // namespace ziprl
