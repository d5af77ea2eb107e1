// What a decode step takes from the host, in one tensor that stays where it is, so that the step's
// work on the device can be captured once and replayed.
#pragma once

#include <cstdint>
#include <vector>

#include "model/decoder_layer.h"
#include "model/tensor.h"
#include "rollout/decoder.h"
#include "rollout/engine_context.h"

namespace ziprl {

// Not thread-safe. The context must outlive it.
class StepBuffers {
 public:
  // For `rows` rows.
  StepBuffers(const EngineContext& context, int64_t rows);

  // Brings over the rows' newest tokens, their places and their caches, in which room for the
  // tokens is made, in one copy. Fewer rows than it is for leave empty slots behind them. False
  // when the lists of pages have outgrown their place and everything lies elsewhere than before.
  bool Fill(const Rows& rows);

  int64_t rows() const { return rows_; }
  const at::Tensor& ids() const { return ids_; }    // int32 [R]
  const Rotary& rotary() const { return rotary_; }  // of R rows
  float* const* const* pages(int layer) const;      // [R] lists
  const int32_t* lengths(int layer) const;          // [R], the new entries included

 private:
  // Of all layers: [L][R] begins of lists among the pages, and lengths.
  struct Caches {
    std::vector<int64_t> begin, pages;
    std::vector<int32_t> lengths;
  };
  Caches CachesOf(const Rows& rows) const;
  void Allocate(int64_t words);

  const EngineContext& context_;
  const int64_t rows_;
  int64_t fixed_ = 0;  // words in front of the lists
  at::Tensor words_;   // int64: rotary, ids, lengths, then pointers to lists [L][R] and the pages
  at::Tensor ids_, lengths_;
  Rotary rotary_;
};

}  // namespace ziprl
