// loss_probe CASES.json: prints one JSON line per case with the loss and its gradient by the
// log-probs. A case: settings, and samples with lp, old, roll, ref, advantage, in_loss.
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "trainer/grpo_loss.h"

namespace ziprl {
namespace {

nlohmann::json Answer(const nlohmann::json& c) {
  AlgorithmConfig algorithm;
  algorithm.loss_type = c["loss_type"];
  algorithm.epsilon = c["epsilon"];
  algorithm.epsilon_high = c["epsilon_high"];
  algorithm.beta = c["beta"];
  algorithm.delta = c["delta"];
  algorithm.tis_cap = c["tis_cap"];
  algorithm.importance_sampling_level = c["level"];
  StepCounts counts;
  counts.max_response_length = c["max_response_length"];
  for (const auto& s : c["samples"]) {
    ++counts.samples;
    if (s["in_loss"]) counts.tokens += static_cast<int64_t>(s["lp"].size());
  }
  nlohmann::json out;
  LossSums sums;
  for (const auto& s : c["samples"]) {
    ResponseLogprobs r{s["lp"], s["old"], s["roll"], {}};
    if (algorithm.beta > 0) r.ref = s["ref"].get<std::vector<float>>();
    const double weight = s["in_loss"] ? TokenWeight(algorithm, counts, r.lp.size()) : 0.0;
    out["grads"].push_back(ResponseLoss(algorithm, r, s["advantage"], weight, &sums));
  }
  out["loss"] = sums.loss;
  out["low"] = sums.low_clipped / static_cast<double>(sums.tokens);
  out["high"] = sums.high_clipped / static_cast<double>(sums.tokens);
  out["kl"] = sums.kl / static_cast<double>(sums.tokens);
  return out;
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  std::ifstream file(argc > 1 ? argv[1] : "");
  for (const auto& c : nlohmann::json::parse(file)) std::cout << ziprl::Answer(c) << "\n";
}
