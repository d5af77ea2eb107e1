// The PNGs that data sets are mostly made of, several times faster than libpng reads them.
#pragma once

#include <string>

#include "model/image_processor.h"

namespace ziprl {

// 8 bits a sample, grey, RGB or RGBA (alpha is dropped), not interlaced, without a transparent
// colour. False for any other PNG and for one that has anything wrong: libpng reads it or says what
// it is. (Only a window smaller than the data needs passes here and not there; Pillow reads such a
// file too.) The image has the header's size and its pixels are allocated; what they hold after
// false is undefined.
bool DecodePlainPng(const std::string& bytes, Image* image);

}  // namespace ziprl
