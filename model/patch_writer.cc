#include "model/patch_writer.h"

#include <algorithm>

namespace ziprl {

// transformers folds the rescale into mean and std.
PatchWriter::PatchWriter(const ImageProcessorConfig& config, const Grid& grid) : config_(config) {
  const auto inverse = static_cast<float>(1.0 / static_cast<double>(config.rescale));
  for (int c = 0; c < 3; ++c) {
    const float mean = config.mean[c] * inverse, std = config.std[c] * inverse;
    for (int level = 0; level < 256; ++level) {
      values_[c][level] = (static_cast<float>(level) - mean) / std;
    }
  }
  patches_.grid = grid;
  patches_.patch_dim = 3 * config.temporal_patch * config.patch * config.patch;
  patches_.values.resize(static_cast<size_t>(grid.t) * grid.h * grid.w * patches_.patch_dim);
}

void PatchWriter::Write(const Image& frame, int index, int count) {
  const Grid& grid = patches_.grid;
  const int block = config_.merge, slot = index % config_.temporal_patch;
  float* out = patches_.values.data() + static_cast<size_t>(index / config_.temporal_patch) *
                                            grid.h * grid.w * patches_.patch_dim;
  for (int by = 0; by < grid.h; by += block) {
    for (int bx = 0; bx < grid.w; bx += block) {
      for (int i = 0; i < block * block; ++i, out += patches_.patch_dim) {
        WritePatch(frame, (by + i / block) * config_.patch, (bx + i % block) * config_.patch, slot,
                   count, out);
      }
    }
  }
}

// One patch: channel, temporal slot, row, column.
void PatchWriter::WritePatch(const Image& frame, int top, int left, int slot, int count,
                             float* out) const {
  const int area = config_.patch * config_.patch;
  for (int c = 0; c < 3; ++c) {
    float* const first = out + (c * config_.temporal_patch + slot) * area;
    float* to = first;
    for (int y = 0; y < config_.patch; ++y) {
      const uint8_t* from =
          &frame.pixels[(static_cast<size_t>(top + y) * frame.width + left) * 3 + c];
      for (int x = 0; x < config_.patch; ++x) *to++ = values_[c][from[x * 3]];
    }
    for (int more = 1; more < count; ++more, to += area) std::copy_n(first, area, to);
  }
}

}  // namespace ziprl
