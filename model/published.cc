#include "model/published.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace ziprl {
namespace {

// What differs between the sizes (their config.json in the published repositories).
struct Size {
  const char* name;
  bool newer;  // Qwen2.5-VL
  int hidden, intermediate, layers, heads, kv_heads;
  int vision_intermediate;
  bool tied;
};

constexpr Size kSizes[] = {{"Qwen2-VL-2B", false, 1536, 8960, 28, 12, 2, 5120, true},
                           {"Qwen2-VL-7B", false, 3584, 18944, 28, 28, 4, 5120, false},
                           {"Qwen2-VL-72B", false, 8192, 29568, 80, 64, 8, 5120, false},
                           {"Qwen2.5-VL-3B", true, 2048, 11008, 36, 16, 2, 3420, true},
                           {"Qwen2.5-VL-7B", true, 3584, 18944, 28, 28, 4, 3420, false},
                           {"Qwen2.5-VL-32B", true, 5120, 27648, 64, 40, 8, 3456, false},
                           {"Qwen2.5-VL-72B", true, 8192, 29568, 80, 64, 8, 3456, false}};

VisionArchitecture VisionOf(const Size& size) {
  VisionArchitecture vision;
  vision.depth = 32;
  vision.hidden = 1280;
  vision.heads = 16;
  vision.intermediate = size.vision_intermediate;
  vision.out_hidden = size.hidden;
  if (size.newer) {
    vision.full_attention_blocks = {7, 15, 23, 31};
    return vision;
  }
  vision.window = 0;
  vision.tokens_per_second = 0;
  vision.norm = VisionNorm::kLayer;
  vision.mlp = VisionMlp::kQuickGelu;
  return vision;
}

Architecture ArchitectureOf(const Size& size) {
  Architecture arch;
  arch.model_type = size.newer ? "qwen2_5_vl" : "qwen2_vl";
  arch.hidden = size.hidden;
  arch.intermediate = size.intermediate;
  arch.layers = size.layers;
  arch.heads = size.heads;
  arch.kv_heads = size.kv_heads;
  arch.head_dim = size.hidden / size.heads;
  arch.vocab = size.hidden < 3000 ? 151936 : 152064;
  arch.mrope_section = {16, 24, 24};
  arch.max_position_embeddings = size.newer ? 128000 : 32768;
  arch.tied_embeddings = size.tied;
  arch.dtype = "bfloat16";
  arch.image_token = 151655;
  arch.video_token = 151656;
  arch.vision_start_token = 151652;
  arch.vision_end_token = 151653;
  arch.bos_token = 151643;
  arch.eos_tokens = {151645};
  arch.vision = VisionOf(size);
  return arch;
}

std::string Plain(absl::string_view name) {
  std::string lower = absl::AsciiStrToLower(name);
  absl::string_view rest = lower;
  absl::ConsumePrefix(&rest, "qwen/");
  absl::ConsumeSuffix(&rest, "-instruct");
  return std::string(rest);
}

}  // namespace

std::vector<std::string> PublishedNames() {
  std::vector<std::string> names;
  for (const Size& size : kSizes) names.push_back(size.name);
  return names;
}

absl::StatusOr<Architecture> PublishedArchitecture(const std::string& name) {
  const std::string wanted = Plain(name);
  for (const Size& size : kSizes) {
    const std::string known = Plain(size.name);
    const bool short_name = size.newer && known == absl::StrCat("qwen2.5-vl-", wanted);
    if (known == wanted || short_name) return ArchitectureOf(size);
  }
  return absl::NotFoundError(
      absl::StrCat("'", name, "' is neither a model directory nor a published model; those are ",
                   absl::StrJoin(PublishedNames(), ", ")));
}

}  // namespace ziprl
