#include "trainer/optimizer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "kernels/adamw.h"
#include "model/safetensors.h"
#include "trainer/optimizer_files.h"

namespace ziprl {
namespace {

std::vector<int64_t> Shape(const at::Tensor& t) { return t.sizes().vec(); }

}  // namespace

double GlobalNorm(const std::vector<at::Tensor>& grads) {
  double sum = 0;
  for (const at::Tensor& grad : grads) {
    if (!grad.defined()) continue;
    const double norm =
        at::linalg_vector_norm(grad, 2, at::OptionalIntArrayRef(), false, at::kDouble)
            .item<double>();
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

Optimizer::Optimizer(const OptimConfig& config, const Device& device, int threads)
    : config_(config), device_(device), threads_(threads) {}

void Optimizer::Add(const std::string& name, const at::Tensor& param, double lr_scale) {
  Slot slot;
  slot.name = name;
  slot.param = param.detach();
  if (param.scalar_type() != at::kFloat) slot.master = slot.param.to(at::kFloat);
  slot.m = at::zeros(param.sizes(), device_.Float());
  slot.v = at::zeros(param.sizes(), device_.Float());
  slot.lr_scale = lr_scale;
  slot.weight_decay = param.dim() > 1 ? config_.weight_decay : 0.0;
  slots_.push_back(std::move(slot));
}

void Optimizer::AddPart(const std::string& name, int64_t offset, const at::Tensor& part,
                        bool decays) {
  Add(name, part, 1.0);
  slots_.back().offset = offset;
  slots_.back().whole = false;
  slots_.back().weight_decay = decays ? config_.weight_decay : 0.0;
}

void Optimizer::AddAll(const ParamStore& params, bool freeze_vision) {
  for (size_t i = 0; i < params.size(); ++i) {
    if (freeze_vision && IsVisionParam(params.name(i))) continue;
    Add(params.name(i), params.tensor(i), 1.0);
  }
}

double Optimizer::Step(const std::vector<at::Tensor>& grads, double lr, double max_norm) {
  const double norm = GlobalNorm(grads);
  if (std::isfinite(norm)) StepWithNorm(grads, lr, norm, max_norm);
  return norm;
}

void Optimizer::StepWithNorm(const std::vector<at::Tensor>& grads, double lr, double norm,
                             double max_norm) {
  ++updates_;
  const double scale = max_norm > 0 && norm > max_norm ? max_norm / (norm + 1e-6) : 1.0;
  ParallelUnits(static_cast<int>(slots_.size()), threads_,
                [&](int i, int) { UpdateSlot(slots_[i], grads[i], lr, scale); });
}

void Optimizer::UpdateSlot(const Slot& slot, const at::Tensor& grad, double lr, double scale) {
  const at::Tensor dense =
      grad.defined() ? grad.contiguous() : at::zeros(slot.m.sizes(), device_.Float());
  kernels::AdamWParams params;
  params.lr = static_cast<float>(lr * slot.lr_scale);
  params.beta1 = static_cast<float>(config_.betas[0]);
  params.beta2 = static_cast<float>(config_.betas[1]);
  params.eps = static_cast<float>(config_.eps);
  params.weight_decay = static_cast<float>(slot.weight_decay);
  params.step = updates_;
  params.grad_scale = static_cast<float>(scale);
  const at::Tensor& target = slot.master.defined() ? slot.master : slot.param;
  kernels::AdamW(device_.backend(), params, target.data_ptr<float>(), dense.data_ptr<float>(),
                 slot.m.data_ptr<float>(), slot.v.data_ptr<float>(), slot.m.numel(),
                 CurrentStream(device_.device));
  if (slot.master.defined()) slot.param.copy_(slot.master);
}

int64_t Optimizer::Bytes() const {
  int64_t bytes = 0;
  for (const Slot& slot : slots_) {
    bytes += static_cast<int64_t>(slot.m.nbytes() + slot.v.nbytes());
    if (slot.master.defined()) bytes += static_cast<int64_t>(slot.master.nbytes());
  }
  return bytes;
}

absl::Status Optimizer::Save(const std::string& dir, int rank, int ranks) const {
  std::vector<at::Tensor> hosts;
  std::vector<TensorView> views;
  const auto add = [&](const char* kind, const Slot& slot, const at::Tensor& tensor) {
    hosts.push_back(tensor.to(at::kCPU).contiguous());
    const at::Tensor& host = hosts.back();
    views.push_back({OptimizerTensorName(kind, slot.name, slot.whole ? -1 : slot.offset), "F32",
                     Shape(host), host.data_ptr(), host.nbytes()});
  };
  for (const Slot& slot : slots_) {
    add("exp_avg", slot, slot.m);
    add("exp_avg_sq", slot, slot.v);
    if (slot.master.defined()) add("master", slot, slot.master);
  }
  return WriteSafetensors(absl::StrCat(dir, "/", OptimizerFileName(rank, ranks)), views,
                          {{"updates", absl::StrCat(updates_)}});
}

absl::Status Optimizer::Load(const std::string& dir) {
  ZIPRL_ASSIGN_OR_RETURN(const OptimizerFiles files, OptimizerFiles::Open(dir));
  const auto read = [&](const char* kind, const Slot& slot, const at::Tensor& target) {
    at::Tensor host = at::empty({target.numel()}, at::TensorOptions().dtype(at::kFloat));
    const absl::Status status =
        files.Read(kind, slot.name, slot.offset, target.numel(), host.data_ptr<float>());
    if (status.ok()) target.copy_(host.view(target.sizes()));
    return status;
  };
  updates_ = files.updates();
  for (Slot& slot : slots_) {
    ZIPRL_RETURN_IF_ERROR(read("exp_avg", slot, slot.m));
    ZIPRL_RETURN_IF_ERROR(read("exp_avg_sq", slot, slot.v));
    if (!slot.master.defined()) continue;
    ZIPRL_RETURN_IF_ERROR(read("master", slot, slot.master));
    slot.param.copy_(slot.master);
  }
  return absl::OkStatus();
}

}  // namespace ziprl
