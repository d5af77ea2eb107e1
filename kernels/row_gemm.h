// Products of rows with a weight matrix: what a decode step and a prompt are made of.
//
// The weights stay where they are ([n, k], as checkpoints and the learner have them): no packed
// copy of a model in memory, none to renew when the learner steps. Up to eight rows run at or near
// the memory's speed; many (from about 16) near the multipliers', each weight then being transposed
// once per kRowChunk rows.
#pragma once

#include <cstdint>

namespace ziprl::kernels {

// Columns are computed in panels of so many: how callers divide n over threads.
inline constexpr int kGemmColumns = 16;

// Weight: float, or uint16_t for the bits of a bfloat16, widened in registers.
template <typename Weight>
struct RowGemmParams {
  const float* x = nullptr;  // [m, k], rows x_row apart
  int64_t x_row = 0;
  const Weight* w = nullptr;    // [n, k], dense
  const float* bias = nullptr;  // [n] or null
  float* y = nullptr;           // [m, n], rows y_row apart
  int64_t y_row = 0;
  int m = 0, n = 0, k = 0;
  bool accumulate = false;  // onto y's old values in place of the bias
};

// y = x w^T + bias. Every element is one chain of fused multiply-adds over ascending k, begun with
// bias, old value or zero: its bits depend on its row of x and its row of w only, whatever comes
// with them, and bfloat16 weights give those of the same weights as floats. Allocates nothing.
// Thread-safe.
template <typename Weight>
void RowGemm(const RowGemmParams<Weight>& params);

extern template void RowGemm(const RowGemmParams<float>& params);
extern template void RowGemm(const RowGemmParams<uint16_t>& params);

}  // namespace ziprl::kernels
