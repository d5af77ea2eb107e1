#include "trainer/coordinator/push_call.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/coordinator.pb.h"
#include "proto/rpc.h"
#include "proto/selection_logits.h"
#include "trainer/coordinator/coordinator_handler.h"

namespace ziprl {

absl::Status PushCall::Add(const v1::PushRequest& part) {
  const size_t groups = groups_.size() + static_cast<size_t>(part.groups_size());
  if (groups > kMaxGroupsPerCall) {
    return absl::InvalidArgumentError(
        absl::StrFormat("groups: %d, at most %d go in one call", groups, kMaxGroupsPerCall));
  }
  for (const v1::ScoredGroup& in : part.groups()) {
    bytes_ += in.ByteSizeLong();
    absl::StatusOr<ScoredGroup> group = FromPb(in, absl::StrFormat("groups[%d]", groups_.size()));
    errors_.push_back(group.status());
    states_.push_back(group.ok() ? State::kUnknown : State::kMalformed);
    groups_.push_back(group.ok() ? *std::move(group) : ScoredGroup());
    groups_.back().lease_id = in.lease_id();
  }
  if (bytes_ > static_cast<size_t>(kMaxMessageBytes)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("groups: %d bytes, at most %d go in one call", bytes_, kMaxMessageBytes));
  }
  for (int i = 0; i < part.selection_logits_size(); ++i) {
    ZIPRL_RETURN_IF_ERROR(
        AddLogits(part.selection_logits(i), absl::StrFormat("selection_logits[%d]", i)));
  }
  return absl::OkStatus();
}

// Only a group that the run waits for may take up room for its logits.
PushCall::State PushCall::StateWithLogits(size_t group) {
  State& state = states_[group];
  if (state != State::kUnknown) return state;
  if (!run_.records_selection_logits()) {
    Spoil(group, absl::InvalidArgumentError(absl::StrFormat(
                     "groups[%d]: it has selection logits, this run records none", group)));
    return state;
  }
  state = run_.Expects(groups_[group]).ok() ? State::kTaken : State::kRefused;
  return state;
}

void PushCall::Spoil(size_t group, const absl::Status& why) {
  errors_[group] = why;
  states_[group] = State::kMalformed;
  std::vector<Completion>().swap(groups_[group].completions);
}

absl::Status PushCall::AddLogits(const v1::SelectionLogits& piece, const std::string& field) {
  if (piece.group() >= groups_.size()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s.group: %d, there are %d", field, piece.group(), groups_.size()));
  }
  if (StateWithLogits(piece.group()) != State::kTaken) return absl::OkStatus();
  const absl::Status added = AddSelectionLogits(piece, field, absl::MakeSpan(groups_));
  if (!added.ok()) Spoil(piece.group(), added);
  return absl::OkStatus();
}

std::vector<uint64_t> PushCall::LeaseIds() const {
  std::vector<uint64_t> ids;
  for (const ScoredGroup& group : groups_) ids.push_back(group.lease_id);
  return ids;
}

absl::Status PushCall::Finish(const WorkerId& worker) {
  absl::Status first;
  std::vector<ScoredGroup> whole;
  std::vector<uint64_t> malformed;
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (states_[g] == State::kTaken) {
      errors_[g] = CheckSelectionLogits(groups_[g], absl::StrFormat("groups[%d]", g));
    }
    first.Update(errors_[g]);
    if (errors_[g].ok()) {
      whole.push_back(std::move(groups_[g]));
    } else {
      malformed.push_back(groups_[g].lease_id);
    }
  }
  if (!malformed.empty()) ZIPRL_RETURN_IF_ERROR(run_.Abandon(worker, malformed));
  first.Update(run_.Push(worker, std::move(whole)));
  return first;
}

}  // namespace ziprl
