#include <cstdlib>
#include <memory>
#include <string>

#include "configs/base/bfloat16.h"
#include "kernels/comm/ordered_sum.h"
#include "proto/weights/checksum.h"
#include "proto/weights/delta_block.h"
#include "tests/instructions/loops.h"

namespace ziprl {
namespace {

constexpr int64_t kWords = 400000;

// Weights in bf16 before and after a step: about one in 29 has changed.
struct TwoVersions {
  std::string base, target, delta;

  TwoVersions() {
    const std::vector<uint32_t> moves = UniformInts(72, kWords, 29);
    int64_t i = 0;
    for (float value : UniformFloats(71, kWords)) {
      const uint16_t before = ToBfloat16(value);
      const uint16_t after = static_cast<uint16_t>(before + (moves[i++] == 0));
      base.append(reinterpret_cast<const char*>(&before), sizeof(before));
      target.append(reinterpret_cast<const char*>(&after), sizeof(after));
    }
    EncodeBlocks(base, target, 2, &delta);
  }
};

// Gradients of four ranks.
struct Gradients {
  std::vector<std::vector<float>> ranks;
  std::vector<const float*> sources;
  std::vector<float> sum = std::vector<float>(kWords);

  Gradients() {
    for (uint64_t r = 0; r < 4; ++r) ranks.push_back(UniformFloats(73 + r, kWords));
    for (const auto& rank : ranks) sources.push_back(rank.data());
  }
};

}  // namespace

std::vector<Loop> WeightLoops() {
  return {
      {"weight_checksum",
       [] {
         auto weights = std::make_shared<TwoVersions>();
         return [weights] {
           if (Checksum(weights->base) == Checksum(weights->target)) std::abort();
         };
       }},
      {"weight_delta_encode",
       [] {
         auto weights = std::make_shared<TwoVersions>();
         auto out = std::make_shared<std::string>();
         out->reserve(weights->base.size());
         return [weights, out] {
           out->clear();
           EncodeBlocks(weights->base, weights->target, 2, out.get());
         };
       }},
      {"weight_delta_decode",
       [] {
         auto weights = std::make_shared<TwoVersions>();
         return [weights] {
           if (!DecodeBlocks(weights->delta, 2, weights->base.data(), weights->base.size()).ok()) {
             std::abort();
           }
         };
       }},
      {"ordered_sum",
       [] {
         auto in = std::make_shared<Gradients>();
         return [in] { comm::OrderedSum(in->sources, kWords, in->sum.data()); };
       }},
  };
}

}  // namespace ziprl
