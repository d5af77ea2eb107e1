// Encoded images and videos by content: the same bytes exist once however many rows, prompts and
// samples name them, and are let go with the last of these. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "configs/base/mutex.h"
#include "proto/types.h"

namespace ziprl {

class ImageStore {
 public:
  // NotFound and others name the path. An image that somebody still holds is not read again.
  absl::StatusOr<MediaRef> FromFile(const std::string& path);

  // `source` names the medium in errors. InvalidArgument for no bytes at all.
  absl::StatusOr<MediaRef> FromBytes(std::string bytes, const std::string& source,
                                     MediaKind kind = MediaKind::kImage);

  // ReferToVideo of the path; a file that has neither another size nor another time of change than
  // when it was hashed is not read again.
  absl::StatusOr<MediaRef> ReferTo(const std::string& path);

  // Distinct media that are held by somebody.
  int64_t live() const;

 private:
  struct Held {
    uint64_t content_hash;
    std::weak_ptr<const std::string> bytes;
  };
  struct Hashed {
    int64_t size = 0, changed = 0;  // bytes, nanoseconds
    MediaRef video;
  };
  MediaRef InternLocked(std::string bytes, const std::string& source, MediaKind kind)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetReleasedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::unordered_map<uint64_t, Held> by_content_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, Held> by_path_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, Hashed> videos_ ABSL_GUARDED_BY(mutex_);  // by path
  size_t forget_at_ ABSL_GUARDED_BY(mutex_) = 1024;  // entries; doubles with what is really live
};

}  // namespace ziprl
