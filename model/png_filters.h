// Rows of a PNG as they were before filtering (PNG specification, section 9). Pure and thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ziprl {

inline constexpr size_t kPngSlack = 4;  // bytes behind a row that may be read, but do not matter

// Undoes `filter` (0 to 4) of a row of `size` bytes in place; above: the row before it, zeros for
// the first; kPngSlack bytes behind both. channels: bytes of a pixel, 1, 3 or 4. False for any
// other filter.
bool UndoPngFilter(int filter, const uint8_t* above, size_t size, int channels, uint8_t* row);

}  // namespace ziprl
