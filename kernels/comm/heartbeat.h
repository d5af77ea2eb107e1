// What watchdogs say to each other, as frames: a length of 4 bytes, then the fields. Little-endian.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/comm/op_board.h"

namespace ziprl::comm {

struct Heartbeat {
  enum Kind : uint8_t {
    kHello = 1,    // a rank to rank 0, first: text is the job's key
    kAlive = 2,    // of `rank`, also passed on by rank 0
    kGoodbye = 3,  // `rank` ends as it should
    kFailing = 4,  // `rank` ends by an error of its own: text says which
    kVerdict = 5,  // rank 0 to all: `rank` failed, text is the line to print
  };
  Kind kind = kAlive;
  int32_t rank = 0;
  int32_t pid = 0;
  std::string host;
  Activity activity;
  std::string text;
};

inline constexpr int64_t kMaxFrameBytes = 64 << 10;  // without the length

// Texts are cut so that the frame fits.
std::string EncodeFrame(const Heartbeat& heartbeat);
// `frame` without its length. InvalidArgument for anything EncodeFrame does not write.
absl::StatusOr<Heartbeat> DecodeFrame(std::string_view frame);

}  // namespace ziprl::comm
