// The directory a run writes into belongs to that run alone.
#pragma once

#include "absl/status/status.h"
#include "configs/run_config.h"

namespace ziprl {

// Creates trainer.output_dir and notes the resolved config in it (run_config.yaml).
// FailedPrecondition, and nothing written, when the directory holds
//   another run: its config differs (named are the first key and both values) in more than how long
//   to
//     run, how often to save, evaluate and log, and where to start from;
//   this run, and trainer.resume is never;
//   metrics or checkpoints of no known run.
absl::Status ClaimRunDirectory(const RunConfig& config);

}  // namespace ziprl
