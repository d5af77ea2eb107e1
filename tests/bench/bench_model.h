// A random model for benchmarks, and prompts of any length for it. Errors end the program.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "configs/run_config.h"
#include "model/model.h"
#include "proto/types.h"
#include "rollout/sparse_engine.h"
#include "tests/bench/must.h"

namespace ziprl {

// tests/bench/models/SIZE.json with random weights in fp32; one thread inside operations. Run from
// the repository's root.
std::shared_ptr<Model> RandomModel(const std::string& size);

// Dense or sparse sampling of responses of just this many tokens, one thread.
EngineConfig BenchEngine(int response);

// `images` different ones of 1,024 tokens each and `text` random tokens.
Prompt RandomPrompt(const Model& model, int images, int text, uint64_t seed);

// A lease of `samples` samples at the threshold p.
GroupLease LeaseOf(const Model& model, const Prompt& prompt, int samples, double p);

// What a Generate call of a new engine takes and gives; nothing is kept from earlier calls.
struct Generated {
  double seconds = 0;
  double kept_ratio = 1;  // of the first sample
};
Generated Generate(const std::shared_ptr<Model>& model, const std::vector<GroupLease>& leases,
                   int response);

// A threshold at which about a quarter of this prompt is kept.
double QuarterThreshold(const std::shared_ptr<Model>& model, const Prompt& prompt);

}  // namespace ziprl
