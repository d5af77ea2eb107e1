// Tiny models, prompts and leases of the engine's tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/model.h"
#include "model/visual_features.h"
#include "rollout/sparse_engine.h"

namespace ziprl {

// "base" or "odd" of make_models.py, in fp32 or bf16. Failures abort the test program.
std::shared_ptr<Model> TinyModel(const std::string& name, const std::string& dtype = "fp32");

// A prompt of `length` tokens: random text around the model's first `num_images` images.
Prompt TinyPrompt(const Model& model, int length, int num_images, uint64_t seed);

// One sample per threshold, with seeds of their own.
GroupLease TinyLease(const Prompt& prompt, const std::vector<double>& thresholds, uint64_t seed);

// Responses of the full length.
EngineConfig Settings(int max_response, int rescore_interval);

// The engine's answer; a failure aborts the test program.
std::vector<std::vector<Completion>> MustGenerate(const EngineConfig& config,
                                                  const std::shared_ptr<Model>& model,
                                                  const std::vector<GroupLease>& leases);
std::vector<Completion> MustGenerate(const EngineConfig& config,
                                     const std::shared_ptr<Model>& model, const GroupLease& lease);

}  // namespace ziprl
