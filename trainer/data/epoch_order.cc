#include "trainer/data/epoch_order.h"

#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

constexpr uint32_t kRounds = 6;

}  // namespace

EpochOrder::EpochOrder(int64_t rows, int64_t seed, int64_t epoch)
    : rows_(rows),
      key_(DeriveSeed(static_cast<uint64_t>(seed), static_cast<uint64_t>(epoch), 0)),
      half_bits_(1) {
  while ((uint64_t{1} << (2 * half_bits_)) < static_cast<uint64_t>(rows)) ++half_bits_;
}

int64_t EpochOrder::RowAt(int64_t place) const {
  uint64_t value = static_cast<uint64_t>(place);
  do {  // walks the cycle until it is back among the rows; under 4 turns on average
    value = Permute(value);
  } while (value >= static_cast<uint64_t>(rows_));
  return static_cast<int64_t>(value);
}

// A Feistel network is a bijection of its 2 * half_bits_ bits whatever its round function.
uint64_t EpochOrder::Permute(uint64_t value) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_, right = value & mask;
  for (uint32_t round = 0; round < kRounds; ++round) {
    const uint64_t mixed =
        PhiloxU64(key_, static_cast<uint32_t>(right), static_cast<uint32_t>(right >> 32), round,
                  RngStream::kShuffle);
    const uint64_t next = (left ^ mixed) & mask;
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

}  // namespace ziprl
