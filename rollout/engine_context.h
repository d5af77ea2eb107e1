// What every step of one Generate call reads: settings, weights, masks. Immutable while it runs.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "model/decoder_layer.h"
#include "model/device_graphs.h"
#include "model/model.h"
#include "model/tensor.h"
#include "model/token_selection.h"
#include "rollout/float_layers.h"
#include "rollout/sparse_engine.h"

namespace ziprl {

struct EngineContext {
  const EngineConfig* config = nullptr;
  const Model* model = nullptr;
  ForceKeep force;
  ProbeConfig probes;
  Compute prefill;  // GEMM tiles of prompts
  Compute decode;   // GEMM tiles of decode steps: kDecodeTileRows in deterministic mode
  std::vector<DecoderLayerWeights> layers;
  std::shared_ptr<const FloatLayers> floats;  // of the same; null where they do not serve
  bool float_prompts = false;                 // they serve prompts too
  std::shared_ptr<DeviceGraphs> graphs;       // of decode steps; null where they are not captured
  at::Tensor suppressed;                      // uint8 [V]; undefined when nothing is suppressed

  const Architecture& arch() const { return model->arch; }
  const Device& device() const { return model->device; }
};

// Rows of one GEMM tile of a decode step in deterministic mode, where FloatLayers do not serve. A
// sample's slot in its tile is its index in the group modulo this, so its bits do not depend on
// what else is decoded.
inline constexpr int kDecodeTileRows = 8;

absl::Status CheckEngineConfig(const EngineConfig& config, const Model& model);
// With the settings checked. The parameters must be whole (ZeRO may have released them before); the
// config and model must outlive the context.
absl::StatusOr<EngineContext> MakeEngineContext(const EngineConfig& config, const Model& model);

// Runs body without gradients and with this many threads inside tensor operations; torch's
// exceptions become a Status here and nowhere else in rollout/.
absl::Status GuardTorch(int intra_op_threads, const std::function<absl::Status()>& body);

}  // namespace ziprl
