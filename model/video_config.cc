#include <filesystem>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/image_config.h"
#include "model/json_reader.h"
#include "model/video_processor.h"

namespace ziprl {
namespace {

using nlohmann::json;

void CheckType(JsonReader* reader) {
  const std::string type = reader->String("video_processor_type", "Qwen2VLVideoProcessor");
  if (type == "Qwen2VLVideoProcessor" || type == "Qwen2_5_VLVideoProcessor") return;
  reader->Fail(absl::StrCat("unsupported video_processor_type \"", type,
                            "\", supported is \"Qwen2VLVideoProcessor\""));
}

absl::StatusOr<VideoProcessorConfig> Parse(const json& object, const std::string& where) {
  JsonReader reader(object, where);
  VideoProcessorConfig config;
  CheckType(&reader);
  ReadPatchOptions(&reader, &config.frame);
  // do_sample_frames stays unread: a file is always sampled.
  config.fps = reader.Number("fps", config.fps);
  if (!(config.fps > 0))
    reader.Fail(absl::StrCat("\"fps\" is ", config.fps, ", allowed is above 0"));
  config.num_frames = reader.Int("num_frames", 1, INT32_MAX, 0);
  config.min_frames = reader.Int("min_frames", 1, INT32_MAX, config.min_frames);
  config.max_frames = reader.Int("max_frames", config.min_frames, INT32_MAX, config.max_frames);
  config.cap_pixels_per_frame = reader.Bool("cap_pixels_per_frame", false);
  config.max_video_tokens =
      reader.Int("max_video_tokens", 1, INT32_MAX, static_cast<int>(config.max_video_tokens));
  ZIPRL_RETURN_IF_ERROR(reader.status());
  return config;
}

absl::StatusOr<json> ReadObject(const std::string& path) {
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseJson(text, path);
}

}  // namespace

absl::StatusOr<VideoProcessorConfig> LoadVideoProcessorConfig(const std::string& model_dir) {
  const std::string nested = absl::StrCat(model_dir, "/processor_config.json");
  if (std::filesystem::exists(nested)) {
    ZIPRL_ASSIGN_OR_RETURN(const json object, ReadObject(nested));
    JsonReader reader(object, nested);
    ZIPRL_RETURN_IF_ERROR(reader.status());
    if (reader.Has("video_processor")) {
      return Parse(reader.At("video_processor"), absl::StrCat(nested, ": video_processor"));
    }
  }
  std::string path = absl::StrCat(model_dir, "/video_preprocessor_config.json");
  if (!std::filesystem::exists(path)) path = absl::StrCat(model_dir, "/preprocessor_config.json");
  if (!std::filesystem::exists(path)) return VideoProcessorConfig();
  ZIPRL_ASSIGN_OR_RETURN(const json object, ReadObject(path));
  return Parse(object, path);
}

}  // namespace ziprl
