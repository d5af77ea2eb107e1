#include "proto/weights/weight_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/mutex.h"

namespace ziprl {
namespace {

constexpr uint64_t kRounding = uint64_t{2} << 20;  // a huge page

struct Mapping {
  void* data = nullptr;
  size_t bytes = 0;
};

}  // namespace

// Unused buffers.
class WeightBufferPool::Shelf {
 public:
  explicit Shelf(size_t keep) : keep_(keep) {}
  ~Shelf() {
    for (const Mapping& mapping : unused_) munmap(mapping.data, mapping.bytes);
  }

  // An unused buffer of just this size, or a null one.
  Mapping Take(size_t bytes) {
    MutexLock lock(&mutex_);
    for (size_t i = 0; i < unused_.size(); ++i) {
      if (unused_[i].bytes != bytes) continue;
      const Mapping found = unused_[i];
      unused_.erase(unused_.begin() + i);
      return found;
    }
    return {};
  }

  void Give(const Mapping& mapping) {
    MutexLock lock(&mutex_);
    unused_.push_back(mapping);
    if (unused_.size() <= keep_) return;
    munmap(unused_.front().data, unused_.front().bytes);
    unused_.erase(unused_.begin());
  }

 private:
  const size_t keep_;
  Mutex mutex_;
  std::vector<Mapping> unused_ ABSL_GUARDED_BY(mutex_);
};

WeightBufferPool::WeightBufferPool(int keep) : shelf_(std::make_shared<Shelf>(keep)) {}

absl::StatusOr<std::shared_ptr<char>> WeightBufferPool::Take(uint64_t bytes) {
  const uint64_t rounded = (bytes / kRounding + 1) * kRounding;
  Mapping mapping = shelf_->Take(rounded);
  if (mapping.data == nullptr) {
    void* data = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      return absl::ResourceExhaustedError(
          absl::StrCat("no memory for ", bytes, " bytes of weights: ", std::strerror(errno)));
    }
    madvise(data, rounded, MADV_HUGEPAGE);
    mapping = {data, rounded};
  }
  return std::shared_ptr<char>(static_cast<char*>(mapping.data),
                               [shelf = shelf_, mapping](char*) { shelf->Give(mapping); });
}

}  // namespace ziprl
