#include "trainer/data/source_mix.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "trainer/data/epoch_order.h"

namespace ziprl {
namespace {

constexpr double kCycle = 10'000;

}  // namespace

SourceMix::SourceMix(const std::vector<double>& weights, int64_t seed) : begins_{0}, seed_(seed) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (const double weight : weights) {
    sum += weight;
    const auto end = static_cast<int64_t>(std::llround(sum / total * kCycle));
    const int64_t least = begins_.back() + (weight > 0 ? 1 : 0);
    begins_.push_back(weight > 0 ? std::max(end, least) : begins_.back());
  }
}

SourceMix::Draw SourceMix::At(uint64_t draw) const {
  const int64_t length = begins_.back();
  const int64_t cycle = static_cast<int64_t>(draw / static_cast<uint64_t>(length));
  const int64_t place = static_cast<int64_t>(draw % static_cast<uint64_t>(length));
  const int64_t slot = EpochOrder(length, seed_, cycle).RowAt(place);
  const auto behind = std::upper_bound(begins_.begin(), begins_.end(), slot);
  Draw out;
  out.source = static_cast<size_t>(behind - begins_.begin()) - 1;
  const int64_t begin = begins_[out.source], share = begins_[out.source + 1] - begin;
  out.number = cycle * share + slot - begin;
  return out;
}

}  // namespace ziprl
