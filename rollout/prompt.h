// A prompt made ready for the decoder, once per group: embeddings, rotary tables, probes.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/decoder_layer.h"
#include "model/tensor.h"
#include "model/visual_features.h"
#include "proto/types.h"
#include "rollout/engine_context.h"

namespace ziprl {

struct PreparedPrompt {
  int32_t length = 0;     // n
  at::Tensor embeddings;  // [n, C]
  Rotary rotary;          // of positions 0..n-1
  int32_t next_position = 0;
  std::vector<uint8_t> visual;  // [n] 1 at image/video placeholders
  std::vector<uint8_t> forced;  // [n] F
  std::vector<int32_t> probes;  // R, ascending
  at::Tensor probe_index;       // int64 [|R|]
  at::Tensor limit;             // int32 [|R|]: probe c sees keys j < limit[c]
  std::vector<int32_t> seen;    // [n] probes that see j
};

// InvalidArgument, naming the row, when an image cannot be read or does not match its placeholders.
absl::StatusOr<PreparedPrompt> PreparePrompt(const EngineContext& context, VisualFeatures& features,
                                             const Prompt& prompt, uint64_t group_seed);

}  // namespace ziprl
