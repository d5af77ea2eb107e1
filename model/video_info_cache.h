// What is known of videos, read once per distinct content. Thread-safe.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "configs/base/mutex.h"
#include "model/video_decode.h"

namespace ziprl {

class VideoInfoCache {
 public:
  // ReadVideoInfo of the video, unless it is known. Errors are not kept.
  absl::StatusOr<VideoInfo> Get(const MediaRef& video);

 private:
  Mutex mutex_;
  std::unordered_map<uint64_t, VideoInfo> known_ ABSL_GUARDED_BY(mutex_);  // by content hash
};

}  // namespace ziprl
