#include "model/patch_writer.h"

#include <immintrin.h>

#include <algorithm>

namespace ziprl {
namespace {

constexpr int kLanes = 8;

// Eight pixels, 0 to 3 in bytes 0 to 11 of one lane, 4 to 7 in bytes 4 to 15 of the other: no byte
// behind them is read.
__m256i EightPixels(const uint8_t* from) {
  return _mm256_loadu2_m128i(reinterpret_cast<const __m128i_u*>(from + 8),
                             reinterpret_cast<const __m128i_u*>(from));
}

// Channel c of theirs.
__m256 Levels(__m256i pixels, int c) {
  const __m256i places = _mm256_setr_epi32(0, 3, 6, 9, 4, 7, 10, 13);
  const int upper_bytes = static_cast<int>(0x80808000);  // become 0
  const __m256i chosen = _mm256_add_epi32(places, _mm256_set1_epi32(upper_bytes + c));
  return _mm256_cvtepi32_ps(_mm256_shuffle_epi8(pixels, chosen));
}

}  // namespace

// transformers folds the rescale into mean and std.
PatchWriter::PatchWriter(const ImageProcessorConfig& config, const Grid& grid) : config_(config) {
  const auto inverse = static_cast<float>(1.0 / static_cast<double>(config.rescale));
  for (int c = 0; c < 3; ++c) {
    mean_[c] = config.mean[c] * inverse;
    std_[c] = config.std[c] * inverse;
  }
  patches_.grid = grid;
  patches_.patch_dim = 3 * config.temporal_patch * config.patch * config.patch;
  patches_.values.reserve(static_cast<size_t>(grid.t) * grid.h * grid.w * patches_.patch_dim);
}

void PatchWriter::Write(const Image& frame, int index, int count) {
  const Grid& grid = patches_.grid;
  const int block = config_.merge, slot = index % config_.temporal_patch;
  const size_t dim = patches_.patch_dim, frame_values = size_t{dim} * grid.h * grid.w;
  std::vector<float>& values = patches_.values;
  size_t at = index / config_.temporal_patch * frame_values;
  // Whole patches in their order are appended, which saves clearing their place first.
  const bool appends = count == config_.temporal_patch && at == values.size();
  if (!appends) values.resize(std::max(values.size(), at + frame_values));
  std::vector<float> patch(dim);
  for (int by = 0; by < grid.h; by += block) {
    for (int bx = 0; bx < grid.w; bx += block) {
      for (int i = 0; i < block * block; ++i, at += dim) {
        WritePatch(frame, (by + i / block) * config_.patch, (bx + i % block) * config_.patch, slot,
                   count, appends ? patch.data() : &values[at]);
        if (appends) values.insert(values.end(), patch.begin(), patch.end());
      }
    }
  }
}

// One patch: channel, temporal slot, row, column.
void PatchWriter::WritePatch(const Image& frame, int top, int left, int slot, int count,
                             float* out) const {
  const int side = config_.patch, area = side * side;
  for (int y = 0; y < side; ++y) {
    const uint8_t* from = &frame.pixels[(static_cast<size_t>(top + y) * frame.width + left) * 3];
    float* const to = out + slot * area + y * side;
    if (side < kLanes) {
      for (int x = 0; x < side; ++x) WritePixel(from + 3 * x, count, to + x);
      continue;
    }
    for (int x = 0; x < side; x += kLanes) {
      const int begin = std::min(x, side - kLanes);
      WriteEight(from + 3 * begin, count, to + begin);
    }
  }
}

void PatchWriter::WritePixel(const uint8_t* from, int count, float* out) const {
  const int area = config_.patch * config_.patch;
  for (int c = 0; c < 3; ++c, out += config_.temporal_patch * area) {
    const float value = (static_cast<float>(from[c]) - mean_[c]) / std_[c];
    for (int slot = 0; slot < count; ++slot) out[slot * area] = value;
  }
}

void PatchWriter::WriteEight(const uint8_t* from, int count, float* out) const {
  const int area = config_.patch * config_.patch;
  const __m256i pixels = EightPixels(from);
  for (int c = 0; c < 3; ++c, out += config_.temporal_patch * area) {
    const __m256 value = _mm256_div_ps(_mm256_sub_ps(Levels(pixels, c), _mm256_set1_ps(mean_[c])),
                                       _mm256_set1_ps(std_[c]));
    for (int slot = 0; slot < count; ++slot) _mm256_storeu_ps(out + slot * area, value);
  }
}

}  // namespace ziprl
