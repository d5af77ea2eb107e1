// The order of an epoch as a function: a permutation of the rows keyed by (seed, epoch), computed
// place by place, so that any place of any epoch is known without building the others. Pure.
#pragma once

#include <cstdint>

namespace ziprl {

class EpochOrder {
 public:
  EpochOrder(int64_t rows, int64_t seed, int64_t epoch);

  // Row at `place`, 0 <= place < rows. Distinct places give distinct rows.
  int64_t RowAt(int64_t place) const;

 private:
  uint64_t Permute(uint64_t value) const;

  int64_t rows_;
  uint64_t key_;
  int half_bits_;
};

}  // namespace ziprl
