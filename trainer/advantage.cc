#include "trainer/advantage.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "proto/reward_component.h"

namespace ziprl {
namespace {

constexpr double kStdFloor = 1e-4;  // added to every standard deviation, as TRL does

struct Moments {
  double mean = 0.0, std = 0.0, min = 0.0, max = 0.0;  // std unbiased, 0 for one value
};

Moments MomentsOf(const std::vector<double>& values) {
  Moments m;
  if (values.empty()) return m;
  m.min = *std::min_element(values.begin(), values.end());
  m.max = *std::max_element(values.begin(), values.end());
  for (double v : values) m.mean += v;
  m.mean /= static_cast<double>(values.size());
  if (values.size() < 2) return m;
  double squares = 0.0;
  for (double v : values) squares += (v - m.mean) * (v - m.mean);
  m.std = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return m;
}

// Values minus their mean, divided by (scale or their own std, + 1e-4). Equal values give exactly
// 0, which rounding of the mean would not.
std::vector<double> Standardize(const std::vector<double>& values, std::optional<double> scale) {
  const Moments m = MomentsOf(values);
  std::vector<double> out(values.size(), 0.0);
  if (m.min == m.max) return out;
  const double divisor = scale ? *scale : m.std + kStdFloor;
  for (size_t i = 0; i < values.size(); ++i) out[i] = (values[i] - m.mean) / divisor;
  return out;
}

// One scored sample on its way from components to advantage.
struct Member {
  const Completion* completion;
  const Score* score;
  SampleAdvantage* out;
  double gate = 0.0;
  double efficiency = 0.0;  // gate * (1 - max(tau, tau_floor))
};
using Members = std::vector<Member>;  // of one group

// What reward.weights says of a component; the names may be fewer than the components.
class Weights {
 public:
  explicit Weights(const RewardConfig& reward) {
    for (size_t i = 0; i < reward.functions.size() && i < reward.weights.size(); ++i) {
      weights_[RewardComponent(reward.functions[i])] = reward.weights[i];
    }
  }
  double Of(const std::string& component) const {
    const auto found = weights_.find(component);
    return found == weights_.end() ? 1.0 : found->second;
  }

