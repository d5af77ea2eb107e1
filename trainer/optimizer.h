// AdamW (arXiv 1711.05101) over the parameter list, fp32 master copies where parameters are bf16,
// gradient clipping by global norm. One fixed order of every sum. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "configs/run_config.h"
#include "model/device.h"
#include "model/params.h"
#include "model/tensor.h"

namespace ziprl {

class Optimizer {
 public:
  Optimizer(const OptimConfig& config, const Device& device, int threads);

  // Adds a parameter to be updated in place; lr_scale multiplies the rate. Weight decay is for
  // matrices only: norms and biases (one axis) have none.
  void Add(const std::string& name, const at::Tensor& param, double lr_scale);
  // Adds a run of a parameter's elements, [count], from the flattened `offset` on. `decays`: the
  // parameter is a matrix.
  void AddPart(const std::string& name, int64_t offset, const at::Tensor& part, bool decays);
  // Every parameter of the store but the vision tower's when it is frozen.
  void AddAll(const ParamStore& params, bool freeze_vision);

  size_t size() const { return slots_.size(); }
  const std::string& name(size_t i) const { return slots_[i].name; }
  int64_t updates() const { return updates_; }

  // grads[i] belongs to the i-th added parameter, fp32; undefined = zero. Returns the global norm
  // before clipping; when it is not finite nothing is changed. max_norm 0 = no clipping.
  double Step(const std::vector<at::Tensor>& grads, double lr, double max_norm);
  // The same with a norm that the caller knows: of gradients that are spread over ranks.
  void StepWithNorm(const std::vector<at::Tensor>& grads, double lr, double norm, double max_norm);

  // DIR/optimizer-<rank + 1>-of-<ranks>.safetensors: "exp_avg.<name>", "exp_avg_sq.<name>",
  // "master.<name>"; a part's names end in "@<offset>".
  absl::Status Save(const std::string& dir, int rank, int ranks) const;
  // From the files of any number of ranks. DataLoss names a file or tensor that is missing or does
  // not fit.
  absl::Status Load(const std::string& dir);

  // Of the moments and master copies held here.
  int64_t Bytes() const;

 private:
  struct Slot {
    std::string name;
    int64_t offset = 0;  // of its first element in the flattened parameter
    bool whole = true;
    at::Tensor param;
    at::Tensor master;  // fp32 copy; undefined when param is fp32 itself
    at::Tensor m, v;    // fp32
    double lr_scale = 1.0;
    double weight_decay = 0.0;
  };

  void UpdateSlot(const Slot& slot, const at::Tensor& grad, double lr, double scale);

  OptimConfig config_;
  Device device_;
  int threads_;
  int64_t updates_ = 0;
  std::vector<Slot> slots_;
};

// sqrt of the sum of squares, summed in fp64 in the given order; undefined tensors are zero.
double GlobalNorm(const std::vector<at::Tensor>& grads);

}  // namespace ziprl
