#include "rollout/float_layers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <type_traits>

#include "kernels/row_gemm.h"
#include "model/language_model.h"
#include "model/narrow_rows.h"
#include "model/row_ops.h"

namespace ziprl {
namespace {

constexpr int64_t kInnerRows = 252;       // rows whose inner activations exist at once
constexpr int64_t kThreadWork = 1 << 20;  // multiplications that are worth a thread

float* Room(std::vector<float>& space, int64_t size) {
  if (static_cast<int64_t>(space.size()) < size) space.resize(size);
  return space.data();
}

// Floats from a row to the next: an odd number of cache lines, for rows that lie a multiple of 4 KB
// apart share the few places of one set of the L1.
int64_t Spread(int64_t width) {
  constexpr int64_t kLine = 16;
  return ((width + kLine - 1) / kLine | 1) * kLine;
}

template <typename Weight>
void SplitGemm(const kernels::RowGemmParams<Weight>& whole) {
  const int64_t panels = (whole.n + kernels::kGemmColumns - 1) / kernels::kGemmColumns;
  const int64_t panel_work = int64_t{whole.m} * whole.k * kernels::kGemmColumns;
  at::parallel_for(0, panels, kThreadWork / panel_work + 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kernels::kGemmColumns;
    kernels::RowGemmParams<Weight> part = whole;
    part.w += first * whole.k;
    if (part.bias != nullptr) part.bias += first;
    part.y += first;
    part.n = static_cast<int>(std::min<int64_t>(end * kernels::kGemmColumns, whole.n) - first);
    kernels::RowGemm(part);
  });
}

}  // namespace

const float* FloatLayers::Widened(const at::Tensor& vector) {
  if (!vector.defined()) return nullptr;
  widened_.push_back(vector.to(c10::kFloat));
  return widened_.back().const_data_ptr<float>();
}

FloatLayers::Linear FloatLayers::LinearOf(const at::Tensor& weight, const at::Tensor& bias) {
  TORCH_CHECK(weight.is_contiguous(), "a weight with gaps");
  return {weight.const_data_ptr(), Widened(bias), static_cast<int>(weight.size(0)),
          static_cast<int>(weight.size(1))};
}

FloatLayers::FloatLayers(const Architecture& arch, const ParamStore& params,
                         const std::vector<DecoderLayerWeights>& layers)
    : arch_(arch), narrow_(HeadWeight(arch, params).scalar_type() == c10::kBFloat16) {
  const at::Tensor none;
  for (const DecoderLayerWeights& w : layers) {
    layers_.push_back({Widened(w.input_norm), Widened(w.post_norm), LinearOf(w.q_w, w.q_b),
                       LinearOf(w.k_w, w.k_b), LinearOf(w.v_w, w.v_b), LinearOf(w.o_w, none),
                       LinearOf(w.gate_w, none), LinearOf(w.up_w, none), LinearOf(w.down_w, none)});
  }
  final_norm_ = Widened(params.Get("model.norm.weight"));
  embedding_ = params.Get("model.embed_tokens.weight").const_data_ptr();
  head_ = LinearOf(HeadWeight(arch_, params), none);
}

void FloatLayers::Product(const Linear& linear, const Input& x, int64_t rows, float* y,
                          int64_t y_row, bool accumulate) const {
  const auto multiply = [&](const auto* weight) {
    kernels::RowGemmParams<std::remove_cvref_t<decltype(*weight)>> params;
    params.x = x.data, params.x_row = x.row;
    params.w = weight, params.bias = linear.bias;
    params.y = y, params.y_row = y_row;
    params.m = static_cast<int>(rows), params.n = linear.out, params.k = linear.in;
    params.accumulate = accumulate;
    SplitGemm(params);
  };
  if (narrow_) return multiply(static_cast<const uint16_t*>(linear.weight));
  multiply(static_cast<const float*>(linear.weight));
}

void FloatLayers::Multiply(const Linear& linear, const Input& x, int64_t rows, float* y,
                           int64_t y_row) const {
  Product(linear, x, rows, y, y_row, /*accumulate=*/false);
  if (narrow_) RoundToBfloat16(y, rows * y_row);
}

