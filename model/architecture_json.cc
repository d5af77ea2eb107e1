// config.json and generation_config.json as text.
#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "model/architecture.h"
#include "model/model_family.h"

namespace ziprl {
namespace {

using nlohmann::ordered_json;

// A float's shortest decimal, so that 1e-6f is written as 1e-06.
double ShortestDouble(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::strtod(std::string(text, end).c_str(), nullptr);
}

ordered_json TokenOrNull(int32_t id) { return id < 0 ? ordered_json(nullptr) : ordered_json(id); }

ordered_json TokensJson(const std::vector<int32_t>& ids) {
  if (ids.empty()) return nullptr;
  return ids.size() == 1 ? ordered_json(ids[0]) : ordered_json(ids);
}

ordered_json TextJson(const Architecture& arch) {
  return {{"attention_dropout", 0.0},
          {"bos_token_id", TokenOrNull(arch.bos_token)},
          {"dtype", arch.dtype},
          {"eos_token_id", TokensJson(arch.eos_tokens)},
          {"hidden_act", "silu"},
          {"hidden_size", arch.hidden},
          {"initializer_range", 0.02},
          {"intermediate_size", arch.intermediate},
          {"layer_types", std::vector<std::string>(arch.layers, "full_attention")},
          {"max_position_embeddings", arch.max_position_embeddings},
          {"model_type", absl::StrCat(arch.model_type, "_text")},
          {"num_attention_heads", arch.heads},
          {"num_hidden_layers", arch.layers},
          {"num_key_value_heads", arch.kv_heads},
          {"pad_token_id", nullptr},  // else transformers stops training that embedding row
          {"rms_norm_eps", ShortestDouble(arch.rms_eps)},
          {"rope_parameters",
           {{"mrope_section", arch.mrope_section},
            {"rope_theta", arch.rope_theta},
            {"rope_type", "default"}}},
          {"sliding_window", nullptr},
          {"use_cache", true},
          {"use_sliding_window", false},
          {"vocab_size", arch.vocab}};
}

}  // namespace

std::string ArchitectureToJson(const Architecture& arch) {
  const ModelFamily& family = FamilyOf(arch);
  const ordered_json root = {{"architectures", {family.model_class}},
                             {"dtype", arch.dtype},
                             {"image_token_id", arch.image_token},
                             {"model_type", arch.model_type},
                             {"text_config", TextJson(arch)},
                             {"tie_word_embeddings", arch.tied_embeddings},
                             {"video_token_id", arch.video_token},
                             {"vision_config", family.vision_json(arch.vision)},
                             {"vision_end_token_id", arch.vision_end_token},
                             {"vision_start_token_id", arch.vision_start_token}};
  return root.dump(2) + "\n";
}

std::string GenerationConfigToJson(const Architecture& arch) {
  const ordered_json root = {{"bos_token_id", TokenOrNull(arch.bos_token)},
                             {"do_sample", false},
                             {"eos_token_id", TokensJson(arch.eos_tokens)},
                             {"pad_token_id", TokenOrNull(arch.pad_token)}};
  return root.dump(2) + "\n";
}

}  // namespace ziprl
