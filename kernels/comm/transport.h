// Messages between the ranks of one group: all that a host backend must provide (see pairwise.h).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/comm/operation.h"

namespace ziprl::comm {

struct Message {
  int peer;       // rank in the group, never the own one
  bool outgoing;  // data is sent; else received
  void* data;     // only read when outgoing
  int64_t bytes;  // > 0
};

// Messages under way. The destructor gives up those that are not done.
class MessageBatch {
 public:
  virtual ~MessageBatch() = default;
  // OK when all are done; DeadlineExceeded when some are not by then, see Missing().
  virtual absl::Status Wait(SteadyTime expires) = 0;
  // The peers of messages that are not done, ascending.
  virtual std::vector<int> Missing() const = 0;
};

// Between two ranks, messages of one operation match in the order of their start; those of
// different operations never match. Sizes that differ are an error on at least one side.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual absl::StatusOr<std::unique_ptr<MessageBatch>> Start(
      const Operation& op, const std::vector<Message>& messages) = 0;
};

}  // namespace ziprl::comm
