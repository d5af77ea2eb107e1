// An encoded image or video by content. Copies share the bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace ziprl {

enum class MediaKind { kImage, kVideo };

// Bytes exist once per distinct content and are shared, never copied per sample. A video's file may
// be too large to hold: it stays where it is, and `path` names it.
struct MediaRef {
  uint64_t content_hash = 0;                 // ContentHash of the encoded bytes
  std::string source;                        // path or row reference, for error messages
  std::shared_ptr<const std::string> bytes;  // encoded file (PNG, JPEG, WebP, GIF, a video)
  MediaKind kind = MediaKind::kImage;
  std::string path = {};  // absolute; of a video without bytes
};

// xxh3-64 with the kind as its seed: the same file as an image and as a video are two things.
uint64_t ContentHash(MediaKind kind, std::string_view bytes);
// The same of bytes in pieces: `next` gives one after another, an empty one at the end.
uint64_t ContentHash(MediaKind kind, const std::function<std::string_view()>& next);

}  // namespace ziprl
