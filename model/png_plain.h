// The PNGs that data sets are mostly made of, several times faster than libpng reads them.
#pragma once

#include <string>

#include "model/image_processor.h"

namespace ziprl {

// 8 bits a sample, grey, RGB or RGBA (alpha is dropped), not interlaced, without a transparent
// colour. False for any other PNG and for one that has anything wrong: libpng reads it or says what
// it is. The image has the header's size and its pixels are allocated.
bool DecodePlainPng(const std::string& bytes, Image* image);

}  // namespace ziprl
