// An engine whose weights follow the learner's: before it generates for leases of another version
// it brings that version in. One thread at a time.
#pragma once

#include <functional>
#include <vector>

#include "proto/rollout_engine.h"

namespace ziprl {

class FollowingEngine : public RolloutEngine {
 public:
  // Makes the lease's version the engine's. FailedPrecondition: it cannot be had (any more); the
  // worker asks for other leases.
  using Follow = std::function<absl::Status(const GroupLease& lease)>;

  // The engine must outlive it.
  FollowingEngine(RolloutEngine& engine, Follow follow)
      : engine_(engine), follow_(std::move(follow)) {}

  absl::StatusOr<std::vector<std::vector<Completion>>> Generate(
      const std::vector<GroupLease>& leases) override;
  PolicyVersion version() const override { return engine_.version(); }

 private:
  RolloutEngine& engine_;
  const Follow follow_;
};

}  // namespace ziprl
