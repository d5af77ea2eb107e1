// The files beside tokenizer.json that transformers' AutoProcessor and AutoTokenizer load.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "model/image_processor.h"

namespace ziprl {

// Writes, for the named class of processors (ModelFamily), tokenizer_config.json,
// chat_template.jinja, preprocessor_config.json and video_preprocessor_config.json into the
// directory.
absl::Status WriteProcessorFiles(const std::string& dir, const std::string& processor_class,
                                 const ImageProcessorConfig& images,
                                 const std::string& chat_template);

}  // namespace ziprl
