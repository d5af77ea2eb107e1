#include "rollout/engine_context.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <exception>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "rollout/host_tensor.h"

namespace ziprl {
namespace {

// Sets torch's thread count while it lives.
class IntraOpThreads {
 public:
  explicit IntraOpThreads(int count) : before_(at::get_num_threads()) {
    if (count != before_) at::set_num_threads(count);
  }
  ~IntraOpThreads() {
    if (at::get_num_threads() != before_) at::set_num_threads(before_);
  }

 private:
  const int before_;
};

at::Tensor SuppressedMask(const Model& model) {
  return ToDevice(model.processor->SuppressedIds(), model.device);
}

// Null where decode steps are not to be captured.
absl::StatusOr<std::unique_ptr<DeviceGraphs>> GraphsOf(const EngineConfig& config,
                                                       const Model& model) {
  if (config.enforce_eager || !model.device.device.is_cuda()) return nullptr;
  return OpenDeviceGraphs(model.device.device.index());
}

}  // namespace

absl::Status CheckEngineConfig(const EngineConfig& c, const Model& model) {
  if (!(c.temperature >= 0.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("temperature = ", c.temperature, "; 0 (greedy) or more is allowed"));
  }
  if (c.max_response_length < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_response_length = ", c.max_response_length, "; 1 or more is allowed"));
  }
  if (!(c.top_p > 0.0 && c.top_p <= 1.0)) {
    return absl::InvalidArgumentError(absl::StrCat("top_p = ", c.top_p, "; (0, 1] is allowed"));
  }
  if (c.stochastic && !(c.selection_temperature > 0.0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "selection_temperature = ", c.selection_temperature, "; more than 0 is allowed"));
  }
  if ((c.budget_sample || c.budget_greedy) && !model.budget_head.defined()) {
    return absl::InvalidArgumentError(
        "the recipe `budget` needs a budget head and this model has none");
  }
  ZIPRL_RETURN_IF_ERROR(GraphsOf(c, model).status());
  return ParseForceKeep(c.force_keep).status();
}

absl::StatusOr<EngineContext> MakeEngineContext(const EngineConfig& config, const Model& model) {
  ZIPRL_RETURN_IF_ERROR(CheckEngineConfig(config, model));
  EngineContext context;
  context.config = &config;
  context.model = &model;
  ZIPRL_ASSIGN_OR_RETURN(context.force, ParseForceKeep(config.force_keep));
  context.probes = {config.probes_text, config.probe_recent, config.probe_random};
  if (config.deterministic) {
    context.prefill.tile_rows = kDeterministicTileRows;
    context.decode.tile_rows = kDecodeTileRows;
  }
  for (int layer = 0; layer < model.arch.layers; ++layer) {
    context.layers.push_back(LayerWeights(model.params, layer));
  }
  if (FloatLayers::Serve(model.device)) {
    ZIPRL_RETURN_IF_ERROR(GuardTorch(at::get_num_threads(), [&] {
      context.floats = std::make_shared<FloatLayers>(model.arch, model.params, context.layers);
      return absl::OkStatus();
    }));
    context.float_prompts =
        model.device.dtype == c10::kFloat || !HasBf16Products(model.device.device);
  }
  ZIPRL_ASSIGN_OR_RETURN(context.graphs, GraphsOf(config, model));
  if (config.suppress_ids && model.processor != nullptr) {
    ZIPRL_RETURN_IF_ERROR(GuardTorch(at::get_num_threads(), [&] {
      context.suppressed = SuppressedMask(model);
      return absl::OkStatus();
    }));
  }
  return context;
}

absl::Status GuardTorch(int intra_op_threads, const std::function<absl::Status()>& body) {
  const IntraOpThreads threads(intra_op_threads);
  at::NoGradGuard no_grad;
  try {
    return body();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("tensor operation failed: ", error.what()));
  }
}

}  // namespace ziprl
