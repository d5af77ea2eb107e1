// An image as a PNG file.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/image_processor.h"

namespace ziprl {

absl::StatusOr<std::string> EncodePng(const Image& image);

}  // namespace ziprl
