#include "trainer/coordinator/sample_buffer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"

namespace ziprl {

SampleBuffer::SampleBuffer(const Config& config)
    : config_(config),
      version_(config.version),
      taken_steps_(config.steps_in_training),
      next_lease_id_(config.first_lease_id),
      next_prompt_id_(config.position) {}

bool SampleBuffer::WantsPrompt() const {
  const int64_t slot = SlotsTaken() + static_cast<int64_t>(slots_.size());
  return StepOf(slot) < TotalSteps() && StepOf(slot) <= trained_steps_ + config_.max_staleness;
}

bool SampleBuffer::HasPending() const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const Slot& slot) { return slot.state == State::kPending; });
}

void SampleBuffer::Add(GroupLease group) {
  slots_.emplace_back();
  slots_.back().group = std::move(group);
}

GroupLease SampleBuffer::Lease(const WorkerId& worker, absl::Time now) {
  const auto slot = std::find_if(slots_.begin(), slots_.end(),
                                 [](const Slot& s) { return s.state == State::kPending; });
  slot->state = State::kLeased;
  slot->worker = worker;
  slot->expires = now + config_.lease_timeout;
  slot->group.lease_id = next_lease_id_++;
  slot->group.version = version_;
  slot->group.weights = config_.weights;
  slot_of_lease_[slot->group.lease_id] = SlotsTaken() + (slot - slots_.begin());
  return slot->group;
}

// A step is trained on when every step before it has been, each raising the version by one.
PolicyVersion SampleBuffer::VersionAtUse(int64_t slot) const {
  return version_ + (StepOf(slot) - trained_steps_);
}

bool SampleBuffer::TooStale(int64_t slot, PolicyVersion sampled_under) const {
  return VersionAtUse(slot) - sampled_under > config_.max_staleness;
}

namespace {

// The recorded selection covers the prompt: the learner will replay it.
bool FitsPrompt(const KeptSets& kept, const Prompt& prompt) {
  if (kept.events.empty()) return true;
  return std::all_of(kept.events[0].begin(), kept.events[0].end(),
                     [&](const Bitmap& layer) { return layer.size == prompt.token_ids.size(); });
}

}  // namespace

absl::Status SampleBuffer::CheckSamples(const Slot& slot, const ScoredGroup& group) const {
  const size_t asked = slot.group.samples.size();
  if (group.prompt.id != slot.group.prompt.id) {
    return absl::InvalidArgumentError(
        absl::StrFormat("lease %d is of prompt %d, pushed was prompt %d", group.lease_id,
                        slot.group.prompt.id, group.prompt.id));
  }
  if (group.completions.size() != asked || group.scores.size() != asked) {
    return absl::InvalidArgumentError(
        absl::StrFormat("lease %d asks for %d samples, pushed were %d with %d scores",
                        group.lease_id, asked, group.completions.size(), group.scores.size()));
  }
  for (size_t i = 0; i < asked; ++i) {
    const SampleRequest& want = slot.group.samples[i];
    const Completion& got = group.completions[i];
    if (got.index != want.index || got.seed != want.seed) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "lease %d: sample %d has index %d and seed %d, asked for was index %d and seed %d",
          group.lease_id, i, got.index, got.seed, want.index, want.seed));
    }
    if (!FitsPrompt(got.kept, slot.group.prompt)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("lease %d: sample %d: a kept set does not cover the prompt's %d tokens",
                          group.lease_id, i, slot.group.prompt.token_ids.size()));
    }
  }
  return absl::OkStatus();
}

absl::Status SampleBuffer::CheckLogits(const ScoredGroup& group) const {
  for (size_t i = 0; i < group.completions.size(); ++i) {
    const Completion& got = group.completions[i];
    const bool recorded = config_.selection_logits && got.p < 1.0;
    const size_t wanted = recorded ? got.NumSelectionLogits() : 0;
    if (got.selection_logits.size() == wanted && (wanted > 0 || !recorded)) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "lease %d: sample %d has %d selection logits, its kept sets account for %d%s",
        group.lease_id, i, got.selection_logits.size(), got.NumSelectionLogits(),
        config_.selection_logits ? "" : " and this run records none"));
  }
  return absl::OkStatus();
}

absl::Status SampleBuffer::CheckVersion(int64_t slot, const ScoredGroup& group) const {
  if (group.version > version_) {
    return absl::FailedPreconditionError(
        absl::StrFormat("lease %d: sampled under version %d, version %d is live", group.lease_id,
                        group.version, version_));
  }
  if (!TooStale(slot, group.version)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "lease %d: sampled under version %d, version %d is live and rollout.max_staleness is %d",
      group.lease_id, group.version, version_, config_.max_staleness));
}

bool SampleBuffer::HasDrawn(uint64_t prompt_id) const {
  return prompt_id < next_prompt_id_ ||
         (!slots_.empty() && prompt_id <= slots_.back().group.prompt.id);
}

absl::StatusOr<int64_t> SampleBuffer::FindInherited(const ScoredGroup& group) const {
  if (group.prompt.id < next_prompt_id_) {
    return absl::AlreadyExistsError(
        absl::StrFormat("prompt %d has been trained on", group.prompt.id));
  }
  for (size_t k = 0; k < slots_.size(); ++k) {
    if (slots_[k].group.prompt.id == group.prompt.id) {
      return SlotsTaken() + static_cast<int64_t>(k);
    }
  }
  return absl::NotFoundError(
      absl::StrFormat("prompt %d is of no step that is being sampled", group.prompt.id));
}

