#include "launch/response_rows.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/processor.h"

namespace ziprl {
namespace {

using nlohmann::json;

absl::StatusOr<std::string> StringAt(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end()) return absl::InvalidArgumentError(absl::StrCat("no `", key, "`"));
  if (!it->is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat("`", key, "` is ", it->type_name(), "; a string is needed"));
  }
  return it->get<std::string>();
}

// A path as a string, or as {"path": ...}.
absl::StatusOr<std::string> ImagePath(const json& image, const std::string& directory) {
  std::string path;
  if (image.is_string()) {
    path = image.get<std::string>();
  } else if (image.is_object()) {
    ZIPRL_ASSIGN_OR_RETURN(path, StringAt(image, "path"));
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("an image is ", image.type_name(), "; a path is needed"));
  }
  return (std::filesystem::path(directory) / path).string();
}

// Takes `<image>` marks of text and image items; an item that names its file puts it in
// `inline_paths`.
absl::Status AddItem(const json& item, Message* message, std::vector<json>* inline_paths) {
  if (!item.is_object()) return absl::InvalidArgumentError("a content item is no object");
  ZIPRL_ASSIGN_OR_RETURN(const std::string type, StringAt(item, "type"));
  if (type == "text") {
    ZIPRL_ASSIGN_OR_RETURN(std::string text, StringAt(item, "text"));
    message->content.push_back({ContentItem::Kind::kText, std::move(text)});
    return absl::OkStatus();
  }
  if (type != "image") {
    return absl::InvalidArgumentError(
        absl::StrCat("content type '", type, "'; `text` and `image` are supported"));
  }
  message->content.push_back({ContentItem::Kind::kImage, ""});
  for (const char* key : {"image", "path"}) {
    if (item.contains(key)) inline_paths->push_back(item.at(key));
  }
  return absl::OkStatus();
}

absl::Status ParseMessages(const json& list, ResponseRow* row, std::vector<json>* inline_paths) {
  if (!list.is_array() || list.empty()) {
    return absl::InvalidArgumentError("`messages` is no list of messages");
  }
  for (const json& entry : list) {
    if (!entry.is_object()) return absl::InvalidArgumentError("a message is no object");
    Message message;
    ZIPRL_ASSIGN_OR_RETURN(message.role, StringAt(entry, "role"));
    const json content = entry.value("content", json());
    if (content.is_string()) {
      message.content = SplitMarks(content.get<std::string>());
    } else if (content.is_array()) {
      for (const json& item : content) {
        ZIPRL_RETURN_IF_ERROR(AddItem(item, &message, inline_paths));
      }
    } else {
      return absl::InvalidArgumentError("`content` is neither a string nor a list of items");
    }
    row->messages.push_back(std::move(message));
  }
  return absl::OkStatus();
}

absl::Status ReadImages(const json& object, const std::vector<json>& inline_paths,
                        const std::string& directory, ResponseRow* row) {
  std::vector<json> images = inline_paths;
  if (const auto it = object.find("images"); it != object.end() && !it->is_null()) {
    if (!it->is_array()) return absl::InvalidArgumentError("`images` is no list");
    if (!inline_paths.empty() && !it->empty()) {
      return absl::InvalidArgumentError("images are given in `images` and inside `messages`");
    }
    images.insert(images.end(), it->begin(), it->end());
  }
  for (const json& image : images) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string path, ImagePath(image, directory));
    ZIPRL_ASSIGN_OR_RETURN(MediaRef media, ReadMedia(path));
    row->images.push_back(std::move(media));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ResponseRow> ParseResponseRow(const std::string& line,
                                             const std::string& directory) {
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return absl::InvalidArgumentError("the line is no JSON object");
  ResponseRow row;
  std::vector<json> inline_paths;
  if (object.contains("messages")) {
    ZIPRL_RETURN_IF_ERROR(ParseMessages(object.at("messages"), &row, &inline_paths));
  } else if (object.contains("problem")) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string problem, StringAt(object, "problem"));
    row.messages.push_back({"user", SplitMarks(problem)});
  } else {
    return absl::InvalidArgumentError("neither `messages` nor `problem`");
  }
  ZIPRL_RETURN_IF_ERROR(ReadImages(object, inline_paths, directory, &row));
  ZIPRL_ASSIGN_OR_RETURN(row.response, StringAt(object, "response"));
  return row;
}

}  // namespace ziprl
