// Resized frames -> the rows of patches that the vision tower takes.
#pragma once

#include "model/image_processor.h"

namespace ziprl {

class PatchWriter {
 public:
  // Rows for the grid, in the geometry and with the normalisation of `config`.
  PatchWriter(const ImageProcessorConfig& config, const Grid& grid);

  // Writes frame `index` and those of its temporal patch that follow, `count` in all (of grid.t *
  // config.temporal_patch, each exactly once): an image of grid.w * patch by grid.h * patch pixels.
  void Write(const Image& frame, int index, int count = 1);

  ImagePatches Take() && { return std::move(patches_); }

 private:
  void WritePatch(const Image& frame, int top, int left, int slot, int count, float* out) const;
  // All channels of pixels of one row, into `count` slots.
  void WritePixel(const uint8_t* from, int count, float* out) const;
  void WriteEight(const uint8_t* from, int count, float* out) const;

  const ImageProcessorConfig config_;
  float mean_[3], std_[3];  // of grey levels
  ImagePatches patches_;
};

}  // namespace ziprl
