#include "trainer/learner_group.h"

#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/types.pb.h"
#include "trainer/advantage.h"

namespace ziprl {
namespace {

// First byte of a command; the rest is its argument.
enum Command : char {
  kStep = 's',  // groups, each as a string of a v1::ScoredGroup and one of each sample's logits
  kGenerate = 'n',
  kGather = 'g',
  kRelease = 'r',  // "1" if changed
  kSave = 'w',     // directory
  kLoad = 'l',     // directory
  kRead = 'm',     // directory
  kEnd = 'e',
};
constexpr char kLabel[] = "command of the lead learner";

// A string: 8 bytes of length, and its bytes.
void Append(const void* data, uint64_t size, std::string* out) {
  out->append(reinterpret_cast<const char*>(&size), sizeof(size));
  out->append(static_cast<const char*>(data), size);
}

// The next string of *bytes, which loses it.
absl::StatusOr<std::string_view> Take(std::string_view* bytes) {
  uint64_t size = 0;
  if (bytes->size() >= sizeof(size)) std::memcpy(&size, bytes->data(), sizeof(size));
  if (bytes->size() < sizeof(size) || size > bytes->size() - sizeof(size)) {
    return absl::DataLossError("a cut step of the lead");
  }
  const std::string_view out = bytes->substr(sizeof(size), size);
  bytes->remove_prefix(sizeof(size) + size);
  return out;
}

std::string Encode(const std::vector<ScoredGroup>& groups) {
  std::string out;
  for (const ScoredGroup& group : groups) {
    v1::ScoredGroup pb;
    ToPb(group, PromptBody::kWhole, &pb);
    const std::string bytes = pb.SerializeAsString();
    Append(bytes.data(), bytes.size(), &out);
    for (const Completion& completion : group.completions) {
      const std::vector<uint16_t>& logits = completion.selection_logits;
      Append(logits.data(), logits.size() * sizeof(uint16_t), &out);
    }
  }
  return out;
}

absl::Status TakeLogits(std::string_view* bytes, ScoredGroup* group) {
  for (Completion& completion : group->completions) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string_view logits, Take(bytes));
    if (logits.size() % sizeof(uint16_t) != 0) return absl::DataLossError("half a selection logit");
    completion.selection_logits.resize(logits.size() / sizeof(uint16_t));
    if (!logits.empty()) {
      std::memcpy(completion.selection_logits.data(), logits.data(), logits.size());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ScoredGroup>> Decode(std::string_view bytes) {
  std::vector<ScoredGroup> groups;
  while (!bytes.empty()) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string_view one, Take(&bytes));
    v1::ScoredGroup pb;
    if (!pb.ParseFromArray(one.data(), static_cast<int>(one.size()))) {
      return absl::DataLossError(absl::StrCat("group ", groups.size(), " of the lead's step"));
    }
    ZIPRL_ASSIGN_OR_RETURN(ScoredGroup group,
                           FromPb(pb, absl::StrCat("groups[", groups.size(), "]")));
    ZIPRL_RETURN_IF_ERROR(TakeLogits(&bytes, &group));
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace

absl::Status LeadLearner::Send(char kind, const std::string& payload) const {
  std::string command = kind + payload;
  return commands_.BroadcastBytes({kLabel, learner_.step()}, &command, /*root=*/0);
}

absl::StatusOr<StepStats> LeadLearner::Step(const std::vector<ScoredGroup>& groups,
                                            const StepAdvantages& advantages) {
  ZIPRL_RETURN_IF_ERROR(Send(kStep, Encode(groups)));
  return learner_.Step(groups, advantages);
}

absl::Status LeadLearner::BeginGeneration() {
  ZIPRL_RETURN_IF_ERROR(Send(kGenerate, ""));
  return learner_.BeginGeneration();
}

absl::Status LeadLearner::GatherParams() {
  ZIPRL_RETURN_IF_ERROR(Send(kGather, ""));
  return learner_.GatherParams();
}

void LeadLearner::ReleaseParams(bool changed) {
  const absl::Status sent = Send(kRelease, changed ? "1" : "0");
  if (!sent.ok()) LogError(sent.ToString());  // the next call says it again
  learner_.ReleaseParams(changed);
}

absl::Status LeadLearner::SaveState(const std::string& dir) const {
  ZIPRL_RETURN_IF_ERROR(Send(kSave, dir));
  const absl::Status saved = learner_.SaveState(dir);
  // Whole once every rank has written its part.
  ZIPRL_RETURN_IF_ERROR(commands_.Barrier({"checkpoint", learner_.step()}));
  return saved;
}

absl::Status LeadLearner::LoadState(const std::string& dir) {
  ZIPRL_RETURN_IF_ERROR(Send(kLoad, dir));
  return learner_.LoadState(dir);
}

absl::Status LeadLearner::Read(const ReadModel& read_model, const std::string& dir) {
  ZIPRL_RETURN_IF_ERROR(Send(kRead, dir));
  return read_model(dir);
}

absl::Status LeadLearner::End() { return Send(kEnd, ""); }

absl::Status FollowLead(const RunConfig& config, Learner& learner, comm::Communicator& commands,
                        const ReadModel& read_model) {
  while (true) {
    std::string command;
    ZIPRL_RETURN_IF_ERROR(commands.BroadcastBytes({kLabel, learner.step()}, &command, /*root=*/0));
    if (command.empty()) return absl::DataLossError("an empty command of the lead learner");
    const std::string argument = command.substr(1);
    switch (command[0]) {
      case kStep: {
        ZIPRL_ASSIGN_OR_RETURN(const std::vector<ScoredGroup> groups, Decode(argument));
        const auto advantages = ComputeAdvantages(groups, config.reward, config.algorithm);
        ZIPRL_RETURN_IF_ERROR(learner.Step(groups, advantages).status());
        break;
      }
      case kGenerate:
        ZIPRL_RETURN_IF_ERROR(learner.BeginGeneration());
        break;
      case kGather:
        ZIPRL_RETURN_IF_ERROR(learner.GatherParams());
        break;
      case kRelease:
        learner.ReleaseParams(argument == "1");
        break;
      case kSave:
        ZIPRL_RETURN_IF_ERROR(learner.SaveState(argument));
        ZIPRL_RETURN_IF_ERROR(commands.Barrier({"checkpoint", learner.step()}));
        break;
      case kLoad:
        ZIPRL_RETURN_IF_ERROR(learner.LoadState(argument));
        break;
      case kRead:
        ZIPRL_RETURN_IF_ERROR(read_model(argument));
        break;
      case kEnd:
        return absl::OkStatus();
      default:
        return absl::DataLossError(
            absl::StrCat("command '", command.substr(0, 1), "' of the lead learner is unknown"));
    }
  }
}

}  // namespace ziprl
