#include "trainer/data/media_column.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "configs/base/status_macros.h"
#include "model/image_processor.h"
#include "model/video_container.h"
#include "trainer/data/image_store.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;

// Reads the values of one kind of medium.
class MediaReader {
 public:
  MediaReader(MediaKind kind, const std::string& directory, ImageStore& store)
      : kind_(kind),
        name_(kind == MediaKind::kVideo ? "video" : "image"),
        directory_(directory),
        store_(store) {}

  absl::StatusOr<MediaRef> Read(const Json& value) const {
    if (value.is_binary()) return FromBytes(value, "bytes");
    if (value.is_string()) return FromText(value.get<std::string>());
    if (value.is_object()) {
      if (kind_ == MediaKind::kVideo) ZIPRL_RETURN_IF_ERROR(RefuseOwnSampling(value));
      const bool named = HasText(value, "path");
      const std::string name = named ? value["path"].get<std::string>() : "bytes";
      if (HasText(value, "bytes")) return FromBase64(value["bytes"].get<std::string>(), name);
      if (value.contains("bytes") && value["bytes"].is_binary()) {
        return FromBytes(value["bytes"], name);
      }
      if (named) return FromPath(name);
      if (HasText(value, name_)) return FromText(value[name_].get<std::string>());
    }
    return absl::InvalidArgumentError(absl::StrCat(
        name_, " is ", value.is_object() ? "an object without them" : value.type_name(),
        ", allowed is a path, a data URI, base64 text, bytes or {\"bytes\": base64, \"path\": "
        "name}"));
  }

 private:
  static bool HasText(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string();
  }

  absl::StatusOr<MediaRef> FromText(const std::string& text) const {
    if (!absl::StartsWith(text, "data:")) {
      return IsBase64(text) ? FromBase64(text, "base64 text") : FromPath(text);
    }
    const size_t payload = text.find(";base64,");
    if (payload == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(name_, " data URI without ';base64,'"));
    }
    return FromBase64(text.substr(payload + 8), "data URI");
  }

  std::string Located(const std::string& given) const {
    const std::string path(absl::StripPrefix(given, "file://"));
    const bool as_is = directory_.empty() || absl::StartsWith(path, "/");
    return as_is ? path : absl::StrCat(directory_, "/", path);
  }

  // A name that no file has may be the medium itself in base64, as transformers' load_image takes
  // it.
  bool IsBase64(const std::string& text) const {
    std::string head;
    return absl::Base64Unescape(text.substr(0, 24), &head) &&
           (kind_ == MediaKind::kVideo ? BeginsAsVideo(head) : BeginsAsImage(head)) &&
           access(Located(text).c_str(), F_OK) != 0;
  }

  absl::StatusOr<MediaRef> FromPath(const std::string& given) const {
    const std::string whole = Located(given);
    return kind_ == MediaKind::kVideo ? store_.ReferTo(whole) : store_.FromFile(whole);
  }

  absl::StatusOr<MediaRef> FromBase64(const std::string& text, const std::string& name) const {
    std::string bytes;
    if (!absl::Base64Unescape(text, &bytes)) {
      return absl::InvalidArgumentError(absl::StrCat(name_, " '", name, "': bytes are no base64"));
    }
    return store_.FromBytes(std::move(bytes), name, kind_);
  }

  absl::StatusOr<MediaRef> FromBytes(const Json& binary, const std::string& name) const {
    const auto& bytes = binary.get_binary();
    return store_.FromBytes(std::string(bytes.begin(), bytes.end()), name, kind_);
  }

  const MediaKind kind_;
  const char* const name_;
  const std::string& directory_;
  ImageStore& store_;
};

// What qwen-vl-utils reads beside a video: frames chosen for this one alone.
constexpr const char* kOwnSampling[] = {
    "fps",        "nframes",      "num_frames",     "min_frames",    "max_frames",  "min_pixels",
    "max_pixels", "total_pixels", "resized_height", "resized_width", "video_start", "video_end"};

}  // namespace

absl::Status RefuseOwnSampling(const Json& video) {
  for (const char* key : kOwnSampling) {
    const auto found = video.find(key);
    if (found == video.end() || found->is_null()) continue;
    return absl::UnimplementedError(
        absl::StrCat("the video brings '", key,
                     "' of its own, allowed is one choice for all: "
                     "data.video_fps, video_min_frames, video_max_frames, video_min_pixels, "
                     "video_max_pixels"));
  }
  return absl::OkStatus();
}

absl::StatusOr<MediaRef> ReadImageValue(const Json& value, const std::string& directory,
                                        ImageStore& store) {
  return MediaReader(MediaKind::kImage, directory, store).Read(value);
}

absl::StatusOr<MediaRef> ReadVideoValue(const Json& value, const std::string& directory,
                                        ImageStore& store) {
  return MediaReader(MediaKind::kVideo, directory, store).Read(value);
}

}  // namespace ziprl
