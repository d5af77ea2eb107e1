#include "trainer/data/media_column.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "model/image_processor.h"
#include "trainer/data/image_store.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;

// Reads the values of one kind of medium.
class MediaReader {
 public:
  MediaReader(const char* kind, bool by_reference, const std::string& directory, ImageStore& store)
      : kind_(kind), by_reference_(by_reference), directory_(directory), store_(store) {}

  absl::StatusOr<MediaRef> Read(const Json& value) const {
    if (value.is_binary()) return FromBytes(value, "bytes");
    if (value.is_string()) return FromText(value.get<std::string>());
    if (value.is_object()) {
      const bool named = HasText(value, "path");
      const std::string name = named ? value["path"].get<std::string>() : "bytes";
      if (HasText(value, "bytes")) return FromBase64(value["bytes"].get<std::string>(), name);
      if (value.contains("bytes") && value["bytes"].is_binary()) {
        return FromBytes(value["bytes"], name);
      }
      if (named) return FromPath(name);
      if (HasText(value, kind_)) return FromText(value[kind_].get<std::string>());
    }
    return absl::InvalidArgumentError(absl::StrCat(
        kind_, " is ", value.is_object() ? "an object without them" : value.type_name(),
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
      return IsBase64Image(text) ? FromBase64(text, "base64 text") : FromPath(text);
    }
    const size_t payload = text.find(";base64,");
    if (payload == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(kind_, " data URI without ';base64,'"));
    }
    return FromBase64(text.substr(payload + 8), "data URI");
  }

  std::string Located(const std::string& given) const {
    const std::string path(absl::StripPrefix(given, "file://"));
    const bool as_is = directory_.empty() || absl::StartsWith(path, "/");
    return as_is ? path : absl::StrCat(directory_, "/", path);
  }

  // A name that no file has may be the image itself in base64, as transformers' load_image takes
  // it.
  bool IsBase64Image(const std::string& text) const {
    std::string head;
    return absl::Base64Unescape(text.substr(0, 24), &head) && BeginsAsImage(head) &&
           access(Located(text).c_str(), F_OK) != 0;
  }

  absl::StatusOr<MediaRef> FromPath(const std::string& given) const {
    const std::string whole = Located(given);
    if (by_reference_) return MediaRef{0, whole, nullptr};
    return store_.FromFile(whole);
  }

  absl::StatusOr<MediaRef> FromBase64(const std::string& text, const std::string& name) const {
    std::string bytes;
    if (!absl::Base64Unescape(text, &bytes)) {
      return absl::InvalidArgumentError(absl::StrCat(kind_, " '", name, "': bytes are no base64"));
    }
    return store_.FromBytes(std::move(bytes), name);
  }

  absl::StatusOr<MediaRef> FromBytes(const Json& binary, const std::string& name) const {
    const auto& bytes = binary.get_binary();
    return store_.FromBytes(std::string(bytes.begin(), bytes.end()), name);
  }

  const char* const kind_;
  const bool by_reference_;
  const std::string& directory_;
  ImageStore& store_;
};

}  // namespace

absl::StatusOr<MediaRef> ReadImageValue(const Json& value, const std::string& directory,
                                        ImageStore& store) {
  return MediaReader("image", /*by_reference=*/false, directory, store).Read(value);
}

absl::StatusOr<MediaRef> ReadVideoValue(const Json& value, const std::string& directory,
                                        ImageStore& store) {
  return MediaReader("video", /*by_reference=*/true, directory, store).Read(value);
}

}  // namespace ziprl
