// A fixture of make_parity_fixtures.py: a tiny model directory and what transformers computed with
// it.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/autograd_ops.h"
#include "model/device.h"
#include "model/mrope.h"
#include "model/params.h"
#include "model/safetensors.h"

namespace ziprl {

inline at::TensorOptions HostFloat() {
  return at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
}

class ParityCase {
 public:
  // DIR/<model>/ against DIR/<expected>.expected.safetensors; failures abort the test program.
  ParityCase(const std::string& model, const std::string& expected, const Device& device);

  const Architecture& arch() const { return arch_; }
  ParamStore& params() { return params_; }
  const std::vector<int32_t>& ids() const { return ids_; }

  // A tensor of the expected file, int32 or fp32.
  at::Tensor Expected(const std::string& name) const;
  bool Has(const std::string& name) const { return expected_->Find(name) != nullptr; }
  // Name in the expected file of the gradient of a parameter under its canonical name.
  std::string GradientName(const std::string& parameter) const;

  // Lengthens the sequence by a text token.
  void Append(int32_t id);
  // Cuts it to its first n tokens, behind the images.
  void Truncate(size_t n);

  // Hidden states after the final norm, [n, C], with the tower when there are images.
  at::Tensor Hidden(const Compute& compute) const;
  // Log-probs of ids[1:], [n - 1].
  at::Tensor Logprobs(const Compute& compute) const;

 private:
  Device device_;
  Architecture arch_;
  ParamStore params_;
  std::unique_ptr<SafetensorsFile> expected_;
  std::vector<int32_t> ids_;
  RopePositions positions_;
  std::vector<Grid> grids_;
};

// Folder of the fixtures.
std::string ParityDir();

}  // namespace ziprl
