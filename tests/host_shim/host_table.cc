#include "tests/host_shim/host_table.h"

#include "tests/host_shim/host_launch.h"
// The kernels, in the shim's vocabulary.
#include "kernels/adamw.cuh"
#include "kernels/decode_attention.cuh"
#include "kernels/gather_rows.cuh"
#include "kernels/probe_mass.cuh"
#include "kernels/ragged_attention.cuh"
#include "kernels/ragged_attention_backward.cuh"
#include "kernels/sample_token.cuh"
#include "kernels/token_logprob.cuh"
#include "kernels/top_p_select.cuh"

namespace ziprl::kernels {
namespace {

CudaTable MakeTable() {
  CudaTable table;
  table.device_count = [] { return 1; };
  table.set_device = [](int) {};
  table.allocate = [](int64_t bytes) { return std::malloc(bytes > 0 ? bytes : 1); };
  table.release = std::free;
  table.copy_to_device = [](void* dst, const void* src, int64_t bytes) {
    if (bytes > 0) std::memcpy(dst, src, bytes);
  };
  table.copy_to_host = table.copy_to_device;
  table.device_name = [](char* name, int capacity) { std::snprintf(name, capacity, "host shim"); };
  cuda::FillOps(table);
  return table;
}

}  // namespace

const CudaTable& HostShimTable() {
  static const CudaTable table = MakeTable();
  return table;
}

}  // namespace ziprl::kernels
