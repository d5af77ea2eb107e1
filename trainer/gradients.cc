#include "trainer/gradients.h"

#include <ATen/ATen.h>

#include <utility>

namespace ziprl {

void GradientSum::Add(int index, const at::Tensor& grad) {
  if (!grad.defined()) return;
  at::Tensor& sum = sums_[index];
  if (sum.defined()) {
    sum.add_(grad);
  } else {
    sum = grad.detach().to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
  }
}

void GradientSum::AddRows(int index, const at::Tensor& like, const at::Tensor& rows,
                          const at::Tensor& grad) {
  at::Tensor& sum = sums_[index];
  if (!sum.defined()) sum = at::zeros(like.sizes(), like.options().dtype(at::kFloat));
  sum.index_add_(0, rows, grad.to(at::kFloat));
}

void GradientSum::AddAll(const GradientSum& other) {
  for (size_t i = 0; i < sums_.size(); ++i) Add(static_cast<int>(i), other.sums_[i]);
}

at::Tensor GradientSum::Take(int index) { return std::exchange(sums_[index], at::Tensor()); }

void GradientSum::Clear() {
  for (at::Tensor& sum : sums_) sum.reset();
}

ParamStore MakeLeaves(const ParamStore& params) {
  ParamStore leaves;
  for (size_t i = 0; i < params.size(); ++i) {
    leaves.Add(params.name(i), params.tensor(i).detach().requires_grad_(true));
  }
  return leaves;
}

std::vector<int> VisionParamIndices(const ParamStore& params) {
  std::vector<int> indices;
  for (size_t i = 0; i < params.size(); ++i) {
    if (IsVisionParam(params.name(i))) indices.push_back(static_cast<int>(i));
  }
  return indices;
}

}  // namespace ziprl
