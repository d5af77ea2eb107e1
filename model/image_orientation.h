// How a camera says that it was held: the orientation tag of EXIF, else of XMP, as Pillow reads it.
#pragma once

#include <string>
#include <string_view>

#include "model/image_processor.h"

namespace ziprl {

struct ImageMetadata {
  std::string exif;  // a TIFF header and its directory; "Exif\0\0" before it is allowed
  std::string xmp;
};

// 1 to 8; 1 (as stored) when nothing or nonsense is said.
int Orientation(const ImageMetadata& metadata);

// Orientations 5 to 8 exchange width and height.
inline bool SwapsAxes(int orientation) { return orientation >= 5; }

// The image upright, as Pillow's exif_transpose turns it.
Image Upright(Image image, int orientation);

}  // namespace ziprl
