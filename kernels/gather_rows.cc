#include "kernels/gather_rows.h"

#include "kernels/check.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"

namespace ziprl::kernels {

void GatherRows(Backend backend, const void* src, const int64_t* index, int64_t count,
                int64_t row_bytes, void* dst, Stream stream) {
  ZIPRL_KERNEL_CHECK("GatherRows", count >= 0, count);
  ZIPRL_KERNEL_CHECK("GatherRows", row_bytes > 0, row_bytes);
  if (count == 0) return;
  if (backend == Backend::kCuda) {
    return RequireCuda("GatherRows").gather_rows(src, index, count, row_bytes, dst, stream);
  }
  cpu::GatherRows(src, index, count, row_bytes, dst);
}

void ScatterRows(Backend backend, const void* src, const int64_t* index, int64_t count,
                 int64_t row_bytes, void* dst, int64_t num_rows, Stream stream) {
  ZIPRL_KERNEL_CHECK("ScatterRows", count >= 0 && count <= num_rows, count);
  ZIPRL_KERNEL_CHECK("ScatterRows", row_bytes > 0, row_bytes);
  if (num_rows == 0) return;
  if (backend == Backend::kCuda) {
    return RequireCuda("ScatterRows")
        .scatter_rows(src, index, count, row_bytes, dst, num_rows, stream);
  }
  cpu::ScatterRows(src, index, count, row_bytes, dst, num_rows);
}

}  // namespace ziprl::kernels