void FloatLayers::Add(const Linear& linear, const Input& x, int64_t rows, float* y,
                      Workspace& space) const {
  if (!narrow_) return Product(linear, x, rows, y, linear.out, /*accumulate=*/true);
  float* added = Room(space.added, rows * linear.out);
  Product(linear, x, rows, added, linear.out, /*accumulate=*/false);
  NarrowAdd(added, rows * linear.out, y);
}

FloatLayers::Input FloatLayers::Norm(const float* x, const float* weight, int64_t rows,
                                     Workspace& space) const {
  const int64_t row = Spread(arch_.hidden);
  float* normed = Room(space.normed, rows * row);
  const auto norm = narrow_ ? NarrowRmsNormRows : RmsNormRows;
  for (int64_t r = 0; r < rows; ++r) {
    float rstd;
    norm(x + r * arch_.hidden, weight, arch_.rms_eps, 1, arch_.hidden, normed + r * row, &rstd);
  }
  return {normed, row};
}

void FloatLayers::Embed(int32_t token, float* x) const {
  const int64_t at = int64_t{token} * arch_.hidden;
  if (narrow_) return WidenBfloat16(static_cast<const uint16_t*>(embedding_) + at, arch_.hidden, x);
  std::copy_n(static_cast<const float*>(embedding_) + at, arch_.hidden, x);
}

void FloatLayers::Project(int layer, const float* x, int64_t rows, const float* cos,
                          const float* sin, const Heads& out, Workspace& space) const {
  const Layer& w = layers_[layer];
  const Input normed = Norm(x, w.input_norm, rows, space);
  const auto rotated = [&](const Linear& linear, float* to) {
    float* from = Room(space.unrotated, rows * linear.out);
    Multiply(linear, normed, rows, from);
    RotateRows(from, linear.out, cos, sin, rows, linear.out / arch_.head_dim, arch_.head_dim,
               /*transposed=*/false, to, linear.out);
    if (narrow_) RoundToBfloat16(to, rows * linear.out);
  };
  rotated(w.q, out.q);
  rotated(w.k, out.k);
  Multiply(w.v, normed, rows, out.v);
}

void FloatLayers::AddAttention(int layer, const float* attention, int64_t rows, float* x,
                               Workspace& space) const {
  const Linear& o = layers_[layer].o;
  const int64_t row = Spread(o.in);
  for (int64_t first = 0; first < rows; first += kInnerRows, x += kInnerRows * arch_.hidden) {
    const int64_t count = std::min(kInnerRows, rows - first);
    float* attended = Room(space.attended, count * row);
    for (int64_t r = 0; r < count; ++r, attention += o.in) {
      std::copy_n(attention, o.in, attended + r * row);
    }
    if (narrow_) RoundToBfloat16(attended, count * row);
    Add(o, {attended, row}, count, x, space);
  }
}

void FloatLayers::AddMlp(int layer, int64_t rows, float* x, Workspace& space) const {
  const Layer& w = layers_[layer];
  const int64_t row = Spread(arch_.intermediate);
  const auto swiglu = narrow_ ? NarrowSwiGluRows : SwiGluRows;
  for (int64_t first = 0; first < rows; first += kInnerRows, x += kInnerRows * arch_.hidden) {
    const int64_t count = std::min(kInnerRows, rows - first);
    const Input normed = Norm(x, w.post_norm, count, space);
    float *gate = Room(space.gate, count * row), *up = Room(space.up, count * row);
    Multiply(w.gate, normed, count, gate, row);
    Multiply(w.up, normed, count, up, row);
    swiglu(gate, up, count * row, gate);
    Add(w.down, {gate, row}, count, x, space);
  }
}

void FloatLayers::Logits(const float* x, int64_t rows, float* logits, Workspace& space) const {
  Multiply(head_, Norm(x, final_norm_, rows, space), rows, logits);
}

}  // namespace ziprl
