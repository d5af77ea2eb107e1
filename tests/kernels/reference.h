// Naive fp64 versions of the attention ops: loops over definitions, no tricks. What the kernels are
// judged by.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "kernels/probe_mass.h"
#include "kernels/ragged_attention.h"
#include "kernels/top_p_select.h"

namespace ziprl::kernels::reference {

using Doubles = std::vector<double>;

// A [H, R, N]: dense probe softmax of each head.
Doubles ProbeWeights(const ProbeMassParams& params, const Doubles& q, const Doubles& k);

struct ProbeGradients {
  Doubles dq, dk;  // [R, H, D], [N, Hk, D]
};
// Gradient of sum_j da_j a_j, a_j = (1/H) sum over heads and probes of A.
ProbeGradients ProbeMassBackward(const ProbeMassParams& params, const Doubles& q, const Doubles& k,
                                 const Doubles& da);

struct Attention {
  Doubles out, lse;  // [Nq, H, D], [Nq, H]
};
// p's visibility and sizes with the given q, k, v; strides dense.
Attention RaggedAttention(const RaggedAttentionParams& params, const Doubles& q, const Doubles& k,
                          const Doubles& v);

struct AttentionGradients {
  Doubles dq, dk, dv;
};
AttentionGradients RaggedAttentionBackward(const RaggedAttentionParams& params, const Doubles& q,
                                           const Doubles& k, const Doubles& v, const Doubles& dout);

// SPARSE_GRPO section 1 steps 3-5 by repeated search for the largest.
struct Selection {
  std::vector<uint8_t> keep;
  TopPResult result;
};
Selection TopPSelect(const TopPParams& params);

}  // namespace ziprl::kernels::reference

namespace ziprl::kernels {

// Normal numbers of the given standard deviation.
std::vector<float> RandomFloats(std::mt19937& rng, int64_t count, float deviation = 1.0f);

inline std::vector<double> ToDoubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

// Greatest |x - y| over greatest |y| (1 when y is all zero).
double RelativeError(const std::vector<float>& x, const std::vector<double>& y);

}  // namespace ziprl::kernels
