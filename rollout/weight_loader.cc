#include "rollout/weight_loader.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/device.h"
#include "model/model.h"

namespace ziprl {
namespace {

struct Target {
  const std::string name;
  const at::Tensor tensor;
  size_t place = 0;  // in the snapshot
};

absl::Status Find(const WeightLayout& layout, Target* target) {
  const WeightTensor* found = layout.Find(target->name);
  if (found == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the learner's weights have no tensor '", target->name, "'"));
  }
  const char* dtype = target->tensor.scalar_type() == at::kBFloat16 ? "BF16" : "F32";
  if (found->dtype != dtype || found->shape != target->tensor.sizes().vec()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", target->name, "' is ", found->dtype, " [",
                     absl::StrJoin(found->shape, ", "), "] at the learner and ", dtype, " [",
                     absl::StrJoin(target->tensor.sizes().vec(), ", "), "] here"));
  }
  target->place = static_cast<size_t>(found - layout.tensors().data());
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadSnapshot(const WeightSnapshot& snapshot, Model& model) {
  std::vector<Target> targets;
  for (size_t i = 0; i < model.params.size(); ++i) {
    targets.push_back({model.params.name(i), model.params.tensor(i)});
  }
  if (model.budget_head.defined()) {
    targets.push_back({"budget_head.weight", model.budget_head.weight});
    targets.push_back({"budget_head.bias", model.budget_head.bias});
  }
  for (Target& target : targets) {
    if (absl::Status status = Find(snapshot.layout(), &target); !status.ok()) return status;
  }
  const at::NoGradGuard no_grad;
  for (const Target& target : targets) {
    const auto bytes = snapshot.tensor(target.place);
    const at::Tensor source = at::from_blob(
        const_cast<char*>(bytes.data()), target.tensor.sizes(),
        at::TensorOptions()
            .dtype(target.tensor.scalar_type())
            .device(snapshot.on_device() ? target.tensor.device() : at::Device(at::kCPU)));
    target.tensor.copy_(source);
  }
  // Whoever gives the snapshot back may get its memory overwritten at once.
  if (snapshot.on_device()) Synchronize(targets[0].tensor.device());
  model.version = snapshot.version();
  return absl::OkStatus();
}

}  // namespace ziprl
