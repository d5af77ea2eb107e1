#include "trainer/weight_publisher.h"

#include <ATen/ATen.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/model.h"
#include "trainer/unit_runner.h"

namespace ziprl {
namespace {

WeightTensor Describe(const std::string& name, const at::Tensor& tensor) {
  WeightTensor out;
  out.name = name;
  out.dtype = tensor.scalar_type() == at::kBFloat16 ? "BF16" : "F32";
  out.shape = tensor.sizes().vec();
  return out;
}

std::vector<std::pair<std::string, at::Tensor>> Tensors(const Model& model) {
  std::vector<std::pair<std::string, at::Tensor>> out;
  for (size_t i = 0; i < model.params.size(); ++i) {
    out.emplace_back(model.params.name(i), model.params.tensor(i));
  }
  if (model.budget_head.defined()) {
    out.emplace_back("budget_head.weight", model.budget_head.weight);
    out.emplace_back("budget_head.bias", model.budget_head.bias);
  }
  return out;
}

}  // namespace

absl::StatusOr<WeightLayout::Ptr> LayoutOf(const Model& model) {
  std::vector<WeightTensor> tensors;
  for (const auto& [name, tensor] : Tensors(model)) tensors.push_back(Describe(name, tensor));
  return WeightLayout::Pack(std::move(tensors));
}

absl::StatusOr<WeightSnapshot::Ptr> SnapshotOf(const Model& model, const WeightLayout::Ptr& layout,
                                               WeightBufferPool* pool, int threads) {
  ZIPRL_ASSIGN_OR_RETURN(WeightBuilder builder, WeightBuilder::Start(layout, pool));
  ZIPRL_RETURN_IF_ERROR(CatchTorch([&] {
    const auto tensors = Tensors(model);
    for (size_t i = 0; i < tensors.size(); ++i) {
      const at::Tensor host = tensors[i].second.detach().to(at::kCPU).contiguous();
      std::memcpy(builder.tensor(i), host.data_ptr(), host.nbytes());
    }
    return absl::OkStatus();
  }));
  return std::move(builder).Finish(model.version, threads);
}

absl::StatusOr<std::vector<const char*>> PlacesOf(const Model& model) {
  std::vector<const char*> places;
  for (const auto& [name, tensor] : Tensors(model)) {
    if (!tensor.is_contiguous()) {
      return absl::FailedPreconditionError(
          absl::StrCat("tensor '", name, "' does not lie in one piece"));
    }
    places.push_back(static_cast<const char*>(tensor.const_data_ptr()));
  }
  return places;
}

}  // namespace ziprl
