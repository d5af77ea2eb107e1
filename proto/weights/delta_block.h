// The innermost part of a delta: changed words of one run of weights, in blocks of 4096 words. A
// block is a mode byte, then positions and values of its changed words in whichever form is
// smallest. Words are 1, 2 or 4 bytes. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ziprl {

// Appends to out what turns `base` into `target` (same size, a multiple of word_bytes).
void EncodeBlocks(std::string_view base, std::string_view target, int word_bytes, std::string* out);

// Changes `bytes` words (`size` bytes, a multiple of word_bytes), which hold the base, into the
// target. InvalidArgument when `encoded` is malformed or has too few or too many bytes; never reads
// or writes outside of its arguments.
absl::Status DecodeBlocks(std::string_view encoded, int word_bytes, char* bytes, size_t size);

}  // namespace ziprl
