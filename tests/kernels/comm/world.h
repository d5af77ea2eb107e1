// Where the communicators' conformance suite runs: every backend gives one of these.
#pragma once

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/comm/communicator.h"

namespace ziprl::comm {

// Memory that the backend's operations work on; this one is the host's.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual void* Allocate(int64_t bytes) { return ::operator new(bytes > 0 ? bytes : 1); }
  virtual void Free(void* memory) { ::operator delete(memory); }
  // On a stream of the caller's, not waited for: operations must follow it by themselves.
  virtual void CopyIn(void* to, const void* from, int64_t bytes) { Copy(to, from, bytes); }
  // Waits for what the caller's stream holds.
  virtual void CopyOut(void* to, const void* from, int64_t bytes) { Copy(to, from, bytes); }

 private:
  static void Copy(void* to, const void* from, int64_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
};

// A vector in that memory.
template <typename T>
class Buffer {
 public:
  Buffer(Memory& memory, const std::vector<T>& values)
      : memory_(memory), size_(values.size()), data_(memory.Allocate(bytes())) {
    memory_.CopyIn(data_, values.data(), bytes());
  }
  ~Buffer() { memory_.Free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() { return static_cast<T*>(data_); }
  int64_t bytes() const { return static_cast<int64_t>(size_ * sizeof(T)); }
  std::vector<T> Read() const {
    std::vector<T> values(size_);
    memory_.CopyOut(values.data(), data_, bytes());
    return values;
  }

 private:
  Memory& memory_;
  const size_t size_;
  void* const data_;
};

class World {
 public:
  virtual ~World() = default;
  // Runs the body for every rank that this process carries, and returns when all are done.
  virtual void Run(const std::function<void(Communicator&, Memory&)>& body) = 0;
};

// What the suite's worlds are made with: pieces and messages small enough to be many.
inline Communicator::Config TestConfig() {
  Communicator::Config config;
  config.deadline = absl::Seconds(100);
  config.piece_bytes = 64 << 10;
  config.message_bytes = 100'003;
  return config;
}

}  // namespace ziprl::comm
