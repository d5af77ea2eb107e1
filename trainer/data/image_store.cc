#include "trainer/data/image_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/processor.h"

namespace ziprl {

absl::StatusOr<MediaRef> ImageStore::FromFile(const std::string& path) {
  {
    MutexLock lock(&mutex_);
    const auto found = by_path_.find(path);
    if (found != by_path_.end()) {
      if (auto bytes = found->second.bytes.lock()) {
        return MediaRef{found->second.content_hash, path, std::move(bytes)};
      }
    }
  }
  ZIPRL_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  ZIPRL_ASSIGN_OR_RETURN(MediaRef media, FromBytes(std::move(bytes), path));
  MutexLock lock(&mutex_);
  by_path_[path] = Held{media.content_hash, media.bytes};
  return media;
}

absl::StatusOr<MediaRef> ImageStore::FromBytes(std::string bytes, const std::string& source,
                                               MediaKind kind) {
  if (bytes.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": ", kind == MediaKind::kVideo ? "video" : "image", " of 0 bytes"));
  }
  MutexLock lock(&mutex_);
  return InternLocked(std::move(bytes), source, kind);
}

MediaRef ImageStore::InternLocked(std::string bytes, const std::string& source, MediaKind kind) {
  const uint64_t hash = ContentHash(kind, bytes);
  Held& held = by_content_[hash];
  if (auto known = held.bytes.lock(); known && *known == bytes)
    return {hash, source, std::move(known), kind};
  auto shared = std::make_shared<const std::string>(std::move(bytes));
  held = Held{hash, shared};
  ForgetReleasedLocked();
  return {hash, source, std::move(shared), kind};
}

absl::StatusOr<MediaRef> ImageStore::ReferTo(const std::string& path) {
  constexpr size_t kMostKnown = size_t{1} << 16;
  struct stat about = {};
  if (stat(path.c_str(), &about) != 0) return ReferToVideo(path);  // says what is wrong
  const int64_t changed = int64_t{about.st_mtim.tv_sec} * 1'000'000'000 + about.st_mtim.tv_nsec;
  {
    MutexLock lock(&mutex_);
    const auto found = videos_.find(path);
    if (found != videos_.end() && found->second.size == about.st_size &&
        found->second.changed == changed) {
      return found->second.video;
    }
  }
  ZIPRL_ASSIGN_OR_RETURN(MediaRef video, ReferToVideo(path));
  MutexLock lock(&mutex_);
  if (videos_.size() >= kMostKnown) videos_.clear();
  videos_[path] = Hashed{about.st_size, changed, video};
  return video;
}

void ImageStore::ForgetReleasedLocked() {
  if (by_content_.size() + by_path_.size() < forget_at_) return;
  const auto released = [](const auto& entry) { return entry.second.bytes.expired(); };
  std::erase_if(by_content_, released);
  std::erase_if(by_path_, released);
  forget_at_ = std::max<size_t>(1024, 2 * (by_content_.size() + by_path_.size()));
}

int64_t ImageStore::live() const {
  MutexLock lock(&mutex_);
  return std::count_if(by_content_.begin(), by_content_.end(),
                       [](const auto& entry) { return !entry.second.bytes.expired(); });
}

}  // namespace ziprl
