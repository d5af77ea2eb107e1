// What both ends of a broadcast of weights have in common: bytes in pieces, each an operation with
// a label and a deadline of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/comm/communicator.h"
#include "kernels/comm/device_stream.h"
#include "proto/weights/checksum.h"

namespace ziprl {

inline constexpr int kWeightRoot = 0;  // who sends
inline constexpr int64_t kWeightPieceBytes = int64_t{64} << 20;
static_assert(kWeightPieceBytes % kWeightChunkBytes == 0);

comm::OpLabel WeightLabel(const std::string& what, int64_t version);

// Where bytes [begin, begin + bytes) lie, memory of the group's kind.
using PieceAt = std::function<absl::StatusOr<char*>(int64_t begin, int64_t bytes)>;
using PieceDone = std::function<absl::Status(int64_t begin, int64_t bytes)>;

// Calls done(piece) once it has travelled, while the next one does: at(next) comes before it.
// Behind an error the memory must live until the process ends.
absl::Status BroadcastPieces(comm::Communicator& group, const comm::OpLabel& label, int64_t bytes,
                             const PieceAt& at, const PieceDone& done);

// A message that comes late may still land there: never freed.
void KeepToTheEnd(std::shared_ptr<char> memory);

// Two pieces of a GPU's memory, in turn. Behind an error they are kept to the end.
class PieceBuckets {
 public:
  explicit PieceBuckets(comm::DeviceStream& gpu) : gpu_(gpu) {}

  // The bucket of the piece that begins there. Errors: DeviceStream::Allocate's.
  absl::StatusOr<char*> At(int64_t begin);
  void KeepToTheEnd();

 private:
  comm::DeviceStream& gpu_;
  std::shared_ptr<char> buckets_[2];
};

// Checksums of a GPU's memory, of a copy in the host's: what they are compared with, those of every
// other way of the weights, are xxh3-64, which is serial within a chunk and made for the CPU. The
// copy and the checksums take their time while the next piece travels.
class DeviceChecksums {
 public:
  DeviceChecksums(comm::DeviceStream& gpu, int threads) : gpu_(gpu), threads_(threads) {}

  // Appends those of the next piece, which lies at `device`. `to` (null: nowhere) gets the copy.
  absl::Status Add(const char* device, int64_t bytes, char* to, absl::Duration deadline);
  std::vector<uint64_t> Take() { return std::move(checksums_); }

 private:
  comm::DeviceStream& gpu_;
  const int threads_;
  std::shared_ptr<char> scratch_;  // page-locked
  std::vector<uint64_t> checksums_;
};

}  // namespace ziprl
