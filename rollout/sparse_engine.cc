#include "rollout/sparse_engine.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "model/visual_features.h"
#include "rollout/decode.h"
#include "rollout/group.h"

namespace ziprl {
namespace {

using Completions = std::vector<std::vector<Completion>>;

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
  Lane(const EngineContext& context, VisualFeatures& features,
       const std::vector<GroupLease>& leases, Completions* out)
      : context_(context), features_(features), leases_(leases), out_(out), batch_(context) {}

  // Leases first, first + stride, first + 2 stride, ...
  absl::Status Generate(size_t first, size_t stride) {
    size_t next = first;
    while (next < leases_.size() || !batch_.empty()) {
      for (; next < leases_.size() && HasRoom(leases_[next]); next += stride) {
        ZIPRL_RETURN_IF_ERROR(Start(next));
      }
      if (!batch_.empty()) batch_.Step();
      FinishGroups();
    }
    return absl::OkStatus();
  }

 private:
  struct Started {
    size_t lease;
    std::vector<Sequence> sequences;
  };

  bool HasRoom(const GroupLease& lease) const {
    return batch_.HasRoom(static_cast<int64_t>(lease.samples.size()),
                          static_cast<int64_t>(lease.prompt.token_ids.size()));
  }

  absl::Status Start(size_t lease) {
    ZIPRL_ASSIGN_OR_RETURN(PrefilledGroup group, StartGroup(context_, features_, leases_[lease]));
    groups_.push_back({lease, std::move(group.sequences)});
    std::vector<Sequence*> sequences;
    for (Sequence& sequence : groups_.back().sequences) sequences.push_back(&sequence);
    if (!sequences.empty()) batch_.Join(sequences, group.last_rows);
    return absl::OkStatus();
  }

  void FinishGroups() {
    groups_.remove_if([this](Started& group) {
      if (!std::all_of(group.sequences.begin(), group.sequences.end(),
                       [](const Sequence& sequence) { return sequence.done; })) {
        return false;
      }
      for (Sequence& sequence : group.sequences) {
        (*out_)[group.lease].push_back(FinishSequence(context_, std::move(sequence)));
      }
      return true;
    });
  }

  const EngineContext& context_;
  VisualFeatures& features_;
  const std::vector<GroupLease>& leases_;
  Completions* out_;
  DecodeBatch batch_;
  std::list<Started> groups_;
};

class SparseEngine : public RolloutEngine {
 public:
  SparseEngine(const EngineConfig& config, std::shared_ptr<const Model> model,
               std::shared_ptr<VisualFeatures> features)
      : config_(config), model_(std::move(model)), features_(std::move(features)) {}

  absl::StatusOr<Completions> Generate(const std::vector<GroupLease>& leases) override {
    ZIPRL_ASSIGN_OR_RETURN(const EngineContext context, MakeEngineContext(config_, *model_));
    features_->Prefetch(*model_, MediaOf(leases));
    Completions out(leases.size());
    // Threads are spread over leases first; what is left works inside operations, where bits may
    // depend on it.
    const int lanes = std::clamp(static_cast<int>(leases.size()), 1, std::max(1, config_.threads));
    const int inner = config_.deterministic ? 1 : std::max(1, config_.threads / lanes);
    std::vector<absl::Status> status(lanes);
    ParallelUnits(lanes, lanes, [&](int lane, int) {
      status[lane] = GuardTorch(
          inner, [&] { return Lane(context, *features_, leases, &out).Generate(lane, lanes); });
    });
    for (const absl::Status& each : status) ZIPRL_RETURN_IF_ERROR(each);
    return out;
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
