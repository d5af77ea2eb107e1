// The one list of settings: key, field, meaning and allowed values. Parsing, printing,
// documentation and validation all walk it (configs/load.cc, configs/run_config.cc). Defaults stand
// in run_config.h.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/run_config.h"

namespace ziprl {

// What a field means and may hold. For a list the rules hold for each element.
struct FieldSpec {
  std::string_view meaning;
  std::vector<std::string_view> choices;  // empty = any text
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;  // min itself is not allowed
};

inline FieldSpec Any(std::string_view meaning) { return {meaning}; }
inline FieldSpec OneOf(std::vector<std::string_view> choices, std::string_view meaning) {
  return {meaning, std::move(choices)};
}
inline FieldSpec AtLeast(double min, std::string_view meaning) { return {meaning, {}, min}; }
inline FieldSpec Between(double min, double max, std::string_view meaning) {
  return {meaning, {}, min, max};
}
inline FieldSpec Above(double min, std::string_view meaning) {
  return {meaning, {}, min, std::numeric_limits<double>::infinity(), true};
}
inline FieldSpec AboveUpTo(double min, double max, std::string_view meaning) {
  return {meaning, {}, min, max, true};
}

// What a number may be, in words: "in (0, 1]", "at least 2"; empty when any.
std::string DescribeRange(const FieldSpec& spec);

// The first field (or pair of fields) that breaks a rule: its key and a sentence with the value.
struct FieldError {
  std::string key;
  std::string text;
};
std::optional<FieldError> FindInvalidField(const RunConfig& config);

// visit(key, field, spec) for every field in the order of the file; Config is RunConfig, const or
// not.
template <typename Config, typename Visitor>
void VisitModel(Config& c, Visitor& visit) {
  visit("model.path", c.path, Any("Hugging Face directory to start from"));
  visit("model.dtype", c.dtype, OneOf({"fp32", "bf16"}, "arithmetic of the weights"));
  visit("model.device", c.device, OneOf({"auto", "cpu", "cuda"}, "auto = CUDA when it is there"));
  visit("model.gpu", c.gpu, AtLeast(0, "first GPU; a host's ranks take the next ones in turn"));
}

template <typename Config, typename Visitor>
void VisitData(Config& c, Visitor& visit) {
  visit("data.train_files", c.train_files,
        Any("row files (JSONL, JSON, Parquet, TSV) or globs of the training questions"));
  visit("data.val_files", c.val_files, Any("row files of the validation during training"));
  visit("data.weights", c.weights,
        AtLeast(0, "sampling weight per entry of train_files; empty = by their rows"));
  visit("data.format", c.format,
        OneOf({"auto", "jsonl", "json", "parquet", "tsv"},
              "of the row files; auto = by name and first bytes"));
  visit("data.prompt_key", c.prompt_key,
        Any("column of the question, with <image> and <video> marks"));
  visit("data.answer_key", c.answer_key, Any("column of the ground truth"));
  visit("data.image_key", c.image_key, Any("column of the images: paths, data URIs or bytes"));
  visit("data.video_key", c.video_key, Any("column of the videos: paths, data URIs or bytes"));
  visit("data.max_prompt_length", c.max_prompt_length,
        AtLeast(1, "tokens, images and videos expanded; longer rows are skipped and counted"));
  visit("data.max_response_length", c.max_response_length,
        AtLeast(1, "tokens, end token included"));
  visit("data.shuffle", c.shuffle, Any("a new order each epoch"));
  visit("data.seed", c.seed, Any("of the epoch order"));
  visit("data.shuffle_buffer_mb", c.shuffle_buffer_mb,
        Between(1, 1 << 20,
                "decoded Parquet row groups held; data that needs more is shuffled by row groups, "
                "then within windows of half as much"));
  visit("data.val_fraction", c.val_fraction,
        Between(0, 1,
                "of the values of val_key whose rows leave train_files for the validation; 0 = "
                "none"));
  visit("data.val_key", c.val_key,
        Any("column (or member a.b) by whose hash val_fraction splits; empty = prompt_key"));
  visit("data.min_pixels", c.min_pixels, AtLeast(0, "pixels an image; 0 = the checkpoint's"));
  visit("data.max_pixels", c.max_pixels, AtLeast(0, "pixels an image; 0 = the checkpoint's"));
  visit("data.video_min_pixels", c.video_min_pixels,
        AtLeast(0, "pixels a frame of a video; 0 = the checkpoint's"));
  visit("data.video_max_pixels", c.video_max_pixels,
        AtLeast(0, "pixels a frame of a video; 0 = the checkpoint's"));
  visit("data.video_fps", c.video_fps,
        AtLeast(0, "frames sampled from a second of video; 0 = the checkpoint's, else 2"));
  visit("data.video_min_frames", c.video_min_frames,
        AtLeast(0, "sampled from a video that has them; 0 = the checkpoint's"));
  visit("data.video_max_frames", c.video_max_frames,
        AtLeast(0, "sampled from a video; 0 = the checkpoint's"));
  visit("data.system_prompt", c.system_prompt, Any("empty = the chat template's default"));
  visit("data.format_prompt", c.format_prompt, Any("appended to every question"));
}

template <typename Config, typename Visitor>
void VisitRollout(Config& c, Visitor& visit) {
  visit("rollout.n", c.n, AtLeast(2, "samples per prompt (group size; one has no advantage)"));
  visit("rollout.temperature", c.temperature, Above(0, "of the token distribution"));
  visit("rollout.top_k", c.top_k, AtLeast(0, "most probable tokens to draw from; 0 = all"));
  visit("rollout.top_p", c.top_p, AboveUpTo(0, 1, "nucleus sampling; 1 = off"));
  visit("rollout.stop", c.stop, Any("texts that end a response"));
  visit("rollout.ignore_eos", c.ignore_eos,
        Any("end tokens and stop texts end nothing: all responses have the full length (for "
            "benchmarks)"));
  visit(
      "rollout.max_staleness", c.max_staleness,
      AtLeast(0,
              "policy versions a sample may be older than the learner; above 0, stochastic samples "
              "carry 2 bytes per prompt token and layer"));
  visit("rollout.log_completions", c.log_completions,
        Any("write prompts, responses and rewards to completions.jsonl"));
  visit("rollout.thresholds", c.thresholds,
        AboveUpTo(0, 1, "attention mass p to keep: drawn from this list"));
  visit("rollout.thresholds_per", c.thresholds_per,
        OneOf({"auto", "rollout", "group"},
              "who draws a p; auto = group for the stochastic recipe, else rollout"));
  visit("rollout.probes", c.probes,
        OneOf({"recent_random", "text"}, "prompt tokens whose attention scores the others"));
  visit("rollout.probe_recent", c.probe_recent, AtLeast(0, "last prompt tokens that probe"));
  visit("rollout.probe_random", c.probe_random, AtLeast(0, "random prompt tokens that probe"));
  visit("rollout.rescore_interval", c.rescore_interval,
        AtLeast(0, "generated tokens between re-compressions of the cache; 0 = never"));
  visit("rollout.force_keep", c.force_keep,
        OneOf({"last", "text", "first"}, "prompt tokens that are always kept"));
  visit("rollout.enforce_eager", c.enforce_eager,
        Any("on a GPU: decode steps are launched one by one; false: as CUDA graphs"));
}

template <typename Config, typename Visitor>
void VisitReward(Config& c, Visitor& visit) {
  visit("reward.functions", c.functions, Any("scorers: name, or name:argument"));
  visit("reward.weights", c.weights, Any("one per function; empty = all 1"));
  visit("reward.gate", c.gate,
        OneOf({"group", "own", "all", "none"}, "whose correctness opens the efficiency reward"));
  visit("reward.combine", c.combine,
        OneOf({"additive", "multiplicative"}, "how accuracy and efficiency join"));
  visit("reward.efficiency_weight", c.efficiency_weight, AtLeast(0, "w_eff; 0 = accuracy only"));
  visit("reward.tau_floor", c.tau_floor,
        Between(0, 1, "kept ratio below which nothing more is earned"));
  visit("reward.correct_threshold", c.correct_threshold,
        Between(0, 1, "accuracy from which a sample counts as correct"));
  visit("reward.timeout_s", c.timeout_s, Above(0, "seconds a scorer may take"));
  visit("reward.endpoints", c.endpoints,
        Any("host:port of each reward service; empty = scored in the worker's process"));
  visit("reward.max_failed_frac", c.max_failed_frac,
        Between(0, 1, "failed samples of a step above which the run stops"));
}

template <typename Config, typename Visitor>
void VisitAlgorithm(Config& c, Visitor& visit) {
  visit("algorithm.loss_type", c.loss_type,
        OneOf({"grpo", "bnpo", "dapo", "dr_grpo"}, "how token losses are averaged"));
  visit("algorithm.scale_rewards", c.scale_rewards,
        OneOf({"group", "batch", "none", "per_objective"}, "what advantages are divided by"));
  visit("algorithm.epsilon", c.epsilon, AtLeast(0, "lower clip of the importance ratio"));
  visit("algorithm.epsilon_high", c.epsilon_high, AtLeast(0, "upper clip"));
  visit("algorithm.beta", c.beta, AtLeast(0, "KL weight to the frozen dense start model; 0 = off"));
  visit("algorithm.delta", c.delta, AtLeast(0, "upper clamp of the importance ratio; 0 = off"));
  visit("algorithm.num_iterations", c.num_iterations, AtLeast(1, "updates per batch"));
  visit("algorithm.importance_sampling_level", c.importance_sampling_level,
        OneOf({"token", "sequence"}, "what an importance ratio covers"));
  visit("algorithm.old_logprob", c.old_logprob,
        OneOf({"rollout", "learner"}, "whose log-probs are the old ones"));
  visit("algorithm.tis_cap", c.tis_cap,
        AtLeast(0, "cap of the rollout/learner mismatch weight; 0 = off"));
  visit("algorithm.filter_groups", c.filter_groups, Any("drop groups whose rewards are equal"));
  visit("algorithm.mask_truncated", c.mask_truncated,
        Any("responses that hit the length limit leave the loss"));
  visit("algorithm.selection", c.selection,
        OneOf({"replay", "recompute"}, "kept tokens in the learner: as rolled out, or afresh"));
  visit("algorithm.sparsity", c.sparsity,
        OneOf({"paper", "stochastic", "surrogate", "budget"}, "how keeping fewer is learned"));
  visit("algorithm.selection_weight", c.selection_weight,
        AtLeast(0, "w_sel of stochastic, w_soft of surrogate"));
  visit("algorithm.selection_temperature", c.selection_temperature, Above(0, "T_sel"));
  visit("algorithm.credit", c.credit,
        OneOf({"layer", "sample"}, "advantage of selection decisions"));
}

template <typename Config, typename Visitor>
void VisitOptim(const std::string& prefix, Config& c, Visitor& visit) {
  const auto key = [&](const char* name) { return prefix + name; };
  visit(key("lr"), c.lr, AtLeast(0, "peak learning rate"));
  visit(key("weight_decay"), c.weight_decay, AtLeast(0, "decoupled (AdamW)"));
  visit(key("betas"), c.betas, Between(0, 1, "AdamW's two decay rates"));
  visit(key("eps"), c.eps, Above(0, "AdamW's denominator"));
  visit(key("warmup_ratio"), c.warmup_ratio, Between(0, 1, "of the steps, linear from 0"));
  visit(key("schedule"), c.schedule,
        OneOf({"constant", "linear", "cosine"}, "of the learning rate after the warm-up"));
}

template <typename Config, typename Visitor>
void VisitActor(Config& c, Visitor& visit) {
  visit("actor.global_batch_size", c.global_batch_size, AtLeast(1, "prompts per optimizer step"));
  visit("actor.recompute", c.recompute,
        OneOf({"auto", "layer", "none"}, "recompute a layer in backward to save memory"));
  visit("actor.max_tokens_per_micro_batch", c.max_tokens_per_micro_batch,
        AtLeast(1, "tokens of one forward and backward pass"));
  visit("actor.max_grad_norm", c.max_grad_norm, AtLeast(0, "gradient clipping; 0 = off"));
  visit("actor.freeze_vision_tower", c.freeze_vision_tower, Any("train the language model only"));
  VisitOptim("actor.optim.", c.optim, visit);
  visit("actor.zero", c.zero,
        Between(0, 3,
                "ZeRO level over learner ranks: 0 nothing, 1 optimizer, 2 gradients, 3 parameters "
                "spread"));
}

template <typename Config, typename Visitor>
void VisitEval(Config& c, Visitor& visit) {
  visit("eval.files", c.files, Any("row files of the held-out questions"));
  visit("eval.benchmarks", c.benchmarks,
        Any("public benchmarks, each NAME=FOLDER of its release (docs/evaluation.md)"));
  visit("eval.thresholds", c.thresholds, AboveUpTo(0, 1, "values of p to evaluate"));
  visit("eval.n", c.n, AtLeast(1, "answers per question (mean@n, pass@k up to n)"));
  visit("eval.temperature", c.temperature, AtLeast(0, "0 = greedy"));
  visit("eval.limit", c.limit,
        AtLeast(0, "questions of each data set, after a fixed shuffle; 0 = all"));
  visit("eval.freq", c.freq, AtLeast(0, "training steps between evaluations; 0 = off"));
  visit("eval.dense", c.dense, Any("evaluate p = 1 too"));
}

template <typename Config, typename Visitor>
void VisitSft(Config& c, Visitor& visit) {
  visit("sft.files", c.files, Any("row files with messages, or question and answer"));
  visit("sft.weights", c.weights,
        AtLeast(0, "sampling weight per entry of sft.files; empty = by their rows"));
  visit("sft.batch_size", c.batch_size, AtLeast(1, "rows per optimizer step"));
  visit("sft.steps", c.steps, AtLeast(1, "optimizer steps"));
  VisitOptim("sft.optim.", c.optim, visit);
  visit("sft.max_seconds", c.max_seconds, AtLeast(0, "stop early after so long; 0 = off"));
}

template <typename Config, typename Visitor>
void VisitTrainer(Config& c, Visitor& visit) {
  visit("trainer.deterministic", c.deterministic, Any("bit-reproducible whatever the batch"));
  visit("trainer.threads", c.threads, AtLeast(0, "CPU threads of this process; 0 = every core"));
  visit("trainer.max_steps", c.max_steps, AtLeast(0, "optimizer steps; 0 = by total_epochs"));
  visit("trainer.total_epochs", c.total_epochs, AtLeast(1, "passes over the training questions"));
  visit("trainer.val_freq", c.val_freq, AtLeast(0, "steps between validations; 0 = off"));
  visit("trainer.save_freq", c.save_freq, AtLeast(0, "steps; 0 = only at the end"));
  visit("trainer.save_limit", c.save_limit, AtLeast(0, "checkpoints to keep; 0 = all"));
  visit("trainer.save_best", c.save_best, Any("metric whose best checkpoint is kept too"));
  visit("trainer.output_dir", c.output_dir, Any("where checkpoints and logs go"));
  visit("trainer.resume", c.resume, Any("auto | never | a checkpoint's path"));
  visit("trainer.logger", c.logger,
        OneOf({"console", "jsonl", "tensorboard"}, "where metrics are written"));
  visit("trainer.seed", c.seed, Any("of everything random but the epoch order"));
  visit("trainer.max_bad_steps", c.max_bad_steps,
        AtLeast(1, "non-finite steps in a row before the run stops"));
}

template <typename Config, typename Visitor>
void VisitCluster(Config& c, Visitor& visit) {
  visit("cluster.learner", c.learner, Between(1, 65536, "learner ranks (mpirun, srun)"));
  visit("cluster.rollout", c.rollout,
        Between(1, 65536, "rollout ranks; colocated: not counted, every learner rank generates"));
  visit("cluster.reward", c.reward,
        Between(0, 65536, "reward ranks; 0 = inside every rollout, or reward.endpoints"));
  visit("cluster.coordinator", c.coordinator,
        Between(0, 1, "coordinator ranks; 0 = a thread of rank 0"));
  visit("cluster.placement", c.placement,
        OneOf({"separate", "colocated"},
              "rollouts on ranks of their own, or on the learner's with its weights, by turns"));
  visit(
      "cluster.collectives", c.collectives,
      OneOf({"auto", "mpi", "nccl"}, "between learner ranks; auto = nccl where they are on GPUs"));
  visit("cluster.weights", c.weights,
        OneOf({"auto", "shared_memory", "broadcast", "grpc"},
              "way to rollouts; auto: shared memory on one host, else broadcast in an MPI job"));
  visit("cluster.tls", c.tls, Any("certificate folder of a cluster of processes"));
  visit("cluster.token_file", c.token_file, Any("shared secret of a cluster of processes"));
  visit("cluster.mutual_tls", c.mutual_tls, Any("servers ask callers for a certificate too"));
  visit("cluster.insecure", c.insecure,
        Any("allow plain text, or no token, beyond this machine's loopback"));
  visit("cluster.deadline_s", c.deadline_s, Above(0, "seconds before a collective is given up"));
}

template <typename Config, typename Visitor>
void VisitFields(Config&& config, Visitor&& visit) {
  VisitModel(config.model, visit);
  VisitData(config.data, visit);
  VisitRollout(config.rollout, visit);
  VisitReward(config.reward, visit);
  VisitAlgorithm(config.algorithm, visit);
  VisitActor(config.actor, visit);
  VisitEval(config.eval, visit);
  VisitSft(config.sft, visit);
  VisitTrainer(config.trainer, visit);
  VisitCluster(config.cluster, visit);
}

}  // namespace ziprl
