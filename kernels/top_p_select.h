// Budget and identity of the kept set. SPARSE_GRPO section 1 steps 3-5. Ties by lower index.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

struct TopPParams {
  const int64_t* mass = nullptr;  // [N] from ProbeMass
  const int32_t* seen =
      nullptr;  // [N] how many probes see entry j (0 allowed: such entries score 0)
  const uint8_t* forced = nullptr;  // [N] 1 = always kept (F); null = none
  int num_keys = 0;                 // N
  int num_heads = 0;                // H, for a_j = M_j / (H * 2^40)
  double p = 1.0;                   // threshold in (0, 1]; 1 keeps everything
};

struct TopPResult {
  int budget = 0;            // b: smallest count whose largest M reach ceil(p * sum M)
  int kept = 0;              // |S|
  int mass_threshold = -1;   // index of the b-th largest M (ties by lower index)
  int score_threshold = -1;  // index of the b-th largest s over all N (forced included)
  double kept_mass = 0.0;    // sum of a_j over S
};

// keep: [N] bytes, 1 where kept, overwritten. score: [N] fp32 s_j, or null.
// kCpu: result is filled on return. kCuda: keep/score and *result are device memory.
void TopPSelect(Backend backend, const TopPParams& params, uint8_t* keep, float* score,
                TopPResult* result, Stream stream);

}  // namespace ziprl::kernels
