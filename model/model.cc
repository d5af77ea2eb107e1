#include "model/model.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "kernels/backend.h"
#include "model/hf_directory.h"

namespace ziprl {

absl::StatusOr<std::shared_ptr<Model>> LoadModel(const std::string& dir, const Device& device) {
  auto model = std::make_shared<Model>();
  ZIPRL_ASSIGN_OR_RETURN(model->arch, LoadArchitecture(dir));
  if (device.device.is_cuda() && model->arch.head_dim > kernels::kMaxCudaHeadDim) {
    return absl::UnimplementedError(absl::StrCat(dir, ": head_dim = ", model->arch.head_dim,
                                                 "; on CUDA up to ", kernels::kMaxCudaHeadDim,
                                                 " is supported, on the CPU any"));
  }
  ZIPRL_ASSIGN_OR_RETURN(model->processor, Processor::Load(dir));
  ZIPRL_ASSIGN_OR_RETURN(model->params, LoadParams(dir, model->arch, device));
  model->device = device;
  model->dir = dir;
  return model;
}

}  // namespace ziprl
