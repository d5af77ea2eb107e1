#include "model/token_selection.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/counter_rng.h"
#include "kernels/probe_mass.h"
#include "model/device.h"

namespace ziprl {
namespace {

double EpsilonS(int64_t n) { return 1e-6 / static_cast<double>(n); }

at::Tensor ByteTensor(const std::vector<uint8_t>& values, c10::Device device) {
  at::Tensor host = at::empty({static_cast<int64_t>(values.size())},
                              at::TensorOptions().dtype(at::kByte).device(at::kCPU));
  std::memcpy(host.mutable_data_ptr(), values.data(), values.size());
  return host.to(device);
}

struct RankedSet {
  kernels::TopPResult result;
  at::Tensor host;                // holds what follows
  const float* score = nullptr;   // [n]
  const uint8_t* keep = nullptr;  // [n]
};

// Runs the kernel where the mass lies and brings its answer to the host.
RankedSet RankByMass(const at::Tensor& mass, const std::vector<int32_t>& seen,
                     const std::vector<uint8_t>& forced, int num_heads, double p) {
  const c10::Device device = mass.device();
  const at::Tensor seen_there = IntTensor(seen, device), forced_there = ByteTensor(forced, device);
  // Result, scores, kept: what comes to the host comes at once.
  const int64_t n = mass.numel(), score_at = sizeof(kernels::TopPResult),
                keep_at = score_at + 4 * n;
  const at::Tensor out =
      at::empty({keep_at + n}, at::TensorOptions().dtype(at::kByte).device(device));
  uint8_t* const there = out.mutable_data_ptr<uint8_t>();
  kernels::TopPParams params;
  params.mass = mass.const_data_ptr<int64_t>();
  params.seen = seen_there.const_data_ptr<int32_t>();
  params.forced = forced_there.const_data_ptr<uint8_t>();
  params.num_keys = static_cast<int>(n);
  params.num_heads = num_heads;
  params.p = p;
  kernels::TopPSelect(BackendOf(mass), params, there + keep_at,
                      reinterpret_cast<float*>(there + score_at),
                      reinterpret_cast<kernels::TopPResult*>(there), CurrentStream(device));
  RankedSet set;
  set.host = out.cpu();
  const uint8_t* const here = set.host.const_data_ptr<uint8_t>();
  std::memcpy(&set.result, here, sizeof(set.result));
  set.score = reinterpret_cast<const float*>(here + score_at);
  set.keep = here + keep_at;
  return set;
}

double SigmoidOf(double z) { return 1.0 / (1.0 + std::exp(-z)); }

// Recipe `stochastic`: each free token is kept iff u < sigmoid(z).
void SampleSet(const RankedSet& set, const std::vector<uint8_t>& forced, const SelectionSpec& spec,
               int layer, LayerSelection* selection) {
  const auto n = static_cast<int64_t>(forced.size());
  if (spec.logits) selection->logits.assign(forced.size(), 0.0f);
  const double eps = EpsilonS(n);
  const float* score = set.score;
  const double threshold = std::log(score[set.result.score_threshold] + eps);
  for (int64_t j = 0; j < n; ++j) {
    bool kept = forced[j] != 0;
    if (!kept) {
      const double z = (std::log(score[j] + eps) - threshold) / spec.temperature;
      if (spec.logits) selection->logits[j] = static_cast<float>(z);
      const float u = PhiloxUniform24(spec.rollout_seed, static_cast<uint32_t>(j),
                                      static_cast<uint32_t>(layer), 0, RngStream::kKeep);
      kept = u < SigmoidOf(z);
    }
    if (kept) selection->keep.Set(static_cast<uint32_t>(j));
  }
}

// Sum of a over the set, / |R|. `mass` on the host.
double KeptMass(const at::Tensor& mass, const Bitmap& keep, int num_heads, int num_probes) {
  const int64_t* m = mass.const_data_ptr<int64_t>();
  int64_t total = 0;
  for (uint32_t j = 0; j < keep.size; ++j) total += keep.Test(j) ? m[j] : 0;
  return static_cast<double>(total) / (kernels::kMassOne * num_heads * num_probes);
}

}  // namespace

absl::StatusOr<ForceKeep> ParseForceKeep(const std::vector<std::string>& names) {
  ForceKeep force{false, false, false};
  for (const std::string& name : names) {
    if (name == "last") {
      force.last = true;
    } else if (name == "text") {
      force.text = true;
    } else if (name == "first") {
      force.first = true;
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("rollout.force_keep: '", name, "'; allowed: last, text, first"));
    }
  }
  return force;
}

