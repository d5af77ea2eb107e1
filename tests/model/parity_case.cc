#include "tests/model/parity_case.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "model/hf_directory.h"
#include "model/language_model.h"
#include "model/vision_tower.h"

namespace ziprl {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

std::vector<int32_t> Ints(const at::Tensor& t) {
  const at::Tensor flat = t.contiguous();
  const int32_t* data = flat.const_data_ptr<int32_t>();
  return std::vector<int32_t>(data, data + flat.numel());
}

}  // namespace

std::string ParityDir() { return ZIPRL_PARITY_DIR; }

ParityCase::ParityCase(const std::string& model, const std::string& expected, const Device& device)
    : device_(device),
      arch_(OrDie(LoadArchitecture(ParityDir() + "/" + model))),
      params_(OrDie(LoadParams(ParityDir() + "/" + model, arch_, device))),
      expected_(
          OrDie(SafetensorsFile::Open(ParityDir() + "/" + expected + ".expected.safetensors"))),
      ids_(Ints(Expected("ids"))) {
  const at::Tensor positions = Expected("positions");
  for (int axis = 0; axis < 3; ++axis) positions_.axes[axis] = Ints(positions[axis]);
  if (!Has("grids")) return;
  const std::vector<int32_t> grids = Ints(Expected("grids"));
  for (size_t i = 0; i < grids.size(); i += 3)
    grids_.push_back({grids[i], grids[i + 1], grids[i + 2]});
}

at::Tensor ParityCase::Expected(const std::string& name) const {
  const TensorView* view = expected_->Find(name);
  if (view == nullptr) {
    std::fprintf(stderr, "no expected tensor '%s'\n", name.c_str());
    std::abort();
  }
  at::Tensor tensor =
      at::empty(view->shape, HostFloat().dtype(view->dtype == "I32" ? at::kInt : at::kFloat));
  std::memcpy(tensor.mutable_data_ptr(), view->data, view->bytes);
  return tensor;
}

std::string ParityCase::GradientName(const std::string& parameter) const {
  for (const TensorView& view : expected_->tensors()) {
    if (view.name.rfind("grad.", 0) == 0 && CanonicalParamName(view.name.substr(5)) == parameter) {
      return view.name;
    }
  }
  return "";
}

void ParityCase::Append(int32_t id) {
  int32_t next = 0;
  for (const auto& axis : positions_.axes) next = std::max(next, axis.back() + 1);
  for (auto& axis : positions_.axes) axis.push_back(next);
  ids_.push_back(id);
}

void ParityCase::Truncate(size_t n) {
  for (auto& axis : positions_.axes) axis.resize(n);
  ids_.resize(n);
}

at::Tensor ParityCase::Hidden(const Compute& compute) const {
  at::Tensor visual;
  if (!grids_.empty()) visual = VisionTower(arch_, params_, Expected("patches"), grids_, compute);
  return DenseForward(arch_, params_, ids_, positions_, visual, device_, compute);
}

at::Tensor ParityCase::Logprobs(const Compute& compute) const {
  const at::Tensor target =
      IntTensor(std::vector<int32_t>(ids_.begin() + 1, ids_.end()), device_.device);
  const at::Tensor hidden = Hidden(compute).narrow(0, 0, target.numel());
  return TokenLogprob(hidden, HeadWeight(arch_, params_), target, at::Tensor(), 1.0, false, compute)
      .logprob;
}

}  // namespace ziprl
