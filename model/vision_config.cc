#include "model/vision_config.h"

#include "absl/strings/str_cat.h"

namespace ziprl {

void ReadVisionGeometry(JsonReader* reader, VisionArchitecture* vision) {
  vision->depth = reader->Int("depth", 1, kMaxConfigSize, 32);
  vision->heads = reader->Int("num_heads", 1, kMaxConfigSize, 16);
  vision->in_channels = reader->Int("in_channels", 3, 3, 3);
  reader->Int("in_chans", 3, 3, 3);  // the first checkpoints' name
  vision->patch = reader->Int("patch_size", 1, 4096, 14);
  reader->At("spatial_patch_size");  // of the first checkpoints; no release reads it
  vision->temporal_patch = reader->Int("temporal_patch_size", 1, 64, 2);
  vision->merge = reader->Int("spatial_merge_size", 1, 64, 2);
  if (!reader->Has("rope_parameters")) return;
  JsonReader rope(reader->At("rope_parameters"),
                  absl::StrCat(reader->where(), ": rope_parameters"));
  rope.RequireIfPresent("rope_theta", 10000.0);
  rope.RequireIfPresent("rope_type", "axial");
  rope.RefuseUnread({});
  reader->Take(rope.status());
}

nlohmann::json VisionGeometryJson(const VisionArchitecture& vision) {
  return {{"depth", vision.depth},
          {"in_channels", vision.in_channels},
          {"initializer_range", 0.02},
          {"num_heads", vision.heads},
          {"patch_size", vision.patch},
          {"spatial_merge_size", vision.merge},
          {"temporal_patch_size", vision.temporal_patch}};
}

void CheckVisionSizes(const VisionArchitecture& vision, const char* width_key, const char* out_key,
                      int text_hidden, JsonReader* reader) {
  if (vision.hidden % vision.heads != 0 || vision.hidden / vision.heads % 4 != 0) {
    reader->Fail(absl::StrCat("\"", width_key, "\" ", vision.hidden, " over \"num_heads\" ",
                              vision.heads, " must be a multiple of 4 (2-D rotary)"));
  }
  if (vision.out_hidden != text_hidden) {
    reader->Fail(absl::StrCat("\"", out_key, "\" is ", vision.out_hidden,
                              ", allowed is the text model's hidden_size ", text_hidden));
  }
}

}  // namespace ziprl
