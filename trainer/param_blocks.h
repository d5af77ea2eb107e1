// The parameters in blocks, as a pass meets them: vision tower, embedding, each decoder layer,
// head. And how a block's elements are spread over ranks. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace ziprl {

inline constexpr int kVisionBlock = 0, kEmbedBlock = 1, kHeadBlock = 2, kFirstLayerBlock = 3;

inline int LayerBlock(int layer) { return kFirstLayerBlock + layer; }

struct ParamBlock {
  std::vector<int> params;  // indices in the store, ascending
  int64_t size = 0;         // elements in all
};

// A run of elements of one parameter inside one rank's part of a block.
struct ShardSegment {
  int param = 0;
  int64_t offset = 0;  // first element, in the flattened parameter
  int64_t count = 0;
  int64_t at = 0;  // its place in the rank's part
};

// One entry per block number above. names[i] has numel[i] elements; parameters of a frozen vision
// tower are in no block.
std::vector<ParamBlock> ParamBlocks(const Architecture& arch, const std::vector<std::string>& names,
                                    const std::vector<int64_t>& numel, bool freeze_vision);

// Elements of a block of `size` that each rank owns: consecutive, equal but for the last ones.
std::vector<int64_t> ShardCounts(int64_t size, int ranks);

// What rank owns of a block, in order.
std::vector<ShardSegment> ShardSegments(const ParamBlock& block, const std::vector<int64_t>& numel,
                                        int rank, int ranks);

}  // namespace ziprl
