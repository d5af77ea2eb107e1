// The model families this program knows, in one registry. What distinguishes a family in the files
// of a checkpoint stands in its ModelFamily, what distinguishes it in the layers in the options of
// VisionArchitecture that it sets. A new one: docs/adding-a-model.md. No torch.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "model/architecture.h"
#include "model/json_reader.h"

namespace ziprl {

struct ModelFamily {
  const char* model_type;       // of config.json; its parts are <model_type>_text and _vision
  const char* model_class;      // what "architectures" names
  const char* processor_class;  // for transformers' AutoProcessor

  // vision_config in, of every released layout, and out as transformers writes it today. Errors go
  // to the reader; keys that this does not read are refused by name.
  void (*read_vision)(JsonReader* reader, int text_hidden, VisionArchitecture* vision);
  nlohmann::json (*vision_json)(const VisionArchitecture& vision);
};

std::span<const ModelFamily* const> ModelFamilies();
// An error names the types that are supported.
absl::StatusOr<const ModelFamily*> FindModelFamily(const std::string& model_type);
// The family of an architecture that was read or made for one; aborts otherwise.
const ModelFamily& FamilyOf(const Architecture& arch);

}  // namespace ziprl
