#include "launch/response_rows.h"

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

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
absl::StatusOr<std::string> MediaPath(const json& medium, const std::string& directory) {
  std::string path;
  if (medium.is_string()) {
    path = medium.get<std::string>();
  } else if (medium.is_object()) {
    ZIPRL_ASSIGN_OR_RETURN(path, StringAt(medium, "path"));
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("an image or video is ", medium.type_name(), "; a path is needed"));
  }
  return (std::filesystem::path(directory) / path).string();
}

// The files that items name, by kind; lists of the columns take their place where there are none.
using InlinePaths = std::map<std::string, std::vector<json>>;

// Takes text, image and video items; an item that names its file puts it in `inline_paths`.
absl::Status AddItem(const json& item, Message* message, InlinePaths* inline_paths) {
  if (!item.is_object()) return absl::InvalidArgumentError("a content item is no object");
  ZIPRL_ASSIGN_OR_RETURN(const std::string type, StringAt(item, "type"));
  if (type == "text") {
    ZIPRL_ASSIGN_OR_RETURN(std::string text, StringAt(item, "text"));
    message->content.push_back({ContentItem::Kind::kText, std::move(text)});
    return absl::OkStatus();
  }
  if (type != "image" && type != "video") {
    return absl::InvalidArgumentError(
        absl::StrCat("content type '", type, "'; `text`, `image` and `video` are supported"));
  }
  message->content.push_back(
      {type == "image" ? ContentItem::Kind::kImage : ContentItem::Kind::kVideo, ""});
  for (const std::string& key : {type, std::string("path")}) {
    if (item.contains(key)) (*inline_paths)[type].push_back(item.at(key));
  }
  return absl::OkStatus();
}

absl::Status ParseMessages(const json& list, ResponseRow* row, InlinePaths* inline_paths) {
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

// The media of one kind ("image" or "video"), in order.
absl::StatusOr<std::vector<MediaRef>> ReadKind(const json& object, const std::string& kind,
                                               const InlinePaths& inline_paths,
                                               const std::string& directory) {
  const auto named = inline_paths.find(kind);
  std::vector<json> paths = named == inline_paths.end() ? std::vector<json>() : named->second;
  const std::string column = kind + "s";
  if (const auto it = object.find(column); it != object.end() && !it->is_null()) {
    if (!it->is_array())
      return absl::InvalidArgumentError(absl::StrCat("`", column, "` is no list"));
    if (!paths.empty() && !it->empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(column, " are given in `", column, "` and inside `messages`"));
    }
    paths.insert(paths.end(), it->begin(), it->end());
  }
  std::vector<MediaRef> media;
  for (const json& given : paths) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string path, MediaPath(given, directory));
    ZIPRL_ASSIGN_OR_RETURN(MediaRef one, kind == "video" ? ReferToVideo(path) : ReadMedia(path));
    media.push_back(std::move(one));
  }
  return media;
}

// Images and videos of their lists in the order of the items; what an item lacks is left out, and
// what is too many stands at the end: the processor counts.
absl::Status ReadRowMedia(const json& object, const InlinePaths& inline_paths,
                          const std::string& directory, ResponseRow* row) {
  ZIPRL_ASSIGN_OR_RETURN(const auto images, ReadKind(object, "image", inline_paths, directory));
  ZIPRL_ASSIGN_OR_RETURN(const auto videos, ReadKind(object, "video", inline_paths, directory));
  size_t image = 0, video = 0;
  for (const Message& message : row->messages) {
    for (const ContentItem& item : message.content) {
      const bool is_image = item.kind == ContentItem::Kind::kImage;
      if (is_image && image < images.size()) row->media.push_back(images[image++]);
      const bool is_video = item.kind == ContentItem::Kind::kVideo;
      if (is_video && video < videos.size()) row->media.push_back(videos[video++]);
    }
  }
  row->media.insert(row->media.end(), images.begin() + static_cast<ptrdiff_t>(image), images.end());
  row->media.insert(row->media.end(), videos.begin() + static_cast<ptrdiff_t>(video), videos.end());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ResponseRow> ParseResponseRow(const std::string& line,
                                             const std::string& directory) {
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return absl::InvalidArgumentError("the line is no JSON object");
  ResponseRow row;
  InlinePaths inline_paths;
  if (object.contains("messages")) {
    ZIPRL_RETURN_IF_ERROR(ParseMessages(object.at("messages"), &row, &inline_paths));
  } else if (object.contains("problem")) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string problem, StringAt(object, "problem"));
    row.messages.push_back({"user", SplitMarks(problem)});
  } else {
    return absl::InvalidArgumentError("neither `messages` nor `problem`");
  }
  ZIPRL_RETURN_IF_ERROR(ReadRowMedia(object, inline_paths, directory, &row));
  ZIPRL_ASSIGN_OR_RETURN(row.response, StringAt(object, "response"));
  return row;
}

}  // namespace ziprl
