// The test vector of SPARSE_GRPO section 5.
#pragma once

#include <cstdint>

#include "kernels/probe_mass.h"

namespace ziprl::kernels {

struct TestVector {
  float q[8] = {2, 0, 0, 0, 0, 2, 0, 0};  // rows 3 and 5
  float k[24] = {1.75f, 1.5f, 0, 0, .75f, -.5f, 0, 0, -1, -1.25f, 0, 0,
                 1,     .25f, 0, 0, 9,    1,    0, 0, 9,  -.25f,  0, 0};
  int32_t limit[2] = {4, 6};
  int32_t seen[6] = {2, 2, 2, 2, 1, 1};

  ProbeMassParams Params() const {
    ProbeMassParams p;
    p.q = q, p.k = k, p.limit = limit, p.q_stride = p.k_stride = 4;
    p.num_probes = 2, p.num_keys = 6, p.num_heads = p.num_kv_heads = 1;
    p.head_dim = 4, p.scale = 0.5f;
    return p;
  }
};

}  // namespace ziprl::kernels
