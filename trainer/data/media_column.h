// An image or a video as data rows write it -> MediaRef.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "proto/types.h"

namespace ziprl {

class ImageStore;

// A path (relative ones below `directory`, "file://" is taken off), a data URI, the medium as
// base64 text, bytes, or an object with "bytes" (base64 in JSON), else "path", else the path as
// "image".
absl::StatusOr<MediaRef> ReadImageValue(const nlohmann::json& value, const std::string& directory,
                                        ImageStore& store);

// The same for a video ("video" in the place of "image"). A path is carried as a reference: the
// file is not read, and `bytes` stays empty.
absl::StatusOr<MediaRef> ReadVideoValue(const nlohmann::json& value, const std::string& directory,
                                        ImageStore& store);

}  // namespace ziprl
