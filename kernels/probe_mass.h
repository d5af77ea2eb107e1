// Column mass of the probe rows' dense attention: how much the probes look at each key.
// SPARSE_GRPO section 1 step 2; arXiv 2410.08584 (ZipVL) section 3.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

// Fixed point of the mass: A = 1.0 is 2^40, so that sums do not depend on order, tile or thread.
inline constexpr double kMassOne = 1099511627776.0;

struct ProbeMassParams {
  const float* q = nullptr;        // [R, H, D]  probe queries, after rotary
  const float* k = nullptr;        // [N, Hk, D] keys, after rotary
  int64_t q_stride = 0;            // floats between probe rows (H * D when dense)
  int64_t k_stride = 0;            // floats between key rows (Hk * D when dense)
  const int32_t* limit = nullptr;  // [R] probe c sees keys j < limit[c]; 1 <= limit[c] <= N
  int num_probes = 0;              // R
  int num_keys = 0;                // N
  int num_heads = 0;               // H; query head h uses KV head h * Hk / H
  int num_kv_heads = 0;            // Hk
  int head_dim = 0;                // D
  float scale = 0.0f;              // 1 / sqrt(D)
};

// mass[j] = sum over probes c with limit[c] > j and heads h of llrint(A_h[c, j] * 2^40).
// Where a logit is not finite, its row's lse is not, and every mass is undefined.
// mass: [N] int64, overwritten. Also writes lse [R, H] (log-sum-exp of scaled logits) unless null.
// One fixed evaluation order: same bits alone, batched or packed, on any number of threads.
void ProbeMass(Backend backend, const ProbeMassParams& params, int64_t* mass, float* lse,
               Stream stream);

// Gradient of the mass, SPARSE_GRPO section 3: given da [N] = dL/da_j with a_j = mass_j / (H *
// 2^40), dA_h[c, j] = da_j / H on the dense probe softmax. Adds nothing: overwrites dq [R, H, D]
// and dk [N, Hk, D] (both dense). lse as ProbeMass wrote it.
void ProbeMassBackward(Backend backend, const ProbeMassParams& params, const float* lse,
                       const float* da, float* dq, float* dk, Stream stream);

}  // namespace ziprl::kernels
