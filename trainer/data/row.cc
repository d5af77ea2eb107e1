#include "trainer/data/row.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "trainer/data/image_column.h"
#include "trainer/data/image_store.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;

template <typename... Args>
absl::Status Bad(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrFormat(format, args...));
}

bool Has(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && !found->is_null();
}

// A scalar as text: answers are often written as numbers.
absl::StatusOr<std::string> Text(const Json& value, const std::string& column) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  return Bad("column '%s' is %s, allowed is text or a number", column, value.type_name());
}

std::string TextOf(const Message& message) {
  std::string text;
  for (const ContentItem& item : message.content) {
    text += item.kind == ContentItem::Kind::kText ? item.text : "<image>";
  }
  return text;
}

// Reads the columns of one parsed line.
class RowReader {
 public:
  RowReader(const Json& object, const RowOptions& options, const std::string& directory,
            ImageStore& store)
      : object_(object), options_(options), directory_(directory), store_(store) {}

  absl::StatusOr<Row> Read() {
    ZIPRL_RETURN_IF_ERROR(RefuseVideos());
    ZIPRL_RETURN_IF_ERROR(ReadTurns());
    ZIPRL_RETURN_IF_ERROR(ReadImages());
    ZIPRL_RETURN_IF_ERROR(ReadAnswer());
    ZIPRL_RETURN_IF_ERROR(ReadLabels());
    for (const auto& [key, value] : object_.items()) {
      if (used_.count(key) == 0) row_.extra[key] = value.dump();
    }
    return std::move(row_);
  }

 private:
  const Json& Column(const std::string& key) {
    used_.insert(key);
    return object_.at(key);
  }

  absl::Status RefuseVideos() {
    if (!Has(object_, options_.video_key)) return absl::OkStatus();
    if (Column(options_.video_key).empty()) return absl::OkStatus();
    return absl::UnimplementedError(
        absl::StrFormat("column '%s': videos are not supported, images are", options_.video_key));
  }

  absl::Status ReadTurns() {
    for (const char* key : {"messages", "prompt"}) {
      if (Has(object_, key) && object_[key].is_array()) return ReadMessages(key);
    }
    const std::string& key = options_.prompt_key;
    if (!Has(object_, key)) return Bad("no column '%s' (nor 'messages')", key);
    ZIPRL_ASSIGN_OR_RETURN(row_.problem, Text(Column(key), key));
    AddSystemTurn();
    return AddMarkedTurn(row_.problem + options_.format_prompt);
  }

  void AddSystemTurn() {
    if (options_.system_prompt.empty()) return;
    row_.messages.push_back({"system", {{ContentItem::Kind::kText, options_.system_prompt}}});
  }

  absl::Status AddMarkedTurn(const std::string& text) {
    row_.messages.push_back({"user", SplitMarks(text)});
    for (const ContentItem& item : row_.messages.back().content) {
      if (item.kind == ContentItem::Kind::kVideo) {
        return absl::UnimplementedError("<video> mark: videos are not supported, images are");
      }
      if (item.kind == ContentItem::Kind::kImage) places_.emplace_back();
    }
    return absl::OkStatus();
  }

  absl::Status ReadMessages(const std::string& key) {
    for (const Json& turn : Column(key)) {
      if (!turn.is_object() || !turn.contains("role") || !turn["role"].is_string() ||
          !turn.contains("content")) {
        return Bad("column '%s': a turn needs 'role' and 'content'", key);
      }
      const auto role = turn["role"].get<std::string>();
      if (role != "system" && role != "user" && role != "assistant") {
        return Bad("column '%s': role '%s', allowed are system, user, assistant", key, role);
      }
      if (row_.messages.empty() && role != "system") AddSystemTurn();
      ZIPRL_RETURN_IF_ERROR(ReadContent(turn["content"], key, role));
      if (role == "user") row_.problem = TextOf(row_.messages.back());
    }
    if (row_.problem.empty()) return Bad("column '%s' has no user turn", key);
    return absl::OkStatus();
  }

  absl::Status ReadContent(const Json& content, const std::string& key, const std::string& role) {
    if (content.is_string() && role == "user") {
      return AddMarkedTurn(content.get<std::string>());
    }
    row_.messages.push_back({role, {}});
    std::vector<ContentItem>& items = row_.messages.back().content;
    if (content.is_string()) {
      items.push_back({ContentItem::Kind::kText, content.get<std::string>()});
      return absl::OkStatus();
    }
    if (!content.is_array()) {
      return Bad("column '%s': content is %s, allowed is text or a list of items", key,
                 content.type_name());
    }
    for (const Json& item : content) ZIPRL_RETURN_IF_ERROR(ReadItem(item, key, items));
    return absl::OkStatus();
  }