 private:
  std::map<std::string, double> weights_;
};

// The components that are simply added: all but accuracy and the informational one.
bool IsAdded(const std::string& component) {
  return component != kAccuracyComponent && component != kTokenReductionComponent;
}

double AddedComponents(const Score& score, const Weights& weights) {
  double sum = 0.0;
  for (const auto& [component, value] : score.components) {
    if (IsAdded(component)) sum += weights.Of(component) * value;
  }
  return sum;
}

Members MembersOf(const ScoredGroup& group, std::vector<SampleAdvantage>& out) {
  Members members;
  for (size_t i = 0; i < group.completions.size() && i < group.scores.size(); ++i) {
    const Score& score = group.scores[i];
    if (score.status != ScoreStatus::kScored) continue;
    const auto accuracy = score.components.find(kAccuracyComponent);
    if (accuracy == score.components.end()) continue;
    out[i].accuracy = accuracy->second;
    members.push_back({&group.completions[i], &score, &out[i]});
  }
  return members;
}

void ApplyGate(Members& members, const RewardConfig& reward) {
  int correct = 0;
  for (Member& m : members) {
    m.out->correct = m.out->accuracy >= reward.correct_threshold;
    correct += m.out->correct;
  }
  for (Member& m : members) {
    bool open = true;  // none
    if (reward.gate == "group") open = correct > 0;
    if (reward.gate == "own") open = m.out->correct;
    if (reward.gate == "all") open = correct == static_cast<int>(members.size());
    m.gate = open ? 1.0 : 0.0;
    m.efficiency = m.gate * (1.0 - std::max(m.completion->kept_ratio, reward.tau_floor));
  }
}

void CombineRewards(Members& members, const RewardConfig& reward, const Weights& weights) {
  for (Member& m : members) {
    const double accuracy = weights.Of(kAccuracyComponent) * m.out->accuracy;
    const double efficiency = reward.efficiency_weight * m.efficiency;
    const double base =
        reward.combine == "multiplicative" ? accuracy * (1.0 + efficiency) : accuracy + efficiency;
    m.out->reward = base + AddedComponents(*m.score, weights);
  }
}

std::vector<double> RewardsOf(const Members& members) {
  std::vector<double> rewards;
  for (const Member& m : members) rewards.push_back(m.out->reward);
  return rewards;
}

bool AllEqual(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [&](double v) { return v == values.front(); });
}

// GDPO: every component standardised in its group, summed with the weights. A group's sum has mean
// 0 up to rounding, so the step needs no mean taken off and equal components stay exactly 0.
std::vector<double> ObjectiveSums(const Members& members, const RewardConfig& reward,
                                  const Weights& weights) {
  std::vector<double> sums(members.size(), 0.0);
  const auto add = [&](double weight, const std::function<double(const Member&)>& value) {
    std::vector<double> values;
    for (const Member& m : members) values.push_back(value(m));
    const std::vector<double> standardized = Standardize(values, std::nullopt);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += weight * standardized[i];
  };
  add(weights.Of(kAccuracyComponent), [](const Member& m) { return m.out->accuracy; });
  add(reward.efficiency_weight, [](const Member& m) { return m.efficiency; });
  std::map<std::string, bool> components;
  for (const Member& m : members) {
    for (const auto& [component, value] : m.score->components)
      components[component] = IsAdded(component);
  }
  for (const auto& [component, added] : components) {
    if (!added) continue;
    add(weights.Of(component), [&name = component](const Member& m) {
      const auto found = m.score->components.find(name);
      return found == m.score->components.end() ? 0.0 : found->second;
    });
  }
  return sums;
}

void ScaleRewards(const std::vector<Members>& groups, const RewardConfig& reward,
                  const Weights& weights, const std::string& mode) {
  std::vector<std::vector<double>> values;
  std::vector<double> step;
  for (const Members& members : groups) {
    values.push_back(mode == "per_objective" ? ObjectiveSums(members, reward, weights)
                                             : RewardsOf(members));
    step.insert(step.end(), values.back().begin(), values.back().end());
  }
  const double step_scale = MomentsOf(step).std + kStdFloor;
  for (size_t g = 0; g < groups.size(); ++g) {
    std::vector<double> scaled = values[g];
    if (mode == "per_objective") {
      for (double& v : scaled) v /= step_scale;
    } else if (mode == "batch") {
      scaled = Standardize(values[g], step_scale);
    } else {
      scaled = Standardize(values[g], mode == "none" ? std::optional<double>(1.0) : std::nullopt);
    }
    for (size_t i = 0; i < scaled.size(); ++i) groups[g][i].out->advantage = scaled[i];
  }
}

// Layers whose kept sets every member carries.
size_t LayersOf(const Members& members) {
  size_t layers = SIZE_MAX;
  for (const Member& m : members) {
    const auto& events = m.completion->kept.events;
    layers = std::min(layers, events.empty() ? 0 : events[0].size());
  }
  return layers;
}

// Adv_il: the sample's own kept share in layer l in the place of its mean over the layers.
void CreditLayers(Members& members, const RewardConfig& reward, const std::string& credit) {
  const size_t layers = LayersOf(members);
  for (Member& m : members) m.out->layer.assign(layers, m.out->advantage);
  if (credit == "sample") return;
  std::vector<double> values(members.size());
  for (size_t l = 0; l < layers; ++l) {
    for (size_t i = 0; i < members.size(); ++i) {
      const Bitmap& kept = members[i].completion->kept.events[0][l];
      const double share = static_cast<double>(kept.Count()) / kept.size;
      values[i] = members[i].out->accuracy + reward.efficiency_weight * members[i].gate *
                                                 (1.0 - std::max(share, reward.tau_floor));
    }
    const std::vector<double> standardized = Standardize(values, std::nullopt);
    for (size_t i = 0; i < members.size(); ++i) members[i].out->layer[l] = standardized[i];
  }
}

void PutRange(const std::string& name, const std::vector<double>& values,
              std::map<std::string, double>& metrics) {
  if (values.empty()) return;
  const Moments m = MomentsOf(values);
  metrics[name + "/mean"] = m.mean;
  metrics[name + "/max"] = m.max;
  metrics[name + "/min"] = m.min;
}

// critic/* and reward/<component>: over the samples that are judged, filtered groups included.
void PutRewardMetrics(const std::vector<Members>& groups, std::map<std::string, double>& metrics) {
  std::vector<double> rewards, advantages;
  std::map<std::string, std::vector<double>> components;
  int flat = 0;
  for (const Members& members : groups) {
    flat += AllEqual(RewardsOf(members));
    for (const Member& m : members) {
      rewards.push_back(m.out->reward);
      advantages.push_back(m.out->advantage);
      components["efficiency"].push_back(m.efficiency);
      components["overall"].push_back(m.out->reward);
      for (const auto& [name, value] : m.score->components) components[name].push_back(value);
    }
  }
  PutRange("critic/score", rewards, metrics);
  PutRange("critic/rewards", rewards, metrics);
  PutRange("critic/advantages", advantages, metrics);
  for (const auto& [name, values] : components) {
    const Moments m = MomentsOf(values);
    metrics["reward/" + name + "/mean"] = m.mean;
    metrics["reward/" + name + "/std"] = m.std;
  }
  metrics["frac_reward_zero_std"] =
      groups.empty() ? 0.0 : static_cast<double>(flat) / static_cast<double>(groups.size());
}

void PutStatusMetrics(const std::vector<ScoredGroup>& groups,
                      std::map<std::string, double>& metrics) {
  double samples = 0, invalid = 0, failed = 0, timeout = 0;
  for (const ScoredGroup& group : groups) {
    samples += static_cast<double>(group.scores.size());
    for (const Score& score : group.scores) {
      invalid += score.status == ScoreStatus::kInvalid;
      failed += score.status == ScoreStatus::kFailed;
      timeout += score.status == ScoreStatus::kTimeout;
    }
  }
  samples = std::max(samples, 1.0);
  metrics["reward/invalid_frac"] = invalid / samples;
  metrics["reward/failed_frac"] = failed / samples;
  metrics["reward/timeout_frac"] = timeout / samples;
}

}  // namespace

