// One POSIX shared-memory object of this user: its descriptor, its mapping and a lock on it. The
// lock belongs to the open descriptor, so it ends with the process however that dies. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ziprl {

class ShmSegment {
 public:
  enum class Lock { kNone, kShared, kExclusive };

  // Opens what is there. NotFound; PermissionDenied when it is not this user's alone (mode 0600).
  static absl::StatusOr<std::unique_ptr<ShmSegment>> OpenForReading(const std::string& name);

  // Opens what is there for reading and writing, or makes it empty with mode 0600.
  static absl::StatusOr<std::unique_ptr<ShmSegment>> OpenForWriting(const std::string& name);

  // Makes a new one of `bytes` bytes, all zero and all there: ResourceExhausted, not a later crash,
  // when the file system is full. Replaces one of that name; who has that mapped keeps it.
  static absl::StatusOr<std::unique_ptr<ShmSegment>> Replace(const std::string& name,
                                                             uint64_t bytes);

  ~ShmSegment();  // unmaps, unlocks, closes; the object stays until Unlink
  ShmSegment(const ShmSegment&) = delete;
  ShmSegment& operator=(const ShmSegment&) = delete;

  // Grows to at least `bytes` and reserves them (ResourceExhausted).
  absl::Status Reserve(uint64_t bytes);

  // Maps all of it, writable if opened for writing.
  absl::Status Map();

  // Changes the lock. False when another descriptor's lock is in the way. Never waits.
  bool TryLock(Lock lock);
  bool LockedByAnother() const;  // for writing

  bool StillNamed() const;  // not unlinked or replaced
  bool Empty() const;       // nothing was reserved in it yet

  char* data() const { return data_; }  // null before Map
  uint64_t size() const { return size_; }

  // No error when there is none.
  static void Unlink(const std::string& name);

 private:
  ShmSegment(std::string name, int fd, bool writable);
  static absl::StatusOr<std::unique_ptr<ShmSegment>> Open(const std::string& name, int flags);
  absl::Status CheckOwner() const;

  const std::string name_;
  const int fd_;
  const bool writable_;
  char* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace ziprl
