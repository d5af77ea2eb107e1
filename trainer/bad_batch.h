// Evidence of a step that gave a non-finite loss or gradient. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/types.h"
#include "trainer/advantage.h"

namespace ziprl {

// Writes OUTPUT_DIR/bad_batch_step_N.json: rows, token ids, log-probs, thresholds, seeds, scores
// and advantages of every sample. Without an output_dir nothing is written.
absl::Status DumpBadBatch(const std::string& output_dir, int64_t step,
                          const std::vector<ScoredGroup>& groups, const StepAdvantages& advantages,
                          const std::map<std::string, double>& metrics);

}  // namespace ziprl