StepAdvantages ComputeAdvantages(const std::vector<ScoredGroup>& groups, const RewardConfig& reward,
                                 const AlgorithmConfig& algorithm) {
  StepAdvantages result;
  const Weights weights(reward);
  std::vector<Members> judged;
  for (const ScoredGroup& group : groups) {
    result.groups.emplace_back(group.completions.size());
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    Members members = MembersOf(groups[g], result.groups[g]);
    if (members.size() < 2) {
      ++result.dropped_groups;
      continue;
    }
    ApplyGate(members, reward);
    CombineRewards(members, reward, weights);
    judged.push_back(std::move(members));
  }
  ScaleRewards(judged, reward, weights, algorithm.scale_rewards);
  int filtered = 0;
  for (Members& members : judged) {
    if (algorithm.sparsity == "stochastic") CreditLayers(members, reward, algorithm.credit);
    const bool drop = algorithm.filter_groups && AllEqual(RewardsOf(members));
    filtered += drop;
    for (Member& m : members) m.out->used = !drop;
  }
  PutRewardMetrics(judged, result.metrics);
  PutStatusMetrics(groups, result.metrics);
  result.metrics["reward/dropped_groups"] = result.dropped_groups;
  result.metrics["reward/filtered_groups"] = filtered;
  return result;
}

}  // namespace ziprl
