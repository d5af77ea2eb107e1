// What a checkpoint's config.json says of the model, as plain data. Reads today's layout
// (text_config nested) and the older flat one; refuses what is not supported, by name. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ziprl {

// Of the vision tower's blocks and merger.
enum class VisionNorm { kRms, kLayer };        // without or with mean and bias
enum class VisionMlp { kSwiGlu, kQuickGelu };  // gate_proj, up_proj, down_proj or fc1, fc2

struct VisionArchitecture {
  int depth = 0, hidden = 0, intermediate = 0, heads = 0;
  int in_channels = 3, patch = 14, temporal_patch = 2, merge = 2;
  int window = 112;  // pixels; 0: every block attends over the whole frame
  std::vector<int> full_attention_blocks;
  int out_hidden = 0;
  int tokens_per_second = 2;  // of a video's temporal positions; 0: they count frames
  float norm_eps = 1e-6f;
  VisionNorm norm = VisionNorm::kRms;
  VisionMlp mlp = VisionMlp::kSwiGlu;
};

struct Architecture {
  std::string model_type;  // names the ModelFamily: "qwen2_vl" | "qwen2_5_vl"
  int vocab = 0, hidden = 0, intermediate = 0, layers = 0;
  int heads = 0, kv_heads = 0, head_dim = 0;  // H, Hk, D
  float rms_eps = 1e-6f;
  double rope_theta = 1e6;
  std::vector<int> mrope_section;  // sums to D / 2
  int max_position_embeddings = 32768;
  bool tied_embeddings = false;
  std::string dtype = "float32";  // "float32" | "bfloat16", as stored
  int32_t image_token = -1, video_token = -1, vision_start_token = -1, vision_end_token = -1;
  int32_t bos_token = -1, pad_token = -1;
  std::vector<int32_t> eos_tokens;  // from generation_config.json if present, else config.json
  VisionArchitecture vision;
};

// Reads DIR/config.json (and generation_config.json). Errors name file, key, value and what is
// allowed.
absl::StatusOr<Architecture> LoadArchitecture(const std::string& model_dir);
absl::StatusOr<Architecture> ParseArchitecture(const std::string& config_json,
                                               const std::string& generation_config_json,
                                               const std::string& where);

// config.json in today's layout, loadable by transformers; same text for the same architecture.
std::string ArchitectureToJson(const Architecture& arch);
std::string GenerationConfigToJson(const Architecture& arch);

// Name and shape of every parameter, in canonical order: vision tower, language model, lm_head
// (unless tied). Canonical names are those transformers' save_pretrained writes to disk:
//   visual.patch_embed.proj.weight  visual.blocks.N.*  visual.merger.*  (by vision.norm and mlp)
//   model.embed_tokens.weight  model.layers.N.*  model.norm.weight  lm_head.weight
struct ParamSpec {
  std::string name;
  std::vector<int64_t> shape;
};
std::vector<ParamSpec> ParamSpecs(const Architecture& arch);

// The canonical name of a tensor named as in either generation of checkpoints or in transformers'
// modules
// ("model.language_model.layers.N.*", "model.visual.*"). Unknown names come back unchanged.
std::string CanonicalParamName(const std::string& name);

// Whether a canonical name belongs to the vision tower (merger included).
bool IsVisionParam(const std::string& name);

}  // namespace ziprl
