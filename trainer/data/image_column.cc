#include "trainer/data/image_column.h"

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

absl::StatusOr<MediaRef> FromBase64(const std::string& text, const std::string& name,
                                    ImageStore& store) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("image '", name, "': bytes are no base64"));
  }
  return store.FromBytes(std::move(bytes), name);
}

// A name that no file has may be the image itself in base64, as transformers' load_image takes it.
bool IsBase64Image(const std::string& text, const std::string& path) {
  std::string head;
  return absl::Base64Unescape(text.substr(0, 24), &head) && BeginsAsImage(head) &&
         access(path.c_str(), F_OK) != 0;
}

bool HasText(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string();
}

}  // namespace

absl::StatusOr<MediaRef> ReadImageValue(const Json& value, const std::string& directory,
                                        ImageStore& store) {
  const auto located = [&](absl::string_view path) {
    absl::ConsumePrefix(&path, "file://");
    const bool as_is = directory.empty() || absl::StartsWith(path, "/");
    return as_is ? std::string(path) : absl::StrCat(directory, "/", path);
  };
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    if (!absl::StartsWith(text, "data:")) {
      const std::string path = located(text);
      return IsBase64Image(text, path) ? FromBase64(text, "base64 text", store)
                                       : store.FromFile(path);
    }
    const size_t payload = text.find(";base64,");
    if (payload == std::string::npos) {
      return absl::InvalidArgumentError("image data URI without ';base64,'");
    }
    return FromBase64(text.substr(payload + 8), "data URI", store);
  }
  if (value.is_object()) {
    const std::string name = HasText(value, "path") ? value["path"].get<std::string>() : "bytes";
    if (HasText(value, "bytes")) return FromBase64(value["bytes"].get<std::string>(), name, store);
    if (HasText(value, "path")) return store.FromFile(located(name));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "image is ", value.is_object() ? "an object without them" : value.type_name(),
      ", allowed is a path, a data URI, base64 text or {\"bytes\": base64, \"path\": name}"));
}

}  // namespace ziprl
