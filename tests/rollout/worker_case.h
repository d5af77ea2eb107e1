// A coordinator and an engine for tests of the worker: neither torch nor gRPC.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <stdexcept>
#include <utility>
#include <vector>

#include "configs/base/mutex.h"
#include "rollout/worker.h"

namespace ziprl {

inline constexpr char kName[] = "worker";

// Serves scripted leases, then reports the end of the run; remembers what it was told.
class FakeCoordinator : public Coordinator {
 public:
  absl::StatusOr<std::vector<GroupLease>> Lease(const WorkerId& worker, int max_groups,
                                                absl::Duration wait) override {
    EXPECT_EQ(worker.name, kName);
    if (throws) throw std::runtime_error("no memory");
    MutexLock lock(&mutex_);
    asked_for.push_back(max_groups);
    if (script.empty() && open) return std::vector<GroupLease>();
    if (script.empty()) return absl::OutOfRangeError("the run is over");
    const auto next = script.front();
    script.pop_front();
    return next;
  }
  absl::Status Push(const WorkerId& worker, std::vector<ScoredGroup> groups) override {
    MutexLock lock(&mutex_);
    for (ScoredGroup& group : groups) pushed.push_back(std::move(group));
    return push_status;
  }
  absl::Status Abandon(const WorkerId& worker, const std::vector<uint64_t>& lease_ids) override {
    MutexLock lock(&mutex_);
    abandoned.insert(abandoned.end(), lease_ids.begin(), lease_ids.end());
    ++abandons;
    return abandon_status;
  }
  absl::StatusOr<std::vector<ScoredGroup>> NextStep(absl::Duration wait) override {
    return absl::UnimplementedError("learner side");
  }
  absl::Status PublishVersion(PolicyVersion version) override {
    return absl::UnimplementedError("learner side");
  }
  absl::StatusOr<int64_t> StaleGroups() override {
    return absl::UnimplementedError("learner side");
  }

  std::deque<absl::StatusOr<std::vector<GroupLease>>> script;
  std::vector<ScoredGroup> pushed;
  std::vector<uint64_t> abandoned;
  int abandons = 0;  // calls
  absl::Status push_status, abandon_status;
  bool throws = false;  // instead of a lease
  std::vector<int> asked_for;
  bool open = false;  // behind the script there is nothing, rather than the run's end

 private:
  Mutex mutex_;
};

// One group after another, or the next one begins before the one at work is done. The token is the
// lease's id. Refuses leases of another version.
class FakeEngine : public RolloutEngine {
 public:
  absl::Status GenerateStream(GroupStream& stream) override {
    ++calls;
    if (!status.ok()) return status;
    const GroupLease* before = nullptr;
    while (const GroupLease* lease = stream.Next(/*idle=*/true)) {
      if (lease->version != version_) return absl::FailedPreconditionError("another version");
      if (lease->lease_id == lost) continue;
      if (before != nullptr) Finish(*std::exchange(before, nullptr), stream);
      if (two) {
        before = lease;
      } else {
        Finish(*lease, stream);
      }
    }
    if (before != nullptr) Finish(*before, stream);
    return absl::OkStatus();
  }
  void Finish(const GroupLease& lease, GroupStream& stream) {
    std::vector<Completion> completions;
    for (const SampleRequest& sample : lease.samples) {
      Completion completion;
      completion.index = sample.index;
      completion.token_ids = {static_cast<int32_t>(lease.lease_id)};
      completions.push_back(completion);
    }
    ++groups;
    stream.Done(lease, std::move(completions));
  }
  void Prepare(const std::vector<GroupLease>& leases) override { prepared += leases.size(); }
  PolicyVersion version() const override { return version_; }

  absl::Status status;
  PolicyVersion version_ = 3;
  uint64_t lost = 0;  // id of the lease that it forgets
  bool two = false;   // groups at a time
  std::atomic<int> calls = 0, groups = 0;
  std::atomic<size_t> prepared = 0;
};

inline GroupLease MakeLease(uint64_t id, int samples, PolicyVersion version = 3) {
  GroupLease lease;
  lease.lease_id = id;
  lease.group_seed = 100 + id;
  lease.version = version;
  lease.prompt.row = static_cast<int64_t>(id);
  for (int i = 0; i < samples; ++i) lease.samples.push_back({i, 0.9, 7});
  return lease;
}

inline std::vector<Score> ScoreAll(const Prompt& prompt,
                                   const std::vector<Completion>& completions) {
  std::vector<Score> scores(completions.size());
  for (Score& score : scores) {
    score.status = ScoreStatus::kScored;
    score.components["accuracy"] = static_cast<double>(prompt.row);
  }
  return scores;
}

}  // namespace ziprl
