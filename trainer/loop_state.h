// What the loop itself must remember across a restart; a checkpoint's loop_state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace ziprl {

struct LoopState {
  int64_t step = 0;            // steps done
  uint64_t position = 0;       // PromptDataset position behind the last prompt trained on
  int64_t rows = 0;            // of the training data, 0 in states of older versions
  int bad_steps = 0;           // steps in a row, the last included, that were not finite
  std::optional<double> best;  // of trainer.save_best so far
};

// FailedPrecondition when the data has other rows now: the position would mean other prompts.
absl::Status CheckSameRows(const LoopState& state, int64_t rows);

std::string LoopStateToJson(const LoopState& state);
// DataLoss when the text is not what LoopStateToJson writes.
absl::StatusOr<LoopState> LoopStateFromJson(const std::string& text);

}  // namespace ziprl
