// The nouns of one training sample, as plain structs. They follow it through the system:
//   Prompt -> Completion -> ScoredGroup -> TrainBatch (trainer/batch.h) -> PolicyVersion.
// No torch, no protobuf. Value types; copies share the encoded media bytes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "configs/base/bitmap.h"
#include "configs/base/media_ref.h"

namespace ziprl {

using PolicyVersion = int64_t;

struct Prompt {
  uint64_t id = 0;  // unique in the run: epoch * rows + place in the epoch's order
  int64_t row = 0;  // 0-based row in the data set
  std::vector<int32_t>
      token_ids;  // image and video placeholders already repeated to the visual tokens
  std::vector<MediaRef> media;               // images and videos in order of appearance
  std::string problem;                       // user text as given in the row
  std::string answer;                        // ground truth
  std::string source;                        // data source name, for per-source metrics
  std::string kind;                          // optional question kind, for per-kind accuracy
  std::map<std::string, std::string> extra;  // any other column, as JSON text; passed to rewards
};

struct SampleRequest {
  int32_t index = 0;  // place in the group, 0..G-1
  double p = 1.0;     // sparsity threshold, in (0, 1]
  uint64_t seed = 0;  // key of this rollout's counter-based random numbers
};

// A prompt group leased to one worker incarnation; the unit of generation, scoring and pushing.
struct GroupLease {
  uint64_t lease_id = 0;
  Prompt prompt;
  uint64_t group_seed = 0;  // key of the probe draw (equal for the whole group)
  std::vector<SampleRequest> samples;
  PolicyVersion version = 0;  // policy to sample from
  std::string weights;        // where its weights are (WeightPlaces); empty: the worker shares them
};

// What the engine kept: event 0 is the prefill (bitmap over the n prompt tokens); event k >= 1 is
// the re-compression after generated token k * rescore_interval (bitmap over the layer's cache
// entries as they stood then). kept[event][layer]. SPARSE_GRPO section 1.
struct KeptSets {
  std::vector<std::vector<Bitmap>> events;
  uint64_t Digest() const;   // xxh3-64, event by event, layer by layer (types.cc)
  double KeptRatio() const;  // tau = mean over layers of |S_l| / n, event 0 only
};

enum class FinishReason { kStop, kLength };

struct Completion {
  int32_t index = 0;
  double p = 1.0;
  uint64_t seed = 0;
  std::vector<int32_t> token_ids;  // response, with the end token if it was sampled
  std::vector<float> logprobs;     // of token_ids, under the sampling policy at temperature T
  FinishReason finish_reason = FinishReason::kLength;
  std::string text;  // decoded response, special tokens removed
  KeptSets kept;
  uint64_t digest = 0;  // kept.Digest()
  // Recipe `stochastic` with rollout.max_staleness > 0: the logits z of the selection, bf16 bits
  // [L * n], layer by layer, 0 at forced tokens. Empty otherwise, at p = 1 too.
  std::vector<uint16_t> selection_logits;
  size_t NumSelectionLogits() const;  // that a run which records them has for this sample
  double kept_ratio = 1.0;
  double visual_kept_ratio = 1.0;  // over image/video placeholder tokens
  double kv_kept_ratio = 1.0;      // KV entries held at the end / entries a dense cache would hold
  double kept_mass = 1.0;          // mean over layers of kept raw mass / |R|
  int32_t budget_action = -1;      // `budget` recipe: index of the sampled p
  float budget_logprob = 0.0f;     // and its log-prob
  PolicyVersion version = 0;
};

enum class ScoreStatus { kScored, kInvalid, kFailed, kTimeout };

// What the reward functions said of one sample. A failure is never a zero: components are only
// meaningful when status == kScored.
struct Score {
  ScoreStatus status = ScoreStatus::kFailed;
  std::map<std::string, double> components;  // "accuracy", "token_reduction", "format", ...
  std::string error;                         // why, when not kScored
};

// Seconds that a group took where it was generated.
struct GroupTimes {
  double generate = 0;  // from when the engine took it to its last token, others beside it
  double score = 0;
  // Of its worker, since it finished the group before: generating, and with nothing to generate.
  double worker_busy = 0, worker_idle = 0;
};

struct ScoredGroup {
  uint64_t lease_id = 0;
  Prompt prompt;
  uint64_t group_seed = 0;
  std::vector<Completion> completions;
  std::vector<Score> scores;  // parallel to completions
  PolicyVersion version = 0;  // sampled under
  GroupTimes times;
};

}  // namespace ziprl
