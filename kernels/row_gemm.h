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

struct RowGemmParams {
  const float* x = nullptr;  // [m, k], rows x_row apart
  int64_t x_row = 0;
  const float* w = nullptr;     // [n, k], dense
  const float* bias = nullptr;  // [n] or null
  float* y = nullptr;           // [m, n], rows y_row apart
  int64_t y_row = 0;
  int m = 0, n = 0, k = 0;
  bool accumulate = false;  // onto y's old values in place of the bias
};

// y = x w^T + bias. Every element is one chain of fused multiply-adds over ascending k, begun with
// bias, old value or zero: its bits depend on its row of x and its row of w only, whatever comes
// with them. Allocates nothing. Thread-safe.
void RowGemm(const RowGemmParams& params);

}  // namespace ziprl::kernels
