// Compaction of kept rows and its inverse.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace ziprl::kernels {

// dst[i, :] = src[index[i], :] for i in [0, count). Row length in bytes; any dtype.
void GatherRows(Backend backend, const void* src, const int64_t* index, int64_t count,
                int64_t row_bytes, void* dst, Stream stream);

// dst[index[i], :] = src[i, :]; rows of dst that are not named are set to zero (dst has num_rows
// rows).
void ScatterRows(Backend backend, const void* src, const int64_t* index, int64_t count,
                 int64_t row_bytes, void* dst, int64_t num_rows, Stream stream);

}  // namespace ziprl::kernels
