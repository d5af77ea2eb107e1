// Seam: generates the samples of prompt groups under the current policy.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/types.h"

namespace ziprl {

// Groups for a call of an engine, handed out one by one as it has room for them. Thread-safe.
class GroupStream {
 public:
  virtual ~GroupStream() = default;

  // The next group; null when there is none now. A caller with nothing else to do is `idle`: it
  // waits while groups that were handed out are under way, and null means the end. The group stays
  // the stream's, and as it is until Done.
  virtual const GroupLease* Next(bool idle) = 0;

  // What was generated for a group that Next gave: [j] belongs to samples[j].
  virtual void Done(const GroupLease& group, std::vector<Completion> completions) = 0;

  // For the rest of this call Next gives nothing.
  virtual void Close() = 0;
};

class RolloutEngine {
 public:
  virtual ~RolloutEngine() = default;

  // Generates every sample of every group that the stream gives, several groups at a time. A group
  // whose version is not the engine's is refused with FailedPrecondition; a prompt that cannot be
  // processed (unreadable image) fails the call with InvalidArgument naming the row. On an error
  // groups may be left without Done.
  virtual absl::Status GenerateStream(GroupStream& groups) = 0;

  // Groups that will be generated soon: what needs no weights, decoding images, may begin. From any
  // thread.
  virtual void Prepare(const std::vector<GroupLease>&) {}

  // Lets go of what earlier calls have left behind and the next version has no use for. Not while
  // something is generated.
  virtual void FreeMemory() {}

  // Version of the weights the engine holds.
  virtual PolicyVersion version() const = 0;

  // These groups as one call: result [i][j] belongs to leases[i].samples[j].
  absl::StatusOr<std::vector<std::vector<Completion>>> Generate(
      const std::vector<GroupLease>& leases);
};

}  // namespace ziprl
