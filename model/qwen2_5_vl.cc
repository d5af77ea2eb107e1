#include "model/qwen2_5_vl.h"

#include "absl/strings/str_cat.h"
#include "model/vision_config.h"

namespace ziprl {
namespace {

void CheckWindows(const VisionArchitecture& v, JsonReader* reader) {
  if (v.window < v.patch * v.merge) {
    reader->Fail(absl::StrCat("\"window_size\" is ", v.window, " pixels, allowed is at least ",
                              v.patch * v.merge, " (patch_size * spatial_merge_size)"));
  }
  for (int block : v.full_attention_blocks) {
    if (block >= 0) continue;
    reader->Fail(absl::StrCat("\"fullatt_block_indexes\" holds ", block, ", allowed is 0 or more"));
  }
}

void ReadVision(JsonReader* reader, int text_hidden, VisionArchitecture* v) {
  ReadVisionGeometry(reader, v);
  reader->RequireIfPresent("hidden_act", "silu");
  v->norm = VisionNorm::kRms;
  v->mlp = VisionMlp::kSwiGlu;
  v->hidden = reader->Int("hidden_size", 1, kMaxConfigSize, 3584);
  v->intermediate = reader->Int("intermediate_size", 1, kMaxConfigSize, 3420);
  v->out_hidden = reader->Int("out_hidden_size", 1, kMaxConfigSize, 3584);
  v->window = reader->Int("window_size", 1, kMaxConfigSize, 112);
  v->tokens_per_second = reader->Int("tokens_per_second", 1, kMaxConfigSize, 4);
  v->full_attention_blocks = {7, 15, 23, 31};
  if (reader->Has("fullatt_block_indexes")) {
    v->full_attention_blocks = reader->IntList("fullatt_block_indexes");
  }
  CheckVisionSizes(*v, "hidden_size", "out_hidden_size", text_hidden, reader);
  CheckWindows(*v, reader);
}

nlohmann::json VisionJson(const VisionArchitecture& v) {
  nlohmann::json out = VisionGeometryJson(v);
  out.update({{"fullatt_block_indexes", v.full_attention_blocks},
              {"hidden_act", "silu"},
              {"hidden_size", v.hidden},
              {"intermediate_size", v.intermediate},
              {"model_type", "qwen2_5_vl_vision"},
              {"out_hidden_size", v.out_hidden},
              {"tokens_per_second", v.tokens_per_second},
              {"window_size", v.window}});
  return out;
}

}  // namespace

const ModelFamily kQwen25Vl = {.model_type = "qwen2_5_vl",
                               .model_class = "Qwen2_5_VLForConditionalGeneration",
                               .processor_class = "Qwen2_5_VLProcessor",
                               .read_vision = ReadVision,
                               .vision_json = VisionJson};

}  // namespace ziprl
