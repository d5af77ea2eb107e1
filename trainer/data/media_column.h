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

// The same for a video ("video" in the place of "image"). A path is carried as a reference with the
// content's hash: the file's bytes are not held. An object that asks for frames of its own choice
// (qwen-vl-utils' fps, nframes, max_pixels, ...) is refused by that key's name.
absl::StatusOr<MediaRef> ReadVideoValue(const nlohmann::json& value, const std::string& directory,
                                        ImageStore& store);

// The error of an object with such a key.
absl::Status RefuseOwnSampling(const nlohmann::json& video);

}  // namespace ziprl
