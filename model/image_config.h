// The image processor's options as transformers stores them.
#pragma once

#include <string>

#include "model/image_processor.h"
#include "model/json_reader.h"

namespace ziprl {

// What image and video processors share: geometry, normalisation, bounds of the pixels. Keys that
// are not there keep the config's values; what is not supported fails by name.
void ReadPatchOptions(JsonReader* reader, ImageProcessorConfig* config);

// video_preprocessor_config.json with the same patch geometry; AutoProcessor insists on one.
std::string VideoProcessorConfigToJson(const ImageProcessorConfig& config,
                                       const std::string& processor_class);

}  // namespace ziprl