  absl::Status ReadItem(const Json& item, const std::string& key, std::vector<ContentItem>& items) {
    const Json type = item.is_object() && item.contains("type") ? item["type"] : Json();
    if (type == "text" && item.contains("text") && item["text"].is_string()) {
      items.push_back({ContentItem::Kind::kText, item["text"].get<std::string>()});
      return absl::OkStatus();
    }
    if (type != "image") {
      return Bad("column '%s': content item of type %s, allowed are text and image", key,
                 type.dump());
    }
    items.push_back({ContentItem::Kind::kImage, ""});
    places_.emplace_back();
    if (!Has(item, "image")) return absl::OkStatus();
    ZIPRL_ASSIGN_OR_RETURN(places_.back(), ReadImageValue(item["image"], directory_, store_));
    return absl::OkStatus();
  }

  // Fills the places that carry no image of their own from the image column, in order.
  absl::Status ReadImages() {
    std::vector<MediaRef> column;
    for (const std::string& key : {options_.image_key, std::string("image")}) {
      if (!Has(object_, key) || used_.count(key) > 0) continue;
      const Json& value = Column(key);
      const Json list = value.is_array() ? value : Json::array({value});
      for (const Json& item : list) {
        ZIPRL_ASSIGN_OR_RETURN(MediaRef image, ReadImageValue(item, directory_, store_));
        column.push_back(std::move(image));
      }
    }
    size_t next = 0, open = 0;
    for (std::optional<MediaRef>& place : places_) {
      if (place.has_value()) continue;
      ++open;
      if (next < column.size()) place = column[next++];
    }
    if (open != column.size()) {
      return Bad("%d <image> marks but %d images in column '%s'", open, column.size(),
                 options_.image_key);
    }
    for (std::optional<MediaRef>& place : places_) row_.images.push_back(std::move(*place));
    return absl::OkStatus();
  }

  absl::Status ReadAnswer() {
    const std::string& key = options_.answer_key;
    if (Has(object_, key)) {
      ZIPRL_ASSIGN_OR_RETURN(row_.answer, Text(Column(key), key));
      return absl::OkStatus();
    }
    if (Has(object_, "reward_model") && Has(object_["reward_model"], "ground_truth")) {
      ZIPRL_ASSIGN_OR_RETURN(
          row_.answer, Text(object_["reward_model"]["ground_truth"], "reward_model.ground_truth"));
      return absl::OkStatus();
    }
    if (row_.messages.back().role == "assistant") {
      row_.answer = TextOf(row_.messages.back());
      return absl::OkStatus();
    }
    return options_.require_answer ? Bad("no column '%s'", key) : absl::OkStatus();
  }

  absl::Status ReadLabels() {
    if (Has(object_, "kind")) {
      ZIPRL_ASSIGN_OR_RETURN(row_.kind, Text(Column("kind"), "kind"));
    }
    for (const char* key : {"data_source", "source"}) {
      if (!row_.source.empty() || !Has(object_, key)) continue;
      ZIPRL_ASSIGN_OR_RETURN(row_.source, Text(Column(key), key));
    }
    return absl::OkStatus();
  }

  const Json& object_;
  const RowOptions& options_;
  const std::string& directory_;
  ImageStore& store_;
  std::set<std::string> used_;
  std::vector<std::optional<MediaRef>> places_;  // one per image item, in order of appearance
  Row row_;
};

absl::StatusOr<Json> ParseObject(const std::string& line) {
  try {
    Json object = Json::parse(line);
    if (!object.is_object()) return Bad("is %s, allowed is a JSON object", object.type_name());
    return object;
  } catch (const Json::parse_error& e) {
    return Bad("broken JSON at byte %d of the line: %s", e.byte, e.what());
  } catch (const Json::exception& e) {
    return Bad("broken JSON: %s", e.what());
  }
}

}  // namespace

absl::StatusOr<Row> ParseRow(const std::string& line, const RowOptions& options,
                             const std::string& directory, ImageStore& images) {
  ZIPRL_ASSIGN_OR_RETURN(const Json object, ParseObject(line));
  return RowReader(object, options, directory, images).Read();
}

absl::StatusOr<std::vector<Row>> ParseQuestions(const std::string& line, const RowOptions& options,
                                                const std::string& directory, ImageStore& images) {
  ZIPRL_ASSIGN_OR_RETURN(Json object, ParseObject(line));
  const Json problems = object.value(options.prompt_key, Json());
  const Json answers = object.value(options.answer_key, Json());
  if (!problems.is_array()) {
    ZIPRL_ASSIGN_OR_RETURN(Row row, RowReader(object, options, directory, images).Read());
    return std::vector<Row>{std::move(row)};
  }
  if (!answers.is_array() || answers.size() != problems.size() || problems.empty()) {
    return Bad("column '%s' is a list of %d, column '%s' must be a list of as many (1 or more)",
               options.prompt_key, problems.size(), options.answer_key);
  }
  std::vector<Row> rows;
  for (size_t i = 0; i < problems.size(); ++i) {
    object[options.prompt_key] = problems[i];
    object[options.answer_key] = answers[i];
    ZIPRL_ASSIGN_OR_RETURN(Row row, RowReader(object, options, directory, images).Read());
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace ziprl
