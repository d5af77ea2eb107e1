#include <cstring>

#include "kernels/check.h"
#include "kernels/cpu_ops.h"

namespace ziprl::kernels::cpu {

void GatherRows(const void* src, const int64_t* index, int64_t count, int64_t row_bytes,
                void* dst) {
  const char* from = static_cast<const char*>(src);
  char* to = static_cast<char*>(dst);
  for (int64_t i = 0; i < count; ++i) {
    ZIPRL_KERNEL_CHECK("GatherRows", index[i] >= 0, index[i]);
    std::memcpy(to + i * row_bytes, from + index[i] * row_bytes, row_bytes);
  }
}

void ScatterRows(const void* src, const int64_t* index, int64_t count, int64_t row_bytes, void* dst,
                 int64_t num_rows) {
  const char* from = static_cast<const char*>(src);
  char* to = static_cast<char*>(dst);
  std::memset(to, 0, num_rows * row_bytes);
  for (int64_t i = 0; i < count; ++i) {
    ZIPRL_KERNEL_CHECK("ScatterRows", index[i] >= 0 && index[i] < num_rows, index[i]);
    std::memcpy(to + index[i] * row_bytes, from + i * row_bytes, row_bytes);
  }
}

}  // namespace ziprl::kernels::cpu
