#include "proto/weights/weight_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/mutex.h"

namespace ziprl {
namespace {

constexpr uint64_t kRounding = uint64_t{2} << 20;  // a huge page

absl::StatusOr<std::shared_ptr<char>> MapMemory(uint64_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", bytes, " bytes of weights: ", std::strerror(errno)));
  }
  madvise(data, bytes, MADV_HUGEPAGE);
  return std::shared_ptr<char>(static_cast<char*>(data),
                               [bytes](char* mapped) { munmap(mapped, bytes); });
}

struct Buffer {
  std::shared_ptr<char> data;
  uint64_t bytes = 0;
};

}  // namespace

// Unused buffers.
class WeightBufferPool::Shelf {
 public:
  explicit Shelf(size_t keep) : keep_(keep) {}

  // An unused buffer of just this size, or a null one.
  Buffer Take(uint64_t bytes) {
    MutexLock lock(&mutex_);
    for (size_t i = 0; i < unused_.size(); ++i) {
      if (unused_[i].bytes != bytes) continue;
      Buffer found = std::move(unused_[i]);
      unused_.erase(unused_.begin() + i);
      return found;
    }
    return {};
  }

  void Give(Buffer buffer) {
    Buffer oldest;  // freed without the lock
    MutexLock lock(&mutex_);
    unused_.push_back(std::move(buffer));
    if (unused_.size() <= keep_) return;
    oldest = std::move(unused_.front());
    unused_.erase(unused_.begin());
  }

 private:
  const size_t keep_;
  Mutex mutex_;
  std::vector<Buffer> unused_ ABSL_GUARDED_BY(mutex_);
};

WeightBufferPool::WeightBufferPool(int keep) : WeightBufferPool(keep, MapMemory) {}

WeightBufferPool::WeightBufferPool(int keep, Allocate allocate)
    : shelf_(std::make_shared<Shelf>(keep)), allocate_(std::move(allocate)) {}

absl::StatusOr<std::shared_ptr<char>> WeightBufferPool::Take(uint64_t bytes) {
  const uint64_t rounded = (bytes / kRounding + 1) * kRounding;
  Buffer buffer = shelf_->Take(rounded);
  if (buffer.data == nullptr) {
    absl::StatusOr<std::shared_ptr<char>> made = allocate_(rounded);
    if (!made.ok()) return made;
    buffer = {*std::move(made), rounded};
  }
  char* const data = buffer.data.get();
  return std::shared_ptr<char>(data, [shelf = shelf_, buffer = std::move(buffer)](char*) mutable {
    shelf->Give(std::move(buffer));
  });
}

}  // namespace ziprl
