#include "rollout/sparse_engine.h"

#include <ATen/ATen.h>

#include <algorithm>
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

// Leases [begin, end) that decode as one batch.
struct Unit {
  size_t begin = 0, end = 0;
};

// In deterministic mode every group is its own batch; otherwise small groups (evaluation: one
// sample a lease) share a batch up to these sizes. Never depends on the number of threads.
constexpr int64_t kBatchSamples = 16;
constexpr int64_t kBatchTokens = 16384;  // prompt tokens over all samples

std::vector<Unit> MakeUnits(const EngineConfig& config, const std::vector<GroupLease>& leases) {
  std::vector<Unit> units;
  int64_t samples = 0, tokens = 0;
  for (size_t i = 0; i < leases.size(); ++i) {
    const int64_t more_samples = static_cast<int64_t>(leases[i].samples.size());
    const int64_t more_tokens =
        more_samples * static_cast<int64_t>(leases[i].prompt.token_ids.size());
    samples += more_samples;
    tokens += more_tokens;
    if (units.empty() || config.deterministic || samples > kBatchSamples || tokens > kBatchTokens) {
      units.push_back({i, i});
      samples = more_samples;
      tokens = more_tokens;
    }
    units.back().end = i + 1;
  }
  return units;
}

std::vector<const MediaRef*> MediaOf(const std::vector<GroupLease>& leases) {
  std::vector<const MediaRef*> media;
  for (const GroupLease& lease : leases) {
    for (const MediaRef& medium : lease.prompt.media) media.push_back(&medium);
  }
  return media;
}

absl::Status GenerateUnit(const EngineContext& context, VisualFeatures& features,
                          const std::vector<GroupLease>& leases, const Unit& unit,
                          Completions* out) {
  std::vector<PrefilledGroup> groups;
  std::vector<at::Tensor> last_rows;
  for (size_t i = unit.begin; i < unit.end; ++i) {
    ZIPRL_ASSIGN_OR_RETURN(PrefilledGroup group, StartGroup(context, features, leases[i]));
    if (group.last_rows.defined()) last_rows.push_back(group.last_rows);
    groups.push_back(std::move(group));
  }
  std::vector<Sequence*> sequences;
  for (PrefilledGroup& group : groups) {
    for (Sequence& sequence : group.sequences) sequences.push_back(&sequence);
  }
  if (!sequences.empty()) DecodeGroup(context, sequences, at::cat(last_rows, 0));
  for (size_t g = 0; g < groups.size(); ++g) {
    for (Sequence& sequence : groups[g].sequences) {
      (*out)[unit.begin + g].push_back(FinishSequence(context, std::move(sequence)));
    }
  }
  return absl::OkStatus();
}

class SparseEngine : public RolloutEngine {
 public:
  SparseEngine(const EngineConfig& config, std::shared_ptr<const Model> model,
               std::shared_ptr<VisualFeatures> features)
      : config_(config), model_(std::move(model)), features_(std::move(features)) {}

  absl::StatusOr<Completions> Generate(const std::vector<GroupLease>& leases) override {
    ZIPRL_ASSIGN_OR_RETURN(const EngineContext context, MakeEngineContext(config_, *model_));
    features_->Prefetch(*model_, MediaOf(leases));
    const std::vector<Unit> units = MakeUnits(config_, leases);
    Completions out(leases.size());
    std::vector<absl::Status> status(units.size());
    // Threads are spread over units first; what is left works inside them, where bits may depend on
    // it.
    const int inner = config_.deterministic || units.empty()
                          ? 1
                          : std::max(1, config_.threads / static_cast<int>(units.size()));
    ParallelUnits(static_cast<int>(units.size()), config_.threads, [&](int unit, int worker) {
      status[unit] = GuardTorch(
          inner, [&] { return GenerateUnit(context, *features_, leases, units[unit], &out); });
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
  ZIPRL_RETURN_IF_ERROR(MakeEngineContext(config, *model).status());
  return std::make_unique<SparseEngine>(config, std::move(model), std::move(features));
}

}  // namespace ziprl
