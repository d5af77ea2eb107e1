// Every setting of a run, as nested plain structs. Defaults stand here; configs/fields.h's one list
// drives parsing, printing, documentation and validation. Batch sizes count prompts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace ziprl {

struct ModelConfig {
  std::string path;             // Hugging Face directory
  std::string dtype = "fp32";   // fp32 | bf16
  std::string device = "auto";  // auto | cpu | cuda
  int gpu = 0;  // of those that the process sees, counted round; a host's ranks take the next ones
};

struct DataConfig {
  std::vector<std::string> train_files;
  std::vector<std::string> val_files;
  std::vector<double> weights;  // one per entry of train_files; empty = by their rows
  std::string format = "auto";
  std::string prompt_key = "problem", answer_key = "answer", image_key = "images",
              video_key = "videos";
  int max_prompt_length = 4096;   // tokens, images expanded; longer rows are skipped and counted
  int max_response_length = 256;  // tokens, end token included
  bool shuffle = true;
  int64_t seed = 0;                        // of the epoch order
  int64_t shuffle_buffer_mb = 512;         // of decoded row groups (Parquet)
  double val_fraction = 0;                 // of val_key's values, held out of train_files
  std::string val_key;                     // empty = prompt_key
  int64_t min_pixels = 0, max_pixels = 0;  // 0 = the checkpoint's
  int64_t video_min_pixels = 0, video_max_pixels = 0;  // a frame; 0 = the checkpoint's
  double video_fps = 0;                            // frames sampled a second; 0 = the checkpoint's
  int video_min_frames = 0, video_max_frames = 0;  // 0 = the checkpoint's
  std::string system_prompt;                       // empty = the template's default
  std::string format_prompt;                       // appended to every problem
};

struct RolloutConfig {
  int n = 8;  // samples per prompt (group size G)
  double temperature = 1.0;
  int top_k = 0;
  double top_p = 1.0;  // nucleus sampling
  std::vector<std::string> stop;
  bool ignore_eos = false;  // every response has data.max_response_length tokens
  int max_staleness = 0;    // versions
  bool log_completions = false;
  std::vector<double> thresholds = {.940, .945, .950, .955, .960, .965, .970, .975};
  std::string thresholds_per =
      "auto";  // rollout | group | auto (group for stochastic, else rollout)
  std::string probes = "recent_random";  // recent_random | text
  int probe_recent = 64, probe_random = 64;
  int rescore_interval = 100;  // generated tokens; 0 = never
  std::vector<std::string> force_keep = {"last"};
  bool enforce_eager = true;  // on a GPU: decode steps are launched one by one, not as CUDA graphs
};

struct RewardConfig {
  std::vector<std::string> functions = {"exact_match"};  // name, or name:argument
  std::vector<double> weights;                           // one per function; empty = all 1
  std::string gate = "group";                            // group | own | all | none
  std::string combine = "additive";                      // additive | multiplicative
  double efficiency_weight = 1.0;                        // w_eff
  double tau_floor = 0.0;
  double correct_threshold = 0.5;
  double timeout_s = 30;
  std::vector<std::string> endpoints;  // host:port of reward services; empty = in process
  double max_failed_frac = 0.5;        // of a step's samples; above it the run stops
};

struct AlgorithmConfig {
  std::string loss_type = "dapo";       // grpo | dapo (bnpo) | dr_grpo
  std::string scale_rewards = "group";  // group | batch | none | per_objective
  double epsilon = 0.2, epsilon_high = 0.28;
  double beta = 0.0;                                // KL to the frozen dense start model
  double delta = 0.0;                               // upper clamp of the ratio; 0 = off
  int num_iterations = 1;                           // updates per batch
  std::string importance_sampling_level = "token";  // token | sequence
  std::string old_logprob = "rollout";              // rollout | learner
  double tis_cap = 2.0;
  bool filter_groups = false;          // drop groups whose rewards are all equal
  bool mask_truncated = false;         // samples that hit the length limit leave the loss
  std::string selection = "replay";    // replay | recompute
  std::string sparsity = "paper";      // paper | stochastic | surrogate | budget
  double selection_weight = 0.1;       // w_sel (stochastic), w_soft (surrogate)
  double selection_temperature = 1.0;  // T_sel
  std::string credit = "layer";        // layer | sample: advantage of selection decisions
};

struct OptimConfig {
  double lr = 1e-6;
  double weight_decay = 0.0;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-8;
  double warmup_ratio = 0.0;
  std::string schedule = "constant";  // constant | linear | cosine
};

struct ActorConfig {
  int global_batch_size = 128;     // prompts per optimizer step
  std::string recompute = "auto";  // auto | layer | none
  int max_tokens_per_micro_batch = 16384;
  double max_grad_norm = 1.0;
  bool freeze_vision_tower = false;
  OptimConfig optim;
  int zero = 0;
};

struct EvalConfig {
  std::vector<std::string> files;
  std::vector<std::string> benchmarks;      // NAME=FOLDER each
  std::vector<double> thresholds = {.975};  // p values; dense (p = 1) is always evaluated
  int n = 1;
  double temperature = 0.0;
  int64_t limit = 0;  // first rows only (after a fixed shuffle); 0 = all
  int freq = 0;
  bool dense = true;
};

struct SftConfig {
  std::vector<std::string> files;  // rows with messages, or problem + answer
  std::vector<double> weights;     // sampling weight per file
  int batch_size = 64;             // rows per optimizer step
  int64_t steps = 1000;
  OptimConfig optim;
  double max_seconds = 0;  // stop early after so long; 0 = off
};

struct TrainerConfig {
  bool deterministic = false;
  int threads = 0;        // CPU threads of this process; 0 = every core
  int64_t max_steps = 0;  // 0 = by total_epochs
  int total_epochs = 1;
  int val_freq = 0, save_freq = 0, save_limit = 0;  // steps; 0 = only at the end / keep all
  std::string save_best;                            // metric name; keeps the best checkpoint too
  std::string output_dir;
  std::string resume = "auto";  // auto | never | PATH
  std::vector<std::string> logger = {"console", "jsonl", "tensorboard"};
  int64_t seed = 0;
  int max_bad_steps = 3;  // non-finite steps in a row before the run stops
};

struct ClusterConfig {
  int learner = 1, rollout = 1, reward = 0, coordinator = 0;
  std::string placement = "separate";  // separate | colocated
  std::string collectives = "auto";    // auto | mpi | nccl
  std::string weights = "auto";        // auto | shared_memory | broadcast | grpc
  std::string tls;
  std::string token_file;
  bool mutual_tls = false;  // callers show a certificate too
  bool insecure = false;    // plain text beyond this machine is allowed
  double deadline_s = 600;

  bool colocated() const { return placement == "colocated"; }
  int rollout_ranks() const { return colocated() ? 0 : rollout; }
};

struct RunConfig {
  ModelConfig model;
  DataConfig data;
  RolloutConfig rollout;
  RewardConfig reward;
  AlgorithmConfig algorithm;
  ActorConfig actor;
  EvalConfig eval;
  SftConfig sft;
  TrainerConfig trainer;
  ClusterConfig cluster;

  // First contradiction or value out of range, naming key, value and what is allowed.
  absl::Status Validate() const;
};

// Whether samples carry the logits of their selection: recipe `stochastic` may train on samples of
// an older version, whose decisions are measured against what that version gave them.
bool RecordsSelectionLogits(const RunConfig& config);

}  // namespace ziprl
