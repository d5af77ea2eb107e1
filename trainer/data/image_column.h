// An image as data rows write it -> MediaRef.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "proto/types.h"

namespace ziprl {

class ImageStore;

// A path (relative ones below `directory`; "file://" may precede it), a data URI, the image as
// base64 text, or {"bytes": base64, "path": name}.
absl::StatusOr<MediaRef> ReadImageValue(const nlohmann::json& value, const std::string& directory,
                                        ImageStore& store);

}  // namespace ziprl
