#include "trainer/param_blocks.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ziprl {
namespace {

int BlockOf(const std::string& name, int layers) {
  if (IsVisionParam(name)) return kVisionBlock;
  if (name == "model.embed_tokens.weight") return kEmbedBlock;
  for (int layer = 0; layer < layers; ++layer) {
    if (absl::StartsWith(name, absl::StrCat("model.layers.", layer, "."))) return LayerBlock(layer);
  }
  return kHeadBlock;
}

}  // namespace

std::vector<ParamBlock> ParamBlocks(const Architecture& arch, const std::vector<std::string>& names,
                                    const std::vector<int64_t>& numel, bool freeze_vision) {
  std::vector<ParamBlock> blocks(LayerBlock(arch.layers));
  for (size_t i = 0; i < names.size(); ++i) {
    const int block = BlockOf(names[i], arch.layers);
    if (block == kVisionBlock && freeze_vision) continue;
    blocks[block].params.push_back(static_cast<int>(i));
    blocks[block].size += numel[i];
  }
  return blocks;
}

std::vector<int64_t> ShardCounts(int64_t size, int ranks) {
  const int64_t share = (size + ranks - 1) / ranks;
  std::vector<int64_t> counts;
  for (int64_t r = 0; r < ranks; ++r) {
    counts.push_back(std::clamp<int64_t>(size - r * share, 0, share));
  }
  return counts;
}

std::vector<ShardSegment> ShardSegments(const ParamBlock& block, const std::vector<int64_t>& numel,
                                        int rank, int ranks) {
  const std::vector<int64_t> counts = ShardCounts(block.size, ranks);
  int64_t begin = 0;
  for (int r = 0; r < rank; ++r) begin += counts[r];
  const int64_t end = begin + counts[rank];
  std::vector<ShardSegment> segments;
  int64_t at = 0;  // of the parameter, in the block
  for (int param : block.params) {
    const int64_t from = std::max(begin, at), to = std::min(end, at + numel[param]);
    if (from < to) segments.push_back({param, from - at, to - from, from - begin});
    at += numel[param];
  }
  return segments;
}

}  // namespace ziprl
