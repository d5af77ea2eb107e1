#include "rollout/sparse_engine.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "model/device.h"
#include "model/visual_features.h"
#include "rollout/decode.h"
#include "rollout/group.h"

namespace ziprl {
namespace {

std::vector<const MediaRef*> MediaOf(const std::vector<GroupLease>& leases) {
  std::vector<const MediaRef*> media;
  for (const GroupLease& lease : leases) {
    for (const MediaRef& medium : lease.prompt.media) media.push_back(&medium);
  }
  return media;
}

// Groups that decode as one batch. Each enters once there is room and leaves when it is done.
class Lane {
 public:
  Lane(const EngineContext& context, VisualFeatures& features, GroupStream& groups)
      : context_(context), features_(features), groups_(groups), batch_(context) {}

  // `first` and, if asked, what else the stream gives.
  absl::Status Generate(const GroupLease& first, bool more) {
    next_ = &first;
    more_ = more;
    while (true) {
      ZIPRL_RETURN_IF_ERROR(Fill());
      if (batch_.empty()) return absl::OkStatus();
      batch_.Step();
      FinishGroups();
    }
  }

 private:
  struct Started {
    const GroupLease* group;
    std::vector<Sequence> sequences;
  };

  // Starts groups while there are any and the next one has room.
  absl::Status Fill() {
    while (true) {
      if (more_ && next_ == nullptr && batch_.HasRoom(1, 1)) {
        next_ = groups_.Next(/*idle=*/batch_.empty());
      }
      if (next_ == nullptr || !HasRoom(*next_)) return absl::OkStatus();
      ZIPRL_RETURN_IF_ERROR(Start(*std::exchange(next_, nullptr)));
      FinishGroups();  // its first tokens may have been its last
    }
  }

  bool HasRoom(const GroupLease& group) const {
    return batch_.HasRoom(static_cast<int64_t>(group.samples.size()),
                          static_cast<int64_t>(group.prompt.token_ids.size()));
  }

  absl::Status Start(const GroupLease& group) {
    ZIPRL_ASSIGN_OR_RETURN(PrefilledGroup prefilled, StartGroup(context_, features_, group));
    started_.push_back({&group, std::move(prefilled.sequences)});
    std::vector<Sequence*> sequences;
    for (Sequence& sequence : started_.back().sequences) sequences.push_back(&sequence);
    if (!sequences.empty()) batch_.Join(sequences, prefilled.last_rows);
    return absl::OkStatus();
  }

  void FinishGroups() {
    started_.remove_if([this](Started& one) {
      if (!std::all_of(one.sequences.begin(), one.sequences.end(),
                       [](const Sequence& sequence) { return sequence.done; })) {
        return false;
      }
      std::vector<Completion> completions;
      for (Sequence& sequence : one.sequences) {
        completions.push_back(FinishSequence(context_, std::move(sequence)));
      }
      groups_.Done(*one.group, std::move(completions));
      return true;
    });
  }

  const EngineContext& context_;
  VisualFeatures& features_;
  GroupStream& groups_;
  DecodeBatch batch_;
  const GroupLease* next_ = nullptr;  // handed out, waits for room
  bool more_ = false;
  std::list<Started> started_;
};

class SparseEngine : public RolloutEngine {
 public:
  SparseEngine(const EngineConfig& config, std::shared_ptr<const Model> model,
               std::shared_ptr<VisualFeatures> features)
      : config_(config), model_(std::move(model)), features_(std::move(features)) {}

  absl::Status GenerateStream(GroupStream& groups) override {
    ZIPRL_ASSIGN_OR_RETURN(const EngineContext context, MakeEngineContext(config_, *model_));
    // Threads are spread over groups first; what is left works inside operations, where bits may
    // depend on it. With fewer groups than threads that is decided anew once they are done, and
    // what comes meanwhile waits for it.
    const int threads = SideBySide(std::max(1, config_.threads), model_->device.device);
    std::vector<const GroupLease*> first;
    while (static_cast<int>(first.size()) < threads) {
      const GroupLease* group = groups.Next(/*idle=*/first.empty());
      if (group == nullptr) break;
      first.push_back(group);
    }
    if (first.empty()) return absl::OkStatus();
    const int lanes = static_cast<int>(first.size());
    const int inner = config_.deterministic ? 1 : threads / lanes;
    const bool more = lanes == threads;
    std::vector<absl::Status> status(lanes);
    ParallelUnits(lanes, lanes, [&](int lane, int) {
      status[lane] = GuardTorch(
          inner, [&] { return Lane(context, *features_, groups).Generate(*first[lane], more); });
      if (!status[lane].ok()) groups.Close();
    });
    for (const absl::Status& each : status) ZIPRL_RETURN_IF_ERROR(each);
    return absl::OkStatus();
  }

  void Prepare(const std::vector<GroupLease>& leases) override {
    if (!leases.empty()) {
      features_->Prefetch(*model_, MediaOf(leases), leases.front().version);
    }
  }

  // Caches and activations live as long as their Generate call; what outlives it is what the tower
  // gave, and the memory that allocators keep.
  void FreeMemory() override {
    features_->DropOutputs();
    ReturnFreeMemory(model_->device.device);
  }

  PolicyVersion version() const override { return model_->version; }

 private:
  const EngineConfig config_;
  const std::shared_ptr<const Model> model_;
  const std::shared_ptr<VisualFeatures> features_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RolloutEngine>> MakeSparseEngine(
    const EngineConfig& config, std::shared_ptr<const Model> model,
    std::shared_ptr<VisualFeatures> features) {
  ZIPRL_RETURN_IF_ERROR(CheckEngineConfig(config, *model));
  return std::make_unique<SparseEngine>(config, std::move(model), std::move(features));
}

}  // namespace ziprl
