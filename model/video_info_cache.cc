#include "model/video_info_cache.h"

#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr size_t kMostKnown = size_t{1} << 18;  // some 10 MB

}  // namespace

absl::StatusOr<VideoInfo> VideoInfoCache::Get(const MediaRef& video) {
  {
    MutexLock lock(&mutex_);
    const auto found = known_.find(video.content_hash);
    if (found != known_.end()) return found->second;
  }
  ZIPRL_ASSIGN_OR_RETURN(const VideoInfo info, ReadVideoInfo(video));
  MutexLock lock(&mutex_);
  if (known_.size() >= kMostKnown) known_.clear();
  known_[video.content_hash] = info;
  return info;
}

}  // namespace ziprl
