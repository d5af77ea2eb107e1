#include "model/image_config.h"

#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/json_reader.h"

namespace ziprl {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

void ReadTriple(JsonReader* reader, const char* key, float (&values)[3]) {
  if (!reader->Has(key)) return;
  const json& list = reader->At(key);
  if (!list.is_array() || list.size() != 3 || !list[0].is_number() || !list[1].is_number() ||
      !list[2].is_number()) {
    reader->Fail(absl::StrCat("\"", key, "\" is ", list.dump(), ", allowed are three numbers"));
    return;
  }
  for (int c = 0; c < 3; ++c) values[c] = list[c].get<float>();
}

int64_t ReadPixels(JsonReader* reader, const char* key, int64_t fallback) {
  return reader->Int(key, 1, INT32_MAX, static_cast<int>(fallback));
}

// min_pixels / max_pixels at the top, or today's size {shortest_edge, longest_edge}; the top wins.
void ReadPixelBounds(JsonReader* reader, const std::string& where, ImageProcessorConfig* config) {
  if (reader->Has("size")) {
    JsonReader size(reader->At("size"), absl::StrCat(where, ": size"));
    config->min_pixels = ReadPixels(&size, "shortest_edge", config->min_pixels);
    config->max_pixels = ReadPixels(&size, "longest_edge", config->max_pixels);
    if (!size.status().ok()) reader->Fail(std::string(size.status().message()));
  }
  config->min_pixels = ReadPixels(reader, "min_pixels", config->min_pixels);
  config->max_pixels = ReadPixels(reader, "max_pixels", config->max_pixels);
  if (config->min_pixels > config->max_pixels) {
    reader->Fail(absl::StrCat("min_pixels ", config->min_pixels, " is above max_pixels ",
                              config->max_pixels));
  }
}

}  // namespace

void ReadPatchOptions(JsonReader* object, ImageProcessorConfig* out) {
  JsonReader& reader = *object;
  ImageProcessorConfig& config = *out;
  for (const char* key : {"do_resize", "do_rescale", "do_normalize", "do_convert_rgb"}) {
    reader.RequireIfPresent(key, true);
  }
  reader.RequireIfPresent("resample", 3);  // bicubic
  config.patch = reader.Int("patch_size", 1, 4096, config.patch);
  config.temporal_patch = reader.Int("temporal_patch_size", 1, 64, config.temporal_patch);
  config.merge = reader.Int("merge_size", 1, 64, config.merge);
  config.rescale = static_cast<float>(reader.Number("rescale_factor", 1.0 / 255.0));
  ReadTriple(&reader, "image_mean", config.mean);
  ReadTriple(&reader, "image_std", config.std);
  ReadPixelBounds(&reader, reader.where(), &config);
  for (float std : config.std) {
    if (!(std > 0)) reader.Fail(absl::StrCat("\"image_std\" holds ", std, ", allowed is above 0"));
  }
  if (!(config.rescale > 0)) {
    reader.Fail(absl::StrCat("\"rescale_factor\" is ", config.rescale, ", allowed is above 0"));
  }
}

namespace {

absl::StatusOr<ImageProcessorConfig> ParseConfig(const json& object, const std::string& where) {
  JsonReader reader(object, where);
  ImageProcessorConfig config;
  const std::string type = reader.String("image_processor_type", "Qwen2VLImageProcessor");
  if (type != "Qwen2VLImageProcessor" && type != "Qwen2VLImageProcessorFast" &&
      type != "Qwen2_5_VLImageProcessor") {
    reader.Fail(absl::StrCat("unsupported image_processor_type \"", type,
                             "\", supported is \"Qwen2VLImageProcessor\""));
  }
  ReadPatchOptions(&reader, &config);
  ZIPRL_RETURN_IF_ERROR(reader.status());
  return config;
}

// The decimal that names the float.
double ShortestDouble(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::strtod(std::string(text, end).c_str(), nullptr);
}

ordered_json CommonJson(const ImageProcessorConfig& config, const std::string& processor_class) {
  ordered_json mean, std;
  for (float value : config.mean) mean.push_back(ShortestDouble(value));
  for (float value : config.std) std.push_back(ShortestDouble(value));
  const bool usual = config.rescale == static_cast<float>(1.0 / 255.0);
  return {{"do_convert_rgb", true},
          {"do_normalize", true},
          {"do_rescale", true},
          {"do_resize", true},
          {"image_mean", mean},
          {"image_std", std},
          {"merge_size", config.merge},
          {"patch_size", config.patch},
          {"processor_class", processor_class},
          {"resample", 3},
          {"rescale_factor", usual ? 1.0 / 255.0 : ShortestDouble(config.rescale)},
          {"size", {{"longest_edge", config.max_pixels}, {"shortest_edge", config.min_pixels}}},
          {"temporal_patch_size", config.temporal_patch}};
}

}  // namespace

absl::StatusOr<ImageProcessorConfig> LoadImageProcessorConfig(const std::string& model_dir) {
  const std::string nested = absl::StrCat(model_dir, "/processor_config.json");
  if (std::filesystem::exists(nested)) {  // wins in transformers as well, when it holds the entry
    ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(nested));
    ZIPRL_ASSIGN_OR_RETURN(const json object, ParseJson(text, nested));
    JsonReader reader(object, nested);
    ZIPRL_RETURN_IF_ERROR(reader.status());
    if (reader.Has("image_processor")) {
      return ParseConfig(reader.At("image_processor"), absl::StrCat(nested, ": image_processor"));
    }
  }
  const std::string path = absl::StrCat(model_dir, "/preprocessor_config.json");
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  ZIPRL_ASSIGN_OR_RETURN(const json object, ParseJson(text, path));
  return ParseConfig(object, path);
}

std::string ImageProcessorConfigToJson(const ImageProcessorConfig& config,
                                       const std::string& processor_class) {
  ordered_json root = CommonJson(config, processor_class);
  root["image_processor_type"] = "Qwen2VLImageProcessor";
  return root.dump(2) + "\n";
}

std::string VideoProcessorConfigToJson(const ImageProcessorConfig& config,
                                       const std::string& processor_class) {
  ordered_json root = CommonJson(config, processor_class);
  root["video_processor_type"] = "Qwen2VLVideoProcessor";
  return root.dump(2) + "\n";
}

}  // namespace ziprl
