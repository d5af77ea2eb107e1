#include "model/architecture.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/json_reader.h"

namespace ziprl {
namespace {

using nlohmann::json;

constexpr char kModelType[] = "qwen2_5_vl";
constexpr char kModelClass[] = "Qwen2_5_VLForConditionalGeneration";
constexpr int kMaxSize = 1 << 24;  // of any width or count

absl::Status CheckModelType(const json& root, const std::string& where) {
  JsonReader reader(root, where);
  const std::string type = reader.String("model_type", "");
  if (type != kModelType) {
    reader.Fail(
        absl::StrCat("unsupported model_type \"", type, "\", supported is \"", kModelType, "\""));
  }
  reader.RequireIfPresent("architectures", json::array({kModelClass}));
  if (reader.Has("quantization_config")) {
    reader.Fail("unsupported \"quantization_config\": quantised weights are not supported");
  }
  return reader.status();
}

// rope_parameters as transformers 5 writes it, or rope_scaling + rope_theta as before.
absl::Status ReadRope(JsonReader* text, const std::string& where, Architecture* arch) {
  const char* key = text->Has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  arch->rope_theta = text->Number("rope_theta", 1e6);
  if (!text->Has(key)) {
    text->Fail("key \"rope_parameters\" (or the older \"rope_scaling\") is missing");
    return text->status();
  }
  JsonReader rope(text->At(key), absl::StrCat(where, ": ", key));
  arch->rope_theta = rope.Number("rope_theta", arch->rope_theta);
  const std::string type = rope.String("rope_type", rope.String("type", "default"));
  if (type != "default" && type != "mrope") {
    rope.Fail(absl::StrCat("unsupported rope_type \"", type,
                           "\", supported are \"default\" and \"mrope\""));
  }
  if (!(arch->rope_theta > 1.0)) {
    rope.Fail(
        absl::StrCat("\"rope_theta\" is ", arch->rope_theta, ", allowed is a number above 1"));
  }
  arch->mrope_section = rope.IntList("mrope_section");
  const std::vector<int>& section = arch->mrope_section;
  const int64_t sum = std::accumulate(section.begin(), section.end(), int64_t{0});
  if (section.size() != 3 || *std::min_element(section.begin(), section.end()) < 0 ||
      sum * 2 != arch->head_dim) {
    rope.Fail(absl::StrCat("\"mrope_section\" is [", absl::StrJoin(section, ", "),
                           "], allowed are three counts that sum to half the head dimension ",
                           arch->head_dim));
  }
  return rope.status();
}

void RefuseTextOptions(JsonReader* text) {
  text->RequireIfPresent("hidden_act", "silu");
  text->RequireIfPresent("attention_dropout", 0.0);
  if (text->Has("layer_types")) {
    for (const json& type : text->At("layer_types")) {
      if (type != "full_attention") {
        text->Fail(absl::StrCat("unsupported \"layer_types\" entry ", type.dump(),
                                ", supported is \"full_attention\""));
      }
    }
  } else if (text->Bool("use_sliding_window", false) && text->Has("sliding_window") &&
             text->Int("max_window_layers", 0, kMaxSize, 80) <
                 text->Int("num_hidden_layers", 1, kMaxSize)) {
    text->Fail("unsupported \"use_sliding_window\": true, supported is false");
  }
}

absl::Status ReadText(const json& object, const std::string& where, Architecture* arch) {
  JsonReader text(object, where);
  RefuseTextOptions(&text);
  arch->vocab = text.Int("vocab_size", 1, kMaxSize);
  arch->hidden = text.Int("hidden_size", 1, kMaxSize);
  arch->intermediate = text.Int("intermediate_size", 1, kMaxSize);
  arch->layers = text.Int("num_hidden_layers", 1, kMaxSize);
  arch->heads = text.Int("num_attention_heads", 1, kMaxSize);
  arch->kv_heads = text.Int("num_key_value_heads", 1, kMaxSize, arch->heads);
  arch->rms_eps = static_cast<float>(text.Number("rms_norm_eps", 1e-5));
  arch->max_position_embeddings = text.Int("max_position_embeddings", 1, INT32_MAX, 32768);
  arch->bos_token = text.Int("bos_token_id", -1, kMaxSize, -1);
  arch->pad_token = text.Int("pad_token_id", -1, kMaxSize, -1);
  if (arch->hidden % arch->heads != 0) {
    text.Fail(absl::StrCat("\"hidden_size\" ", arch->hidden,
                           " is not a multiple of \"num_attention_heads\" ", arch->heads));
  }
  if (arch->heads % arch->kv_heads != 0) {
    text.Fail(absl::StrCat("\"num_attention_heads\" ", arch->heads,
                           " is not a multiple of \"num_key_value_heads\" ", arch->kv_heads));
  }
  ZIPRL_RETURN_IF_ERROR(text.status());
  arch->head_dim = arch->hidden / arch->heads;
  text.RequireIfPresent("head_dim", arch->head_dim);
  ZIPRL_RETURN_IF_ERROR(ReadRope(&text, where, arch));
  return text.status();
}

void CheckVision(const VisionArchitecture& v, int text_hidden, JsonReader* reader) {
  if (v.hidden % v.heads != 0 || v.hidden / v.heads % 4 != 0) {
    reader->Fail(absl::StrCat("\"hidden_size\" ", v.hidden, " over \"num_heads\" ", v.heads,
                              " must be a multiple of 4 (2-D rotary)"));
  }
  if (v.out_hidden != text_hidden) {
    reader->Fail(absl::StrCat("\"out_hidden_size\" is ", v.out_hidden,
                              ", allowed is the text model's hidden_size ", text_hidden));
  }
  if (v.window < v.patch * v.merge) {
    reader->Fail(absl::StrCat("\"window_size\" is ", v.window, " pixels, allowed is at least ",
                              v.patch * v.merge, " (patch_size * spatial_merge_size)"));
  }
  for (int block : v.full_attention_blocks) {
    if (block < 0) {
      reader->Fail(
          absl::StrCat("\"fullatt_block_indexes\" holds ", block, ", allowed is 0 or more"));
    }
  }
}

absl::Status ReadVision(const json& object, const std::string& where, Architecture* arch) {
  JsonReader reader(object, where);
  VisionArchitecture& v = arch->vision;
  reader.RequireIfPresent("hidden_act", "silu");
  v.depth = reader.Int("depth", 1, kMaxSize);
  v.hidden = reader.Int("hidden_size", 1, kMaxSize);
  v.intermediate = reader.Int("intermediate_size", 1, kMaxSize);
  v.heads = reader.Int("num_heads", 1, kMaxSize);
  v.in_channels = reader.Int("in_channels", 3, 3, 3);
  v.patch = reader.Int("patch_size", 1, 4096, 14);
  v.temporal_patch = reader.Int("temporal_patch_size", 1, 64, 2);
  v.merge = reader.Int("spatial_merge_size", 1, 64, 2);
  v.window = reader.Int("window_size", 1, kMaxSize, 112);
  v.out_hidden = reader.Int("out_hidden_size", 1, kMaxSize);
  v.tokens_per_second = reader.Int("tokens_per_second", 1, kMaxSize, 4);
  v.full_attention_blocks = {7, 15, 23, 31};
  if (reader.Has("fullatt_block_indexes")) {
    v.full_attention_blocks = reader.IntList("fullatt_block_indexes");
  }
  if (reader.Has("rope_parameters")) {
    JsonReader rope(reader.At("rope_parameters"), absl::StrCat(where, ": rope_parameters"));
    rope.RequireIfPresent("rope_theta", 10000.0);
    rope.RequireIfPresent("rope_type", "axial");
    ZIPRL_RETURN_IF_ERROR(rope.status());
  }
  ZIPRL_RETURN_IF_ERROR(reader.status());
  CheckVision(v, arch->hidden, &reader);
  return reader.status();
}

void ReadDtype(const json& text_object, JsonReader* root, Architecture* arch) {
  std::string fallback = "float32";
  for (const char* key : {"torch_dtype", "dtype"}) {
    const auto it = text_object.find(key);
    if (it != text_object.end() && it->is_string()) fallback = it->get<std::string>();
  }
  arch->dtype = root->String("dtype", root->String("torch_dtype", fallback));
  if (arch->dtype != "float32" && arch->dtype != "bfloat16") {
    root->Fail(absl::StrCat("unsupported dtype \"", arch->dtype,
                            "\", supported are \"float32\" and \"bfloat16\""));
  }
}

// An id or a list of ids.
std::vector<int32_t> ReadTokens(JsonReader* reader, const char* key) {
  if (!reader->Has(key)) return {};
  if (reader->At(key).is_array()) return reader->IntList(key);
  return {reader->Int(key, 0, INT32_MAX)};
}

void ReadMediaTokens(JsonReader* root, Architecture* arch) {
  arch->image_token = root->Int("image_token_id", 0, INT32_MAX, 151655);
  arch->video_token = root->Int("video_token_id", 0, INT32_MAX, 151656);
  arch->vision_start_token = root->Int("vision_start_token_id", 0, INT32_MAX, 151652);
  arch->vision_end_token = root->Int("vision_end_token_id", 0, INT32_MAX, 151653);
  if (arch->image_token >= arch->vocab) {
    root->Fail(absl::StrCat("\"image_token_id\" is ", arch->image_token,
                            ", allowed is below vocab_size ", arch->vocab));
  }
}

absl::Status ReadGeneration(const std::string& text, const std::string& where, Architecture* arch) {
  ZIPRL_ASSIGN_OR_RETURN(const json object, ParseJson(text, where));
  JsonReader reader(object, where);
  std::vector<int32_t> eos = ReadTokens(&reader, "eos_token_id");
  if (!eos.empty()) arch->eos_tokens = std::move(eos);
  arch->bos_token = reader.Int("bos_token_id", -1, INT32_MAX, arch->bos_token);
  arch->pad_token = reader.Int("pad_token_id", -1, INT32_MAX, arch->pad_token);
  return reader.status();
}

absl::Status CheckEndTokens(const Architecture& arch, const std::string& where) {
  for (int32_t id : arch.eos_tokens) {
    if (id >= 0 && id < arch.vocab) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": eos_token_id ", id, " is outside the vocabulary of ", arch.vocab));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Architecture> ParseArchitecture(const std::string& config_json,
                                               const std::string& generation_config_json,
                                               const std::string& where) {
  const std::string file = absl::StrCat(where, "/config.json");
  ZIPRL_ASSIGN_OR_RETURN(const json root, ParseJson(config_json, file));
  ZIPRL_RETURN_IF_ERROR(CheckModelType(root, file));
  JsonReader reader(root, file);
  Architecture arch;
  arch.model_type = kModelType;
  const bool nested = reader.Has("text_config");
  const json& text = nested ? reader.At("text_config") : root;
  ZIPRL_RETURN_IF_ERROR(ReadText(text, nested ? absl::StrCat(file, ": text_config") : file, &arch));
  if (!reader.Has("vision_config")) reader.Fail("key \"vision_config\" is missing");
  ZIPRL_RETURN_IF_ERROR(reader.status());
  ZIPRL_RETURN_IF_ERROR(
      ReadVision(reader.At("vision_config"), absl::StrCat(file, ": vision_config"), &arch));
  JsonReader text_reader(text, file);
  arch.tied_embeddings =
      reader.Bool("tie_word_embeddings", false) || text_reader.Bool("tie_word_embeddings", false);
  arch.eos_tokens = ReadTokens(&text_reader, "eos_token_id");
  if (arch.eos_tokens.empty()) arch.eos_tokens = ReadTokens(&reader, "eos_token_id");
  ReadDtype(text, &reader, &arch);
  ReadMediaTokens(&reader, &arch);
  ZIPRL_RETURN_IF_ERROR(reader.status());
  ZIPRL_RETURN_IF_ERROR(text_reader.status());
  if (!generation_config_json.empty()) {
    ZIPRL_RETURN_IF_ERROR(ReadGeneration(generation_config_json,
                                         absl::StrCat(where, "/generation_config.json"), &arch));
  }
  ZIPRL_RETURN_IF_ERROR(CheckEndTokens(arch, where));
  return arch;
}

absl::StatusOr<Architecture> LoadArchitecture(const std::string& model_dir) {
  ZIPRL_ASSIGN_OR_RETURN(const std::string config,
                         ReadFile(absl::StrCat(model_dir, "/config.json")));
  std::string generation;
  const std::string generation_path = absl::StrCat(model_dir, "/generation_config.json");
  if (std::filesystem::exists(generation_path)) {
    ZIPRL_ASSIGN_OR_RETURN(generation, ReadFile(generation_path));
  }
  return ParseArchitecture(config, generation, model_dir);
}

}  // namespace ziprl
