// An encoded image by content. Copies share the bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace ziprl {

// Bytes exist once per distinct content and are shared, never copied per sample.
struct MediaRef {
  uint64_t content_hash = 0;                 // xxh3-64 of the encoded bytes
  std::string source;                        // path or row reference, for error messages
  std::shared_ptr<const std::string> bytes;  // encoded file (PNG, JPEG, WebP, GIF)
};

}  // namespace ziprl
