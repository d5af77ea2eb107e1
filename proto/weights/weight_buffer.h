// Memory for whole sets of weights, given back and used again: a fresh gigabyte costs a quarter
// of a million page faults, the next version has the same size as the last one. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"

namespace ziprl {

class WeightBufferPool {
 public:
  // Keeps at most `keep` unused buffers.
  explicit WeightBufferPool(int keep = 2);
  // The same of other memory: `allocate` gives so many bytes, or says why not.
  using Allocate = std::function<absl::StatusOr<std::shared_ptr<char>>(uint64_t bytes)>;
  WeightBufferPool(int keep, Allocate allocate);

  // `bytes` bytes, aligned to a page, with unspecified contents. They return to the pool with the
  // last reference, also after the pool itself has ended. Memory is only taken as it is written.
  // ResourceExhausted when the system refuses.
  absl::StatusOr<std::shared_ptr<char>> Take(uint64_t bytes);

 private:
  class Shelf;
  const std::shared_ptr<Shelf> shelf_;
  const Allocate allocate_;
};

}  // namespace ziprl
