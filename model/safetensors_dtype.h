// Element types the safetensors format knows.
#pragma once

#include <cstddef>
#include <string_view>

namespace ziprl {

// Bytes of one element, 0 for a name the format does not know.
size_t SafetensorsElementSize(std::string_view dtype);

}  // namespace ziprl
