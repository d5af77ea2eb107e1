// Bicubic resize with antialiasing, bit-equal to torchvision's on uint8: fixed-point weights, the
// horizontal pass first, 8-bit values in between.
#pragma once

#include "model/image_processor.h"

namespace ziprl {

Image ResizeBicubic(const Image& image, int height, int width);

}  // namespace ziprl
