#include "kernels/probe_mass.h"

#include "kernels/check.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {
namespace {

void Check(const char* op, const ProbeMassParams& p) {
  ZIPRL_KERNEL_CHECK(op, p.num_probes > 0, p.num_probes);
  ZIPRL_KERNEL_CHECK(op, p.num_keys > 0, p.num_keys);
  ZIPRL_KERNEL_CHECK(op, p.head_dim > 0, p.head_dim);
  ZIPRL_KERNEL_CHECK(op, p.num_kv_heads > 0, p.num_kv_heads);
  ZIPRL_KERNEL_CHECK(op, p.num_heads > 0 && p.num_heads % p.num_kv_heads == 0, p.num_heads);
  ZIPRL_KERNEL_CHECK(op, p.q_stride >= int64_t{p.num_heads} * p.head_dim, p.q_stride);
  ZIPRL_KERNEL_CHECK(op, p.k_stride >= int64_t{p.num_kv_heads} * p.head_dim, p.k_stride);
  // The mass of one key, at most H * R * 2^40, must fit in 63 bits.
  ZIPRL_KERNEL_CHECK(op, int64_t{p.num_heads} * p.num_probes < (int64_t{1} << 23), p.num_probes);
}

void CheckLimits(const char* op, const ProbeMassParams& p) {
  for (int c = 0; c < p.num_probes; ++c) {
    ZIPRL_KERNEL_CHECK(op, p.limit[c] >= 1 && p.limit[c] <= p.num_keys, p.limit[c]);
  }
}

}  // namespace

void ProbeMass(Backend backend, const ProbeMassParams& params, int64_t* mass, float* lse,
               Stream stream) {
  Check("ProbeMass", params);
  if (backend == Backend::kCuda) {
    return RequireCuda("ProbeMass").probe_mass(params, mass, lse, stream);
  }
  CheckLimits("ProbeMass", params);
  cpu::ProbeMass(params, mass, lse);
}

void ProbeMassBackward(Backend backend, const ProbeMassParams& params, const float* lse,
                       const float* da, float* dq, float* dk, Stream stream) {
  Check("ProbeMassBackward", params);
  if (backend == Backend::kCuda) {
    return RequireCuda("ProbeMassBackward").probe_mass_backward(params, lse, da, dq, dk, stream);
  }
  CheckLimits("ProbeMassBackward", params);
  cpu::ProbeMassBackward(params, lse, da, dq, dk);
}

}  // namespace ziprl::kernels
