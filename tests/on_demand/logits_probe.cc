// Logits of chosen rows of one prompt, computed in bf16, and what it took.
//
//   logits_probe MODEL_DIR INPUTS.safetensors OUT.safetensors THREADS
//
// INPUTS: ids [n], positions [3, n], grids [images, 3] and rows [m] (int32), patches (fp32). OUT:
// logits [m, V] fp32. Stdout: one JSON line with bytes of the parameters, peak of resident memory
// behind loading and at the end, and seconds.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/hf_directory.h"
#include "model/language_model.h"
#include "model/safetensors.h"
#include "model/vision_tower.h"

namespace ziprl {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Peak resident memory of this process in bytes, mapped files included.
int64_t PeakResident() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  return -1;
}

class Inputs {
 public:
  static absl::StatusOr<Inputs> Open(const std::string& path) {
    Inputs inputs;
    ZIPRL_ASSIGN_OR_RETURN(inputs.file_, SafetensorsFile::Open(path));
    for (const char* name : {"ids", "positions", "grids", "rows", "patches"}) {
      if (inputs.file_->Find(name) == nullptr) {
        return absl::NotFoundError(absl::StrCat(path, ": no tensor ", name));
      }
    }
    return inputs;
  }

  at::Tensor Tensor(const char* name) const {
    const TensorView& view = *file_->Find(name);
    const at::ScalarType type = view.dtype == "I32" ? at::kInt : at::kFloat;
    at::Tensor out = at::empty(view.shape, at::TensorOptions().dtype(type).device(at::kCPU));
    std::memcpy(out.mutable_data_ptr(), view.data, view.bytes);
    return out;
  }

  std::vector<int32_t> Ints(const char* name) const {
    const at::Tensor flat = Tensor(name).reshape({-1});
    return {flat.const_data_ptr<int32_t>(), flat.const_data_ptr<int32_t>() + flat.numel()};
  }

  RopePositions Positions() const {
    const std::vector<int32_t> all = Ints("positions");
    RopePositions positions;
    const size_t n = all.size() / 3;
    for (size_t axis = 0; axis < 3; ++axis) {
      positions.axes[axis].assign(all.begin() + axis * n, all.begin() + (axis + 1) * n);
    }
    return positions;
  }

  std::vector<Grid> Grids() const {
    const std::vector<int32_t> all = Ints("grids");
    std::vector<Grid> grids;
    for (size_t i = 0; i < all.size(); i += 3) grids.push_back({all[i], all[i + 1], all[i + 2]});
    return grids;
  }

 private:
  std::unique_ptr<SafetensorsFile> file_;
};

at::Tensor Logits(const Architecture& arch, const ParamStore& params, const Device& device,
                  const Inputs& in) {
  const at::NoGradGuard no_grad;
  const at::Tensor visual = VisionTower(arch, params, in.Tensor("patches"), in.Grids(), {});
  const at::Tensor hidden =
      DenseForward(arch, params, in.Ints("ids"), in.Positions(), visual, device, {});
  const at::Tensor chosen = hidden.index_select(0, in.Tensor("rows"));
  return Linear(chosen, HeadWeight(arch, params), {}, {}).to(at::kFloat).contiguous();
}

absl::Status Run(const std::string& dir, const std::string& inputs, const std::string& out) {
  const Clock::time_point start = Clock::now();
  ZIPRL_ASSIGN_OR_RETURN(const Device device, MakeDevice("cpu", "bf16"));
  ZIPRL_ASSIGN_OR_RETURN(const Architecture arch, LoadArchitecture(dir));
  const int64_t process = PeakResident();
  ZIPRL_ASSIGN_OR_RETURN(const ParamStore params, LoadParams(dir, arch, device));
  const double load_seconds = Since(start);
  const int64_t loaded = PeakResident();
  ZIPRL_ASSIGN_OR_RETURN(const Inputs in, Inputs::Open(inputs));
  const Clock::time_point computing = Clock::now();
  const at::Tensor logits = Logits(arch, params, device, in);
  std::printf(
      "{\"param_bytes\": %ld, \"process_peak\": %ld, \"loaded_peak\": %ld, \"peak\": %ld, "
      "\"load_s\": %.2f, \"forward_s\": %.2f, \"tokens\": %zu}\n",
      params.NumElements() * static_cast<int64_t>(at::elementSize(device.dtype)), process, loaded,
      PeakResident(), load_seconds, Since(computing), in.Ints("ids").size());
  return WriteSafetensors(
      out, {{"logits", "F32", logits.sizes().vec(), logits.const_data_ptr(), logits.nbytes()}}, {});
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: logits_probe MODEL_DIR INPUTS OUT THREADS\n");
    return 2;
  }
  at::set_num_threads(std::stoi(argv[4]));
  const absl::Status status = ziprl::Run(argv[1], argv[2], argv[3]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
