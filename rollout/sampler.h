// Draws the next token of each sequence and decides whether its response ends.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/sample_token.h"
#include "rollout/engine_context.h"
#include "rollout/sequence.h"

namespace ziprl {

class Sampler {
 public:
  // The context must outlive it.
  explicit Sampler(const EngineContext& context) : context_(context) {}

  // logits [R, V] fp32 on the device; rows[r] is the sequence of row r, or null for an empty slot.
  // Token number t of a sequence is drawn with the uniform number (seed; t, 0, 0, TOKEN). Appends
  // token and log-prob (fp32, of the distribution sampled from; temperature 1 when greedy) and
  // marks finished sequences done.
  void Next(const float* logits, const std::vector<Sequence*>& rows);

 private:
  void Draw(kernels::SampleTokenParams params);

  const EngineContext& context_;
  std::vector<double> uniform_;
  std::vector<int32_t> token_;
  std::vector<float> logprob_;
};

}  // namespace ziprl
