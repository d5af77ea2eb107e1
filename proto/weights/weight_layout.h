// Which tensors a set of weights has and where their bytes lie in one contiguous buffer. A layout
// is only made by checking, so one that came from a peer is as good as our own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ziprl {

struct WeightTensor {
  std::string name;            // Hugging Face name
  std::string dtype;           // as in safetensors: "BF16", "F32", ...
  std::vector<int64_t> shape;  // empty for a scalar
  uint64_t offset = 0;         // of the first byte in the buffer
  uint64_t bytes = 0;
  bool operator==(const WeightTensor&) const = default;
};

// What is believed of a peer's layout.
struct WeightLimits {
  uint64_t max_bytes = uint64_t{1} << 38;  // of the whole buffer: 256 GiB
  uint64_t max_tensors = 65536;
  uint64_t max_name_bytes = 1024;
  uint64_t max_rank = 8;
};

// Bytes of an element, 0 for a dtype that safetensors does not know.
uint64_t DtypeBytes(std::string_view dtype);

// Immutable, thread-safe; shared by all snapshots of a run.
class WeightLayout {
 public:
  using Ptr = std::shared_ptr<const WeightLayout>;

  static constexpr uint64_t kAlignment = 64;     // of the tensors that Pack places
  static constexpr uint64_t kMaxPadding = 4096;  // between two tensors

  // Checks: at least one tensor; names not empty and unique; dtypes known; shape product times
  // element size = bytes; offsets ascending without overlap, aligned to the element, less than
  // kMaxPadding apart; everything within `limits`. InvalidArgument names the tensor and the value.
  static absl::StatusOr<Ptr> Create(std::vector<WeightTensor> tensors,
                                    const WeightLimits& limits = {});

  // Computes bytes and offsets in the given order from dtype and shape, then Create.
  static absl::StatusOr<Ptr> Pack(std::vector<WeightTensor> tensors,
                                  const WeightLimits& limits = {});

  // Encode's opposite, with Create's checks.
  static absl::StatusOr<Ptr> Decode(std::string_view encoded, const WeightLimits& limits = {});

  // count, then per tensor: name, dtype, rank, shape, offset, bytes; varints and counted strings.
  // Equal layouts have equal encodings.
  std::string Encode() const;

  const std::vector<WeightTensor>& tensors() const { return tensors_; }
  const WeightTensor* Find(std::string_view name) const;  // null when there is none
  uint64_t total_bytes() const { return total_bytes_; }   // end of the last tensor
  uint64_t digest() const { return digest_; }             // xxh3-64 of Encode()

 private:
  explicit WeightLayout(std::vector<WeightTensor> tensors);

  std::vector<WeightTensor> tensors_;
  std::map<std::string, size_t, std::less<>> index_;  // name -> place in tensors_
  uint64_t total_bytes_ = 0;
  uint64_t digest_ = 0;
};

}  // namespace ziprl
