// The model's parameters: one flat, ordered list name -> tensor. Sharding, broadcast, checkpoint,
// export and the optimizer are loops over this list. Holds torch tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "model/architecture.h"
#include "model/device.h"

namespace ziprl {

class ParamStore {
 public:
  // Appends; names are unique (a programmer error otherwise).
  void Add(std::string name, at::Tensor tensor);

  size_t size() const { return tensors_.size(); }
  const std::string& name(size_t i) const { return names_[i]; }
  const at::Tensor& tensor(size_t i) const { return tensors_[i]; }
  at::Tensor& tensor(size_t i) { return tensors_[i]; }

  // The named tensor; aborts with the name if there is none (a programmer error: ParamSpecs checked
  // it).
  const at::Tensor& Get(const std::string& name) const;
  int Find(const std::string& name) const;  // -1 if absent
  int64_t NumElements() const;

 private:
  std::vector<std::string> names_;
  std::vector<at::Tensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

// Random parameters as transformers initialises them: normal(0, std) weights, zero biases, unit
// norms; counter-based in (seed, parameter, element), so equal on every machine.
ParamStore InitParams(const Architecture& arch, uint64_t seed, double std, const Device& device);

}  // namespace ziprl