absl::StatusOr<int64_t> SampleBuffer::FindSlot(const ScoredGroup& group) const {
  if (group.lease_id == 0 || group.lease_id >= next_lease_id_) {
    return absl::NotFoundError(absl::StrFormat("lease %d was never given", group.lease_id));
  }
  if (group.lease_id < config_.oldest_lease_id) {
    return absl::FailedPreconditionError(
        absl::StrFormat("lease %d is of an earlier life of the learner", group.lease_id));
  }
  if (IsInherited(group.lease_id)) return FindInherited(group);
  const auto found = slot_of_lease_.find(group.lease_id);
  if (found != slot_of_lease_.end()) return found->second;
  return absl::AlreadyExistsError(
      absl::StrFormat("lease %d: its group has been trained on", group.lease_id));
}

absl::Status SampleBuffer::Check(const ScoredGroup& group) const {
  ZIPRL_ASSIGN_OR_RETURN(const int64_t at, FindSlot(group));
  const Slot& slot = SlotAt(at);
  if (slot.state == State::kComplete) {
    return absl::AlreadyExistsError(
        absl::StrFormat("lease %d: its group is complete", group.lease_id));
  }
  ZIPRL_RETURN_IF_ERROR(CheckSamples(slot, group));
  return CheckVersion(at, group);
}

absl::Status SampleBuffer::Accept(ScoredGroup group) {
  ZIPRL_ASSIGN_OR_RETURN(const int64_t at, FindSlot(group));
  Slot& slot = slots_[static_cast<size_t>(at - SlotsTaken())];
  absl::Status status = Check(group);
  if (status.ok()) status = CheckLogits(group);
  if (!status.ok()) {
    const bool current = slot.state == State::kLeased && slot.group.lease_id == group.lease_id;
    if (current) MakePending(slot);
    return status;
  }
  slot.state = State::kComplete;
  slot.scored = std::move(group);
  slot.scored.prompt = slot.group.prompt;
  slot.scored.group_seed = slot.group.group_seed;
  for (Completion& completion : slot.scored.completions) completion.version = slot.scored.version;
  return absl::OkStatus();
}

void SampleBuffer::Return(const WorkerId& worker, uint64_t lease_id) {
  for (Slot& slot : slots_) {
    if (slot.state == State::kLeased && slot.group.lease_id == lease_id &&
        slot.worker.name == worker.name) {
      MakePending(slot);
    }
  }
}

void SampleBuffer::ReturnOlderIncarnations(const WorkerId& keep) {
  for (Slot& slot : slots_) {
    if (slot.state == State::kLeased && slot.worker.name == keep.name &&
        slot.worker.incarnation < keep.incarnation) {
      MakePending(slot);
    }
  }
}

void SampleBuffer::ReturnAllOf(const std::string& worker) {
  for (Slot& slot : slots_) {
    if (slot.state == State::kLeased && slot.worker.name == worker) MakePending(slot);
  }
}

void SampleBuffer::ReturnExpired(absl::Time now) {
  for (Slot& slot : slots_) {
    if (slot.state == State::kLeased && slot.expires <= now) MakePending(slot);
  }
}

void SampleBuffer::Renew(const WorkerId& worker, absl::Time now) {
  for (Slot& slot : slots_) {
    if (slot.state == State::kLeased && slot.worker.name == worker.name &&
        slot.worker.incarnation == worker.incarnation) {
      slot.expires = now + config_.lease_timeout;
    }
  }
}

int SampleBuffer::complete_groups() const {
  const size_t step = std::min(slots_.size(), static_cast<size_t>(config_.prompts_per_step));
  return static_cast<int>(
      std::count_if(slots_.begin(), slots_.begin() + static_cast<int64_t>(step),
                    [](const Slot& slot) { return slot.state == State::kComplete; }));
}

SampleBuffer::Counts SampleBuffer::Count() const {
  Counts counts;
  for (const Slot& slot : slots_) {
    counts.pending += slot.state == State::kPending;
    counts.complete += slot.state == State::kComplete;
    if (slot.state != State::kLeased) continue;
    ++counts.leased;
    ++counts.leased_by[slot.worker.name];
  }
  return counts;
}

namespace {

void DropLogits(ScoredGroup& group) {
  for (Completion& completion : group.completions) {
    std::vector<uint16_t>().swap(completion.selection_logits);
  }
}

}  // namespace

std::optional<std::vector<ScoredGroup>> SampleBuffer::TakeStep() {
  if (Exhausted() || complete_groups() < config_.prompts_per_step) return std::nullopt;
  bool all_fresh = true;
  for (int k = 0; k < config_.prompts_per_step; ++k) {
    Slot& slot = slots_[static_cast<size_t>(k)];
    if (!TooStale(SlotsTaken() + k, slot.scored.version)) continue;
    slot.scored = ScoredGroup();
    MakePending(slot);
    all_fresh = false;
  }
  if (!all_fresh) return std::nullopt;
  std::vector<ScoredGroup> groups;
  for (int k = 0; k < config_.prompts_per_step; ++k) {
    groups.push_back(std::move(slots_.front().scored));
    if (groups.back().version == VersionAtUse(SlotsTaken())) DropLogits(groups.back());
    slots_.pop_front();
  }
  ++taken_steps_;
  next_prompt_id_ = groups.back().prompt.id + 1;
  std::erase_if(slot_of_lease_, [this](const auto& entry) { return entry.second < SlotsTaken(); });
  return groups;
}

void SampleBuffer::Publish(PolicyVersion version) {
  version_ = version;
  trained_steps_ = taken_steps_;
}

}  // namespace ziprl
