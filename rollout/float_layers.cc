#include "rollout/float_layers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "kernels/row_gemm.h"
#include "model/language_model.h"
#include "model/row_ops.h"

namespace ziprl {
namespace {

constexpr int64_t kMlpRows = 252;         // rows whose inner activations exist at once
constexpr int64_t kThreadWork = 1 << 20;  // multiplications that are worth a thread

float* Room(std::vector<float>& space, int64_t size) {
  if (static_cast<int64_t>(space.size()) < size) space.resize(size);
  return space.data();
}

}  // namespace

FloatLayers::Linear FloatLayers::LinearOf(const at::Tensor& weight, const at::Tensor& bias) {
  TORCH_CHECK(weight.is_contiguous(), "a weight with gaps");
  return {weight.const_data_ptr<float>(), bias.defined() ? bias.const_data_ptr<float>() : nullptr,
          static_cast<int>(weight.size(0)), static_cast<int>(weight.size(1))};
}

FloatLayers::FloatLayers(const Architecture& arch, const ParamStore& params,
                         const std::vector<DecoderLayerWeights>& layers)
    : arch_(arch) {
  const at::Tensor none;
  for (const DecoderLayerWeights& w : layers) {
    layers_.push_back({w.input_norm.const_data_ptr<float>(), w.post_norm.const_data_ptr<float>(),
                       LinearOf(w.q_w, w.q_b), LinearOf(w.k_w, w.k_b), LinearOf(w.v_w, w.v_b),
                       LinearOf(w.o_w, none), LinearOf(w.gate_w, none), LinearOf(w.up_w, none),
                       LinearOf(w.down_w, none)});
  }
  final_norm_ = params.Get("model.norm.weight").const_data_ptr<float>();
  head_ = LinearOf(HeadWeight(arch_, params), none);
}

void FloatLayers::Multiply(const Linear& linear, const float* x, int64_t rows, float* y,
                           bool accumulate) {
  const int64_t panels = (linear.out + kernels::kGemmColumns - 1) / kernels::kGemmColumns;
  const int64_t panel_work = rows * linear.in * kernels::kGemmColumns;
  at::parallel_for(0, panels, kThreadWork / panel_work + 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kernels::kGemmColumns;
    kernels::RowGemmParams params;
    params.x = x, params.x_row = linear.in;
    params.w = linear.weight + first * linear.in;
    params.bias = linear.bias == nullptr ? nullptr : linear.bias + first;
    params.y = y + first, params.y_row = linear.out;
    params.m = static_cast<int>(rows), params.k = linear.in;
    params.n = static_cast<int>(std::min<int64_t>(end * kernels::kGemmColumns, linear.out) - first);
    params.accumulate = accumulate;
    kernels::RowGemm(params);
  });
}

const float* FloatLayers::Norm(const float* x, const float* weight, int64_t rows,
                               Workspace& space) const {
  float* normed = Room(space.normed, rows * arch_.hidden);
  RmsNormRows(x, weight, arch_.rms_eps, rows, arch_.hidden, normed, Room(space.rstd, rows));
  return normed;
}

void FloatLayers::Project(int layer, const float* x, int64_t rows, const float* cos,
                          const float* sin, const Heads& out, Workspace& space) const {
  const Layer& w = layers_[layer];
  const float* normed = Norm(x, w.input_norm, rows, space);
  const auto rotated = [&](const Linear& linear, float* to) {
    float* from = Room(space.unrotated, rows * linear.out);
    Multiply(linear, normed, rows, from, /*accumulate=*/false);
    RotateRows(from, linear.out, cos, sin, rows, linear.out / arch_.head_dim, arch_.head_dim,
               /*transposed=*/false, to, linear.out);
  };
  rotated(w.q, out.q);
  rotated(w.k, out.k);
  Multiply(w.v, normed, rows, out.v, /*accumulate=*/false);
}

void FloatLayers::AddAttention(int layer, const float* attention, int64_t rows, float* x) const {
  Multiply(layers_[layer].o, attention, rows, x, /*accumulate=*/true);
}

void FloatLayers::AddMlp(int layer, int64_t rows, float* x, Workspace& space) const {
  const Layer& w = layers_[layer];
  for (int64_t first = 0; first < rows; first += kMlpRows, x += kMlpRows * arch_.hidden) {
    const int64_t count = std::min(kMlpRows, rows - first), size = count * arch_.intermediate;
    const float* normed = Norm(x, w.post_norm, count, space);
    float *gate = Room(space.gate, size), *up = Room(space.up, size);
    Multiply(w.gate, normed, count, gate, /*accumulate=*/false);
    Multiply(w.up, normed, count, up, /*accumulate=*/false);
    SwiGluRows(gate, up, size, gate);
    Multiply(w.down, gate, count, x, /*accumulate=*/true);
  }
}

void FloatLayers::Logits(const float* x, int64_t rows, float* logits, Workspace& space) const {
  Multiply(head_, Norm(x, final_norm_, rows, space), rows, logits, /*accumulate=*/false);
}

}  // namespace ziprl
