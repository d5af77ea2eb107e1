// Scored groups of tiny models and what the learner makes of them.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "configs/run_config.h"
#include "model/model.h"
#include "trainer/advantage.h"
#include "trainer/learner.h"

namespace ziprl {

// A deterministic run of short responses, one thread, the given recipe; selection sampled where the
// recipe asks for it.
RunConfig TinyRun(const std::string& recipe);

// `groups` prompts of `length` tokens with one image each and samples at `thresholds` (cycled to n
// = 4), all with responses of data.max_response_length tokens; scores alternate so that advantages
// differ.
std::vector<ScoredGroup> TinyGroups(const RunConfig& config, const std::shared_ptr<Model>& model,
                                    int groups, int length, const std::vector<double>& thresholds);

StepAdvantages TinyAdvantages(const RunConfig& config, const std::vector<ScoredGroup>& groups);

struct StepGradient {
  double loss = 0;
  size_t sequences = 0;  // fewer than samples where these share their prompt
  std::map<std::string, double> metrics;
  std::vector<at::Tensor> grads;             // by parameter index
  std::vector<std::vector<float>> logprobs;  // of each used sample
  // [sample][layer][token] of the selection, for samples of the model's version; `stochastic`.
  std::vector<std::vector<std::vector<float>>> selection_logprobs;
};
// Loss and gradients of the step's first update, nothing updated.
StepGradient GradientOf(const RunConfig& config, const std::shared_ptr<Model>& model,
                        const std::vector<ScoredGroup>& groups, const StepAdvantages& advantages);

// Largest over tensors of |a - b| / |b|, tensors that are zero by nature (key biases) aside.
double RelativeDifference(const Model& model, const std::vector<at::Tensor>& a,
                          const std::vector<at::Tensor>& b);

// Abort the test program on an error.
void MustOk(const absl::Status& status);
template <typename T>
T MustValue(absl::StatusOr<T> value) {
  MustOk(value.status());
  return *std::move(value);
}

}  // namespace ziprl
