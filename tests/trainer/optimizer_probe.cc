// optimizer_probe IN.safetensors OUT.safetensors: applies the optimizer to parameters
// "param.<name>" with the gradients "grad.<step>.<name>" for all steps there are; writes
// "param.<name>" and "norm" [steps].
#include <ATen/ATen.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/safetensors.h"
#include "trainer/optimizer.h"

namespace ziprl {
namespace {

at::Tensor ToTensor(const TensorView& view) {
  const at::ScalarType type = view.dtype == "BF16" ? at::kBFloat16 : at::kFloat;
  at::Tensor out = at::empty(view.shape, at::TensorOptions().dtype(type).device(at::kCPU));
  std::memcpy(out.data_ptr(), view.data, view.bytes);
  return out;
}

int Run(const char* in, const char* out) {
  auto file = SafetensorsFile::Open(in);
  if (!file.ok()) return std::fprintf(stderr, "%s\n", std::string(file.status().message()).c_str());
  const auto& settings = (*file)->metadata();
  const auto number = [&](const char* key) { return std::atof(settings.at(key).c_str()); };
  OptimConfig config;
  config.weight_decay = number("weight_decay");
  config.betas = {number("beta1"), number("beta2")};
  Device device;
  Optimizer optimizer(config, device, 2);
  std::vector<at::Tensor> params;
  for (const TensorView& view : (*file)->tensors()) {
    if (!absl::StartsWith(view.name, "param.")) continue;
    params.push_back(ToTensor(view));
    optimizer.Add(view.name.substr(6), params.back(), 1.0);
  }
  std::vector<float> norms;
  for (int step = 0; (*file)->Find(absl::StrCat("grad.", step, ".", optimizer.name(0))); ++step) {
    std::vector<at::Tensor> grads;
    for (size_t i = 0; i < optimizer.size(); ++i) {
      grads.push_back(
          ToTensor(*(*file)->Find(absl::StrCat("grad.", step, ".", optimizer.name(i)))));
    }
    norms.push_back(
        static_cast<float>(optimizer.Step(grads, number("lr") / (step + 1), number("max_norm"))));
  }
  std::vector<TensorView> views = {
      {"norm", "F32", {static_cast<int64_t>(norms.size())}, norms.data(), norms.size() * 4}};
  for (size_t i = 0; i < params.size(); ++i) {
    views.push_back({"param." + optimizer.name(i),
                     params[i].scalar_type() == at::kBFloat16 ? "BF16" : "F32",
                     params[i].sizes().vec(), params[i].data_ptr(), params[i].nbytes()});
  }
  return WriteSafetensors(out, views, {}).ok() ? 0 : 1;
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) { return argc == 3 ? ziprl::Run(argv[1], argv[2]) : 2; }
