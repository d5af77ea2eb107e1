// What the vision_config of every family shares.
#pragma once

#include <nlohmann/json.hpp>

#include "model/architecture.h"
#include "model/json_reader.h"

namespace ziprl {

// Largest width or count that a config may name.
inline constexpr int kMaxConfigSize = 1 << 24;

// depth, num_heads, channels, patch geometry and the axial rotary, with transformers' defaults.
void ReadVisionGeometry(JsonReader* reader, VisionArchitecture* vision);
// The same keys as transformers writes them, without the rotary's defaults.
nlohmann::json VisionGeometryJson(const VisionArchitecture& vision);

// Refuses sizes that do not fit each other or the text model. The family's names of the tower's
// width and of the width of visual tokens.
void CheckVisionSizes(const VisionArchitecture& vision, const char* width_key, const char* out_key,
                      int text_hidden, JsonReader* reader);

}  // namespace ziprl
