// Batched decoding of prefilled sequences: continuous, whoever finishes makes room for others.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/tensor.h"
#include "rollout/decoder.h"
#include "rollout/engine_context.h"
#include "rollout/sampler.h"
#include "rollout/sequence.h"

namespace ziprl {

// Where rows of a product feel their neighbours (TensorDecoder), deterministic mode decodes in
// tiles: a sequence computes in slot out.index mod kDecodeTileRows, one group at a time. Not
// thread-safe.
class DecodeBatch {
 public:
  explicit DecodeBatch(const EngineContext& context);

  // Whether so many sequences, of prompts with so many tokens each, may join now. Always true of an
  // empty batch.
  bool HasRoom(int64_t samples, int64_t prompt_tokens) const;
  // Each draws its first token from its last prompt position's residual row, last_rows [S, C]. They
  // must live until they are done.
  void Join(const std::vector<Sequence*>& sequences, const at::Tensor& last_rows);
  // The next token of every sequence.
  void Step();
  bool empty() const { return rows_.empty(); }

 private:
  void DropFinished();

  const EngineContext& context_;
  const bool tiles_;
  std::unique_ptr<Decoder> decoder_;
  Sampler sampler_;
  Rows rows_;
};

}  // namespace ziprl
