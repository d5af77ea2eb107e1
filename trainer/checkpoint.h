// Checkpoints of a run on disk: output_dir/step_N/ is a Hugging Face directory plus trainer_state/;
// `latest` (and `best`) are relative links to one of them. Written as temporary directory -> fsync
// -> rename -> link, so a crash or a full disk leaves the previous checkpoint as it was, and what
// is not complete is never loaded. Knows no tensors: the contents come from callbacks. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/run_config.h"

namespace ziprl {

// What one checkpoint holds.
struct CheckpointContents {
  int64_t step = 0;
  // Hugging Face directory into an empty DIR (SaveModel of trainer/model_checkpoint.h).
  std::function<absl::Status(const std::string& dir)> write_model;
  // Optimizer and counters into DIR/trainer_state (Learner::SaveState).
  std::function<absl::Status(const std::string& dir)> write_state;
  std::string loop_state;                 // JSON text of the train loop: cursor, counters, versions
  std::string run_config_yaml;            // the resolved config
  std::map<std::string, double> metrics;  // as they stand; `best_metric` is looked up here
};

class CheckpointStore {
 public:
  struct Config {
    std::string output_dir;
    int save_limit = 0;       // newest checkpoints kept (the best one besides); 0 = all
    std::string best_metric;  // larger is better; empty = no best
  };

  // Creates output_dir if absent and removes what a crashed write left.
  static absl::StatusOr<std::unique_ptr<CheckpointStore>> Open(const Config& config);

  // Returns the checkpoint's directory, output_dir/step_N. On error (ResourceExhausted when the
  // disk is full) nothing that was there before has changed. A step_N that exists is replaced.
  absl::StatusOr<std::string> Save(const CheckpointContents& contents);

  // The newest complete checkpoint, by `latest` or, where that is missing, by step; nullopt if
  // none.
  absl::StatusOr<std::optional<std::string>> Latest() const;

  // The checkpoint `best` names, nullopt if none.
  std::optional<std::string> Best() const;

 private:
  explicit CheckpointStore(Config config) : config_(std::move(config)) {}
  absl::Status Prune(const std::string& newest);
  absl::Status UpdateBest(const CheckpointContents& contents, const std::string& name);

  Config config_;
};

// What a checkpoint's trainer_state says, for resuming.
struct CheckpointState {
  std::string dir;            // step_N
  std::string trainer_state;  // step_N/trainer_state, for Learner::LoadState
  int64_t step = 0;
  std::string loop_state;  // as it was saved
  std::string run_config_yaml;
  std::map<std::string, double> metrics;
};

// Reads and checks a checkpoint: every file that was written is there with its size. DataLoss names
// the file that is not.
absl::StatusOr<CheckpointState> ReadCheckpoint(const std::string& dir);

// Where a run starts, from trainer.resume and what output_dir holds: nullopt for a fresh start.
//   auto   the newest complete checkpoint of output_dir, if any
//   never  fresh; FailedPrecondition when output_dir holds checkpoints
//   PATH   that checkpoint; FailedPrecondition when output_dir holds checkpoints of another run
// A checkpoint of another run (another model, data, seed, recipe or batch size than `config` asks
// for) is refused with FailedPrecondition naming the key and both values.
absl::StatusOr<std::optional<CheckpointState>> ResolveResume(const RunConfig& config);

}  // namespace ziprl
