#include "model/architecture.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/harmless_keys.h"
#include "model/json_reader.h"
#include "model/model_family.h"
#include "model/vision_config.h"

namespace ziprl {
namespace {

using nlohmann::json;

absl::StatusOr<const ModelFamily*> ReadFamily(JsonReader* root) {
  const auto family = FindModelFamily(root->String("model_type", ""));
  if (family.ok()) {
    root->RequireIfPresent("architectures", json::array({(*family)->model_class}));
    if (root->Has("quantization_config")) {
      root->Fail("unsupported \"quantization_config\": quantised weights are not supported");
    }
  } else {
    root->Fail(std::string(family.status().message()));
  }
  ZIPRL_RETURN_IF_ERROR(root->status());
  return *family;
}

// rope_parameters as transformers 5 writes it, or rope_scaling + rope_theta as before.
void ReadRope(JsonReader* text, Architecture* arch) {
  const bool old = text->Has("rope_scaling");  // wins in transformers as well
  const json& object = text->At("rope_parameters");
  arch->rope_theta = text->Number("rope_theta", 1e6);
  if (!old && object.is_null()) {
    text->Fail("key \"rope_parameters\" (or the older \"rope_scaling\") is missing");
    return;
  }
  JsonReader rope(old ? text->At("rope_scaling") : object,
                  absl::StrCat(text->where(), ": ", old ? "rope_scaling" : "rope_parameters"));
  arch->rope_theta = rope.Number("rope_theta", arch->rope_theta);
  for (const char* key : {"rope_type", "type"}) {
    const std::string type = rope.String(key, "default");
    if (type == "default" || type == "mrope") continue;
    rope.Fail(absl::StrCat("unsupported ", key, " \"", type,
                           "\", supported are \"default\" and \"mrope\""));
  }
  if (!(arch->rope_theta > 1.0)) {
    rope.Fail(
        absl::StrCat("\"rope_theta\" is ", arch->rope_theta, ", allowed is a number above 1"));
  }
  rope.RequireIfPresent("partial_rotary_factor", 1.0);
  arch->mrope_section = rope.IntList("mrope_section");
  const std::vector<int>& section = arch->mrope_section;
  const int64_t sum = std::accumulate(section.begin(), section.end(), int64_t{0});
  if (section.size() != 3 || *std::min_element(section.begin(), section.end()) < 0 ||
      sum * 2 != arch->head_dim) {
    rope.Fail(absl::StrCat("\"mrope_section\" is [", absl::StrJoin(section, ", "),
                           "], allowed are three counts that sum to half the head dimension ",
                           arch->head_dim));
  }
  rope.RefuseUnread({});
  text->Take(rope.status());
}

// Sliding windows, which no published checkpoint switches on.
void RefuseSlidingWindows(JsonReader* text, int layers) {
  const bool on = text->Bool("use_sliding_window", false) && text->Has("sliding_window");
  text->At("sliding_window");
  const int first = text->Int("max_window_layers", 0, kMaxConfigSize, 80);
  if (!text->Has("layer_types")) {
    if (on && first < layers) {
      text->Fail("unsupported \"use_sliding_window\": true, supported is false");
    }
    return;
  }
  for (const json& type : text->At("layer_types")) {
    if (type == "full_attention") continue;
    text->Fail(absl::StrCat("unsupported \"layer_types\" entry ", type.dump(),
                            ", supported is \"full_attention\""));
  }
}

void CheckHeads(JsonReader* text, const Architecture& arch) {
  if (arch.hidden % arch.heads != 0) {
    text->Fail(absl::StrCat("\"hidden_size\" ", arch.hidden,
                            " is not a multiple of \"num_attention_heads\" ", arch.heads));
  }
  if (arch.heads % arch.kv_heads != 0) {
    text->Fail(absl::StrCat("\"num_attention_heads\" ", arch.heads,
                            " is not a multiple of \"num_key_value_heads\" ", arch.kv_heads));
  }
}

void ReadText(JsonReader* text, Architecture* arch) {
  text->RequireIfPresent("hidden_act", "silu");
  text->RequireIfPresent("attention_dropout", 0.0);
  arch->vocab = text->Int("vocab_size", 1, kMaxConfigSize);
  arch->hidden = text->Int("hidden_size", 1, kMaxConfigSize);
  arch->intermediate = text->Int("intermediate_size", 1, kMaxConfigSize);
  arch->layers = text->Int("num_hidden_layers", 1, kMaxConfigSize);
  arch->heads = text->Int("num_attention_heads", 1, kMaxConfigSize);
  arch->kv_heads = text->Int("num_key_value_heads", 1, kMaxConfigSize, arch->heads);
  arch->rms_eps = static_cast<float>(text->Number("rms_norm_eps", 1e-5));
  arch->max_position_embeddings = text->Int("max_position_embeddings", 1, INT32_MAX, 32768);
  arch->bos_token = text->Int("bos_token_id", -1, kMaxConfigSize, -1);
  arch->pad_token = text->Int("pad_token_id", -1, kMaxConfigSize, -1);
  RefuseSlidingWindows(text, arch->layers);
  CheckHeads(text, *arch);
  arch->head_dim = arch->hidden / arch->heads;
  text->RequireIfPresent("head_dim", arch->head_dim);
  ReadRope(text, arch);
}

void ReadVision(JsonReader* root, const ModelFamily& family, Architecture* arch) {
  if (!root->Has("vision_config")) root->Fail("key \"vision_config\" is missing");
  if (!root->status().ok()) return;
  JsonReader vision(root->At("vision_config"), absl::StrCat(root->where(), ": vision_config"));
  family.read_vision(&vision, arch->hidden, &arch->vision);
  vision.RefuseUnread(HarmlessConfigKeys());
  root->Take(vision.status());
}

void ReadDtype(const JsonReader& text, JsonReader* root, Architecture* arch) {
  std::string fallback = "float32";
  for (const char* key : {"torch_dtype", "dtype"}) {
    if (text.At(key).is_string()) fallback = text.At(key).get<std::string>();
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

// What stands in either object: tied embeddings, end tokens, type.
void ReadShared(JsonReader* text, JsonReader* root, Architecture* arch) {
  arch->tied_embeddings =
      root->Bool("tie_word_embeddings", false) || text->Bool("tie_word_embeddings", false);
  arch->eos_tokens = ReadTokens(text, "eos_token_id");
  if (arch->eos_tokens.empty()) arch->eos_tokens = ReadTokens(root, "eos_token_id");
  ReadDtype(*text, root, arch);
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
  JsonReader reader(root, file);
  Architecture arch;
  ZIPRL_ASSIGN_OR_RETURN(const ModelFamily* family, ReadFamily(&reader));
  arch.model_type = family->model_type;
  const bool nested = reader.Has("text_config");
  JsonReader text(nested ? reader.At("text_config") : root,
                  nested ? absl::StrCat(file, ": text_config") : file);
  ReadText(&text, &arch);
  ZIPRL_RETURN_IF_ERROR(text.status());
  ReadVision(&reader, *family, &arch);
  ReadShared(&text, &reader, &arch);
  ReadMediaTokens(&reader, &arch);
  // Releases in between wrote the text model's keys into both objects.
  reader.RefuseUnread(HarmlessConfigKeys(), &text);
  if (nested) text.RefuseUnread(HarmlessConfigKeys());
  ZIPRL_RETURN_IF_ERROR(reader.status());
  ZIPRL_RETURN_IF_ERROR(text.status());
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
