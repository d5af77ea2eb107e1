#include "trainer/model_checkpoint.h"

#include <ATen/ATen.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/hf_directory.h"
#include "model/model.h"
#include "trainer/unit_runner.h"

namespace ziprl {

absl::Status SaveModel(const Model& model, const std::string& dir) {
  const std::string dtype = model.device.dtype == at::kBFloat16 ? "bfloat16" : "float32";
  return CatchTorch(
      [&] { return SaveModelDirectory(dir, model.arch, model.params, dtype, model.dir); });
}

absl::Status RestoreModel(const std::string& dir, Model& model) {
  ZIPRL_ASSIGN_OR_RETURN(Architecture saved, LoadArchitecture(dir));
  saved.dtype = model.arch.dtype;
  if (ArchitectureToJson(saved) != ArchitectureToJson(model.arch)) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, "/config.json describes another architecture than ", model.dir));
  }
  return CatchTorch([&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const ParamStore params, LoadParams(dir, model.arch, model.device));
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < model.params.size(); ++i) {
      model.params.tensor(i).copy_(params.Get(model.params.name(i)));
    }
    return absl::OkStatus();
  });
}

}  // namespace ziprl
