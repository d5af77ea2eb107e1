#include "model/qwen2_vl.h"

#include "absl/strings/str_cat.h"
#include "model/vision_config.h"

namespace ziprl {
namespace {

// vision_config's hidden_size is the width of the visual tokens, embed_dim that of the tower.
void ReadVision(JsonReader* reader, int text_hidden, VisionArchitecture* v) {
  ReadVisionGeometry(reader, v);
  reader->RequireIfPresent("hidden_act", "quick_gelu");
  v->norm = VisionNorm::kLayer;
  v->mlp = VisionMlp::kQuickGelu;
  v->hidden = reader->Int("embed_dim", 1, kMaxConfigSize, 1280);
  v->intermediate = v->hidden * reader->Int("mlp_ratio", 1, 64, 4);
  v->out_hidden = reader->Int("hidden_size", 1, kMaxConfigSize, 3584);
  v->window = 0;
  v->tokens_per_second = 0;
  CheckVisionSizes(*v, "embed_dim", "hidden_size", text_hidden, reader);
}

nlohmann::json VisionJson(const VisionArchitecture& v) {
  nlohmann::json out = VisionGeometryJson(v);
  out.update({{"embed_dim", v.hidden},
              {"hidden_act", "quick_gelu"},
              {"hidden_size", v.out_hidden},
              {"mlp_ratio", v.intermediate / v.hidden},
              {"model_type", "qwen2_vl_vision"}});
  return out;
}

}  // namespace

const ModelFamily kQwen2Vl = {.model_type = "qwen2_vl",
                              .model_class = "Qwen2VLForConditionalGeneration",
                              .processor_class = "Qwen2VLProcessor",
                              .read_vision = ReadVision,
                              .vision_json = VisionJson};

}  // namespace ziprl
