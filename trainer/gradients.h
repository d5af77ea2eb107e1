// One worker's view of the parameters and what it has summed of their gradients.
#pragma once

#include <vector>

#include "model/params.h"
#include "model/tensor.h"

namespace ziprl {

// Gradients by parameter index, fp32; undefined until something was added. Not thread-safe.
class GradientSum {
 public:
  explicit GradientSum(size_t size) : sums_(size) {}

  // Adds a gradient; undefined ones are zero.
  void Add(int index, const at::Tensor& grad);
  // Adds rows `grad` [K, C] to rows `rows` (int64 [K], repetition allowed) of a parameter like
  // `like`.
  void AddRows(int index, const at::Tensor& like, const at::Tensor& rows, const at::Tensor& grad);
  // Adds everything of `other`.
  void AddAll(const GradientSum& other);
  void Clear();
  // The sum of a parameter, which is undefined from then on.
  at::Tensor Take(int index);

  size_t size() const { return sums_.size(); }
  const at::Tensor& sum(size_t i) const { return sums_[i]; }

 private:
  std::vector<at::Tensor> sums_;
};

// The same tensors as autograd leaves of their own, sharing storage: what a worker differentiates.
ParamStore MakeLeaves(const ParamStore& params);

// Indices of the vision tower's parameters.
std::vector<int> VisionParamIndices(const ParamStore& params);

}  // namespace ziprl
