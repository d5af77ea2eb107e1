// The image processor's options as transformers stores them.
#pragma once

#include <string>

#include "model/image_processor.h"

namespace ziprl {

// video_preprocessor_config.json with the same patch geometry; AutoProcessor insists on one.
std::string VideoProcessorConfigToJson(const ImageProcessorConfig& config,
                                       const std::string& processor_class);

}  // namespace ziprl
