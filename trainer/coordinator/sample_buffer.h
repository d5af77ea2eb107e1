// The groups of the steps to come, in prompt order, and what has become of each: to be leased,
// leased, complete. Owns back-pressure (no prompt is drawn for a step further ahead than the
// staleness limit allows) and the staleness rule. Pure and not thread-safe: the coordinator locks
// and tells the time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/coordinator.h"
#include "proto/types.h"

namespace ziprl {

class SampleBuffer {
 public:
  struct Config {
    int prompts_per_step = 1;
    int max_staleness = 0;      // versions between sampling a group and training on it
    int64_t steps = 0;          // that the learner will ask for
    PolicyVersion version = 0;  // weights that are live at the start
    absl::Duration lease_timeout = absl::Seconds(600);
    std::string weights;            // of every lease
    bool selection_logits = false;  // samples have them: RecordsSelectionLogits

    // A coordinator that takes over a run under way:
    int64_t steps_in_training = 0;  // given to the learner, whose version is not published yet
    uint64_t position = 0;          // prompts with smaller ids have been given to the learner
    uint64_t first_lease_id = 1;    // of this coordinator
    uint64_t oldest_lease_id = 1;  // of this life of the learner, coordinators before this included
  };

  explicit SampleBuffer(const Config& config);

  // Whether another prompt may be drawn now, or a known group waits to be leased (again).
  bool WantsPrompt() const;
  bool HasPending() const;

  // The next group in prompt order, planned (PlanGroup). Only when WantsPrompt().
  void Add(GroupLease group);

  // Hands the first pending group to the worker. Only when HasPending().
  GroupLease Lease(const WorkerId& worker, absl::Time now);

  // Takes a scored group in, with the prompt that was leased. The first valid answer wins, also one
  // that comes after its lease ran out, or from a lease of the coordinator before this one.
  //   AlreadyExists       the group is complete or trained on
  //   NotFound            no such lease was ever given
  //   FailedPrecondition  sampled under too old a version, one that never was live, or for an
  //                       earlier life of the learner; the group waits to be leased again
  //   InvalidArgument     not the samples that were asked for; the group waits to be leased again
  absl::Status Accept(ScoredGroup group);
  // What Accept would say of the group, its selection logits apart. Changes nothing.
  absl::Status Check(const ScoredGroup& group) const;

  // Ends leases early: one, all of a worker that is not `keep`-incarnated, all that ran out. Their
  // groups wait to be leased again, before newer ones.
  void Return(const WorkerId& worker, uint64_t lease_id);
  void ReturnOlderIncarnations(const WorkerId& keep);
  void ReturnAllOf(const std::string& worker);
  void ReturnExpired(absl::Time now);

  // A worker that hands in groups is at work on its others: their leases run from now.
  void Renew(const WorkerId& worker, absl::Time now);

  // The groups of the next step in prompt order once all are complete; nullopt before. Groups that
  // have become too stale wait to be leased again instead. Those of the live version come without
  // their selection logits: the learner computes them.
  std::optional<std::vector<ScoredGroup>> TakeStep();

  // The steps taken so far are trained on and `version` is live.
  void Publish(PolicyVersion version);

  bool Exhausted() const { return taken_steps_ >= TotalSteps(); }
  int64_t taken_steps() const { return taken_steps_; }
  int64_t steps() const { return TotalSteps(); }  // those in training at the start included
  PolicyVersion version() const { return version_; }
  int complete_groups() const;  // of the next step

  // Whether the lease is of the coordinator before this one, in the same life of the learner: its
  // group is known by its prompt. And whether that prompt has been drawn here (Add) or taken.
  bool IsInherited(uint64_t lease_id) const {
    return lease_id >= config_.oldest_lease_id && lease_id < config_.first_lease_id;
  }
  bool HasDrawn(uint64_t prompt_id) const;

  struct Counts {
    int pending = 0, leased = 0, complete = 0;
    std::map<std::string, int> leased_by;  // worker's name
  };
  Counts Count() const;

 private:
  enum class State { kPending, kLeased, kComplete };
  struct Slot {
    State state = State::kPending;
    GroupLease group;    // as it was last leased
    WorkerId worker;     // kLeased
    absl::Time expires;  // kLeased
    ScoredGroup scored;  // kComplete
  };

  int64_t TotalSteps() const { return config_.steps + config_.steps_in_training; }
  int64_t SlotsTaken() const { return taken_steps_ * config_.prompts_per_step; }
  int64_t StepOf(int64_t slot) const { return slot / config_.prompts_per_step; }
  PolicyVersion VersionAtUse(int64_t slot) const;
  bool TooStale(int64_t slot, PolicyVersion sampled_under) const;
  absl::StatusOr<int64_t> FindSlot(const ScoredGroup& group) const;
  absl::StatusOr<int64_t> FindInherited(const ScoredGroup& group) const;
  void MakePending(Slot& slot) { slot.state = State::kPending; }
  absl::Status CheckSamples(const Slot& slot, const ScoredGroup& group) const;
  absl::Status CheckLogits(const ScoredGroup& group) const;
  const Slot& SlotAt(int64_t slot) const {
    return slots_[static_cast<size_t>(slot - SlotsTaken())];
  }
  absl::Status CheckVersion(int64_t slot, const ScoredGroup& group) const;

  const Config config_;
  PolicyVersion version_;
  int64_t taken_steps_ = 0;    // given to the learner
  int64_t trained_steps_ = 0;  // of these, trained on and published
  uint64_t next_lease_id_;
  uint64_t next_prompt_id_;                    // prompts with smaller ids are taken
  std::deque<Slot> slots_;                     // slots_[k] is slot SlotsTaken() + k
  std::map<uint64_t, int64_t> slot_of_lease_;  // every lease given for a slot that is not taken yet
};

}  // namespace ziprl
