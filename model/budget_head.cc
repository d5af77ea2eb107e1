#include "model/budget_head.h"

#include <ATen/ATen.h>

#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/status_macros.h"
#include "model/safetensors.h"

namespace ziprl {
namespace {

constexpr int64_t kActions = static_cast<int64_t>(kBudgetGrid.size());

absl::StatusOr<at::Tensor> ReadTensor(const SafetensorsFile& file, const std::string& path,
                                      const std::string& name, const std::vector<int64_t>& shape,
                                      const Device& device) {
  const TensorView* view = file.Find(name);
  if (view == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": tensor '", name, "' is missing"));
  }
  if (view->dtype != "F32" || view->shape != shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": tensor '", name, "' is ", view->dtype, " [", absl::StrJoin(view->shape, ", "),
        "]; F32 [", absl::StrJoin(shape, ", "), "] is needed for this model"));
  }
  const at::Tensor mapped =
      at::from_blob(const_cast<void*>(view->data), shape, at::TensorOptions().dtype(at::kFloat));
  at::Tensor tensor = mapped.to(device.Float(), /*non_blocking=*/false, /*copy=*/true);
  if (!at::isfinite(tensor).all().item<bool>()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": tensor '", name, "' holds a value that is not finite"));
  }
  return tensor;
}

TensorView ViewOf(const std::string& name, const at::Tensor& tensor) {
  return {name, "F32", tensor.sizes().vec(), tensor.data_ptr(), tensor.nbytes()};
}

}  // namespace

BudgetHead ZeroBudgetHead(int hidden, const Device& device) {
  return {at::zeros({kActions, hidden}, device.Float()), at::zeros({kActions}, device.Float())};
}

at::Tensor BudgetFeatures(const at::Tensor& embeddings) {
  return embeddings.detach().to(at::kFloat).mean(0);
}

at::Tensor BudgetLogits(const BudgetHead& head, const at::Tensor& features) {
  return at::matmul(features, head.weight.t()) + head.bias;
}

absl::Status SaveBudgetHead(const std::string& dir, const BudgetHead& head) {
  const at::Tensor weight = head.weight.detach().cpu().contiguous();
  const at::Tensor bias = head.bias.detach().cpu().contiguous();
  return WriteSafetensors(absl::StrCat(dir, "/", kBudgetHeadFile),
                          {ViewOf("weight", weight), ViewOf("bias", bias)}, {});
}

absl::StatusOr<BudgetHead> LoadBudgetHead(const std::string& dir, int hidden,
                                          const Device& device) {
  const std::string path = absl::StrCat(dir, "/", kBudgetHeadFile);
  if (!std::filesystem::exists(path)) {
    return absl::NotFoundError(absl::StrCat(path, " does not exist"));
  }
  ZIPRL_ASSIGN_OR_RETURN(const std::unique_ptr<SafetensorsFile> file, SafetensorsFile::Open(path));
  BudgetHead head;
  ZIPRL_ASSIGN_OR_RETURN(head.weight,
                         ReadTensor(*file, path, "weight", {kActions, hidden}, device));
  ZIPRL_ASSIGN_OR_RETURN(head.bias, ReadTensor(*file, path, "bias", {kActions}, device));
  return head;
}

}  // namespace ziprl
