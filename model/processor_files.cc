#include "model/processor_files.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/image_config.h"
#include "model/tokenizer.h"

namespace ziprl {

absl::Status WriteProcessorFiles(const std::string& dir, const std::string& processor_class,
                                 const ImageProcessorConfig& images,
                                 const std::string& chat_template) {
  const std::pair<const char*, std::string> files[] = {
      {"tokenizer_config.json", TokenizerConfigJson(chat_template, processor_class)},
      {"chat_template.jinja", chat_template},
      {"preprocessor_config.json", ImageProcessorConfigToJson(images, processor_class)},
      {"video_preprocessor_config.json", VideoProcessorConfigToJson(images, processor_class)}};
  for (const auto& [name, text] : files) {
    ZIPRL_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(dir, "/", name), text));
  }
  return absl::OkStatus();
}

}  // namespace ziprl