std::vector<int32_t> DrawProbes(const ProbeConfig& config, const std::vector<uint8_t>& is_visual,
                                uint64_t group_seed) {
  const int n = static_cast<int>(is_visual.size());
  std::vector<int32_t> probes;
  if (config.text) {
    for (int j = 0; j < n; ++j) {
      if (is_visual[j] == 0) probes.push_back(j);
    }
    return probes;
  }
  const int recent = std::min(config.recent, n), others = n - recent;
  std::vector<std::pair<uint64_t, int32_t>> draw;
  draw.reserve(others);
  for (int j = 0; j < others; ++j) {
    draw.emplace_back(PhiloxU64(group_seed, static_cast<uint32_t>(j), 0, 0, RngStream::kProbe), j);
  }
  const int random = std::min(config.random, others);
  std::partial_sort(draw.begin(), draw.begin() + random, draw.end());
  for (int i = 0; i < random; ++i) probes.push_back(draw[i].second);
  std::sort(probes.begin(), probes.end());
  for (int j = others; j < n; ++j) probes.push_back(j);
  return probes;
}

std::vector<uint8_t> ForcedMask(const ForceKeep& force, const std::vector<uint8_t>& is_visual) {
  std::vector<uint8_t> forced(is_visual.size(), 0);
  if (forced.empty()) return forced;
  if (force.text) {
    for (size_t j = 0; j < forced.size(); ++j) forced[j] = is_visual[j] == 0;
  }
  if (force.first) forced.front() = 1;
  if (force.last) forced.back() = 1;
  return forced;
}

std::vector<int32_t> SeenCounts(const std::vector<int32_t>& limit, int n) {
  std::vector<int32_t> seen(n, 0);
  for (int32_t end : limit) {
    if (end > 0) ++seen[std::min<int32_t>(end, n) - 1];
  }
  for (int j = n - 2; j >= 0; --j) seen[j] += seen[j + 1];
  return seen;
}

LayerSelection SelectTokens(const MassResult& mass, const std::vector<int32_t>& seen,
                            const std::vector<uint8_t>& forced, int num_heads, int num_probes,
                            const SelectionSpec& spec, int layer) {
  const auto n = static_cast<uint32_t>(forced.size());
  LayerSelection selection;
  selection.keep = Bitmap(n);
  if (spec.p >= 1.0) {
    for (uint32_t j = 0; j < n; ++j) selection.keep.Set(j);
    selection.budget = static_cast<int>(n);
  } else {
    const RankedSet set = RankByMass(mass.mass, seen, forced, num_heads, spec.p);
    if (spec.stochastic) {
      SampleSet(set, forced, spec, layer, &selection);
    } else {
      for (uint32_t j = 0; j < n; ++j) {
        if (set.keep[j] != 0) selection.keep.Set(j);
      }
    }
    selection.budget = set.result.budget;
    selection.score_threshold = set.result.score_threshold;
    selection.mass_threshold = set.result.mass_threshold;
  }
  selection.kept_mass = KeptMass(mass.mass.cpu(), selection.keep, num_heads, num_probes);
  return selection;
}

double DecisionLogprob(double z, bool kept) {
  const double x = kept ? z : -z;
  return std::min(x, 0.0) - std::log1p(std::exp(-std::abs(x)));
}

at::Tensor SelectionLogprob(const at::Tensor& a, const std::vector<int32_t>& seen,
                            const std::vector<uint8_t>& forced, int score_threshold,
                            const Bitmap& keep, double temperature) {
  if (score_threshold < 0) return at::zeros({a.numel()}, a.options());
  const auto n = static_cast<int64_t>(seen.size());
  // Per token, in fp64 on the host: 1 / seen, and the decision's sign (+1 kept, -1 not, 0 none).
  at::Tensor host = at::empty({3, n}, at::TensorOptions().dtype(at::kDouble).device(at::kCPU));
  double* rate = host.mutable_data_ptr<double>();
  double *sign = rate + n, *decided = sign + n;
  for (int64_t j = 0; j < n; ++j) {
    rate[j] = seen[j] > 0 ? 1.0 / seen[j] : 0.0;
    sign[j] = keep.Test(static_cast<uint32_t>(j)) ? 1.0 : -1.0;
    decided[j] = forced[j] != 0 ? 0.0 : 1.0;
  }
  const at::Tensor there = host.to(a.options());
  const at::Tensor log_score = (a * there[0]).add(EpsilonS(n)).log();
  const at::Tensor z = (log_score - log_score[score_threshold].detach()) / temperature;
  return at::log_sigmoid(z * there[1]) * there[2];
}

at::Tensor SoftCount(const at::Tensor& a, int num_probes, int mass_threshold) {
  if (mass_threshold < 0) return at::ones({}, a.options());
  const at::Tensor log_mass = (a / num_probes).add(EpsilonS(a.numel())).log();
  return at::sigmoid((log_mass - log_mass[mass_threshold].detach()) / 0.5).mean();
}

}  // namespace ziprl
