// One Push call on the coordinator's side: what its parts bring, checked, until it is whole. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/coordinator.h"
#include "trainer/coordinator/coordinator.h"

namespace ziprl {

namespace v1 {
class PushRequest;
class SelectionLogits;
}  // namespace v1

class PushCall {
 public:
  // `run` must outlive the call.
  explicit PushCall(LocalCoordinator& run) : run_(run) {}

  // InvalidArgument, and the call is over, for more groups or bytes than one call may bring or
  // logits of a group that is not there. What is wrong with a single group is told by Finish.
  absl::Status Add(const v1::PushRequest& part);

  // Of the groups that have come so far.
  std::vector<uint64_t> LeaseIds() const;

  // The call is whole: hands the groups in and gives the malformed ones back. The status is that of
  // the first group that was refused.
  absl::Status Finish(const WorkerId& worker);

 private:
  // kTaken: the run would take it, so its logits are kept. kRefused: it would not; Push says why.
  enum class State { kUnknown, kTaken, kRefused, kMalformed };

  absl::Status AddLogits(const v1::SelectionLogits& piece, const std::string& field);
  State StateWithLogits(size_t group);
  void Spoil(size_t group, const absl::Status& why);

  LocalCoordinator& run_;
  std::vector<ScoredGroup> groups_;   // as they came
  std::vector<State> states_;         // of them
  std::vector<absl::Status> errors_;  // of them
  size_t bytes_ = 0;
};

}  // namespace ziprl
