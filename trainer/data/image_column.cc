#include "trainer/data/image_column.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "trainer/data/image_store.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;

absl::StatusOr<MediaRef> FromBase64(const std::string& text, const std::string& name,
                                    ImageStore& store) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("image '", name, "': bytes are no base64"));
  }
  return store.FromBytes(std::move(bytes), name);
}

bool HasText(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string();
}

}  // namespace

absl::StatusOr<MediaRef> ReadImageValue(const Json& value, const std::string& directory,
                                        ImageStore& store) {
  const auto from_path = [&](const std::string& path) {
    const bool as_is = directory.empty() || absl::StartsWith(path, "/");
    return store.FromFile(as_is ? path : absl::StrCat(directory, "/", path));
  };
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    if (!absl::StartsWith(text, "data:")) return from_path(text);
    const size_t payload = text.find(";base64,");
    if (payload == std::string::npos) {
      return absl::InvalidArgumentError("image data URI without ';base64,'");
    }
    return FromBase64(text.substr(payload + 8), "data URI", store);
  }
  if (value.is_object()) {
    const std::string name = HasText(value, "path") ? value["path"].get<std::string>() : "bytes";
    if (HasText(value, "bytes")) return FromBase64(value["bytes"].get<std::string>(), name, store);
    if (HasText(value, "path")) return from_path(name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("image is ", value.is_object() ? "an object without them" : value.type_name(),
                   ", allowed is a path, a data URI or {\"bytes\": base64, \"path\": name}"));
}

}  // namespace ziprl
