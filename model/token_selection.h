// The one caller of probe mass and top-p selection, for rollout, learner, evaluation and generate
// alike. SPARSE_GRPO sections 1 and 3.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/base/bitmap.h"
#include "model/autograd_ops.h"

namespace ziprl {

struct ProbeConfig {
  bool text = false;  // rollout.probes: text (all text tokens) instead of recent_random
  int recent = 64, random = 64;
};

struct ForceKeep {
  bool last = true, text = false, first = false;
};
absl::StatusOr<ForceKeep> ParseForceKeep(const std::vector<std::string>& names);

// Probe positions R, ascending. is_visual [n].
std::vector<int32_t> DrawProbes(const ProbeConfig& config, const std::vector<uint8_t>& is_visual,
                                uint64_t group_seed);

// Forced entries of a prompt (or of a cache when `is_visual` is the cache's): [n] bytes.
std::vector<uint8_t> ForcedMask(const ForceKeep& force, const std::vector<uint8_t>& is_visual);

// seen[j] = |{c : limit[c] > j}|.
std::vector<int32_t> SeenCounts(const std::vector<int32_t>& limit, int n);

struct SelectionSpec {
  double p = 1.0;             // threshold; >= 1 keeps everything
  bool stochastic = false;    // sample the set (recipe `stochastic`)
  double temperature = 1.0;   // T_sel
  uint64_t rollout_seed = 0;  // key of KEEP draws
  bool logits = false;        // with `stochastic`: give the logits z too
};

struct LayerSelection {
  Bitmap keep;
  int budget = 0;
  double kept_mass = 0.0;     // sum of a over S, / |R|
  int score_threshold = -1;   // index of the b-th largest s over all n; -1 at p = 1
  int mass_threshold = -1;    // index of the b-th largest raw mass; -1 at p = 1
  std::vector<float> logits;  // z [n], 0 at forced entries, when asked for; empty at p = 1
};

// Chooses the set of one layer of one sequence from its mass (no gradient).
LayerSelection SelectTokens(const MassResult& mass, const std::vector<int32_t>& seen,
                            const std::vector<uint8_t>& forced, int num_heads, int num_probes,
                            const SelectionSpec& spec, int layer);

// Log-prob of a decision with logit z: -softplus(-z) if kept, -softplus(z) if not.
double DecisionLogprob(double z, bool kept);

// Recipe `stochastic`: log-prob of each recorded decision, [n] fp64 or fp32 as `a`, 0 at forced
// entries, differentiable in a; the threshold s_(b) is detached. eps_s = 1e-6 / n. score_threshold
// -1 (p = 1, nothing was decided): zeros without a graph.
at::Tensor SelectionLogprob(const at::Tensor& a, const std::vector<int32_t>& seen,
                            const std::vector<uint8_t>& forced, int score_threshold,
                            const Bitmap& keep, double temperature);

// Recipe `surrogate`: the soft count (1/n) sum_j sigmoid((log(a_j/|R| + eps) - log(a_(b)/|R| +
// eps)) / 0.5), a scalar; the threshold a_(b) is detached. mass_threshold -1 (p = 1): the
// constant 1.
at::Tensor SoftCount(const at::Tensor& a, int num_probes, int mass_threshold);

}  // namespace ziprl
