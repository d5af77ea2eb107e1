#include "trainer/data/row.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "configs/base/status_macros.h"
#include "trainer/data/image_store.h"
#include "trainer/data/media_column.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;
using Kind = ContentItem::Kind;

// A scalar as text: answers are often written as numbers.
absl::StatusOr<std::string> Text(const Json& value, const std::string& column) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return JsonText(value);
  return BadColumn(column, "column '%s' is %s, allowed is text or a number", column,
                   value.type_name());
}

std::string TextOf(const Message& message) {
  std::string text;
  for (const ContentItem& item : message.content) {
    text += item.kind == Kind::kText    ? item.text
            : item.kind == Kind::kImage ? "<image>"
                                        : "<video>";
  }
  return text;
}

// A list of turns, rather than of questions.
bool IsConversation(const Json* value) {
  return value != nullptr && value->is_array() && !value->empty() && !(*value)[0].is_string();
}

// Images or videos in the order of their marks; those a content item brought along are set.
using Places = std::vector<std::optional<MediaRef>>;

// Reads the columns of one row.
class RowReader {
 public:
  RowReader(const Json& object, const RowOptions& options, const std::string& directory,
            ImageStore& store)
      : object_(object), options_(options), directory_(directory), store_(store) {}

  absl::StatusOr<Row> Read() {
    ZIPRL_RETURN_IF_ERROR(ReadTurns());
    ZIPRL_ASSIGN_OR_RETURN(std::vector<MediaRef> images,
                           ReadColumns({options_.image_key, "image"}, ReadImageValue));
    ZIPRL_ASSIGN_OR_RETURN(std::vector<MediaRef> videos,
                           ReadColumns({options_.video_key, "video"}, ReadVideoValue));
    PutInFront(Kind::kVideo, videos.size(), videos_);
    PutInFront(Kind::kImage, images.size(), images_);
    ZIPRL_ASSIGN_OR_RETURN(row_.images, Fill(images_, std::move(images), "image"));
    ZIPRL_ASSIGN_OR_RETURN(row_.videos, Fill(videos_, std::move(videos), "video"));
    ZIPRL_RETURN_IF_ERROR(ReadAnswer());
    ZIPRL_RETURN_IF_ERROR(ReadLabels());
    for (const auto& [key, value] : object_.items()) {
      if (used_.count(key) == 0) row_.extra[key] = JsonText(value);
    }
    return std::move(row_);
  }

 private:
  // nullptr where there is none; a column that is there does not go to the rewards any more.
  const Json* Use(const std::string& key) {
    const Json* value = FindValue(object_, key);
    if (value != nullptr) used_.insert(key);
    return value;
  }

  absl::Status ReadTurns() {
    const std::string& key = options_.prompt_key;
    for (const char* name : {"messages", "prompt"}) {
      const Json* turns = FindValue(object_, name);
      if (turns != nullptr && turns->is_array()) return ReadMessages(*Use(name), name);
    }
    if (IsConversation(FindValue(object_, key))) return ReadMessages(*Use(key), key);
    const bool plain_prompt = FindValue(object_, key) == nullptr;  // TRL's standard form
    const std::string name = plain_prompt ? "prompt" : key;
    const Json* problem = Use(name);
    if (problem == nullptr) {
      return BadColumn(key, "no column '%s' (nor 'messages', nor 'prompt')", key);
    }
    media_may_lead_ = plain_prompt;
    ZIPRL_ASSIGN_OR_RETURN(row_.problem, Text(*problem, name));
    AddSystemTurn();
    AddMarkedTurn(row_.problem + options_.format_prompt);
    return absl::OkStatus();
  }

  void AddSystemTurn() {
    if (options_.system_prompt.empty()) return;
    row_.messages.push_back({"system", {{Kind::kText, options_.system_prompt}}});
  }

  void AddMarkedTurn(const std::string& text) {
    row_.messages.push_back({"user", SplitMarks(text)});
    for (const ContentItem& item : row_.messages.back().content) {
      if (item.kind == Kind::kImage) images_.emplace_back();
      if (item.kind == Kind::kVideo) videos_.emplace_back();
    }
  }

  absl::Status ReadMessages(const Json& turns, const std::string& key) {
    bool has_user = false;
    for (const Json& turn : turns) {
      const Json* role = FindValue(turn, "role");
      const Json* content = FindValue(turn, "content");
      if (role == nullptr || !role->is_string() || content == nullptr) {
        return BadColumn(key, "column '%s': a turn needs 'role' and 'content'", key);
      }
      const auto name = role->get<std::string>();
      if (name != "system" && name != "user" && name != "assistant") {
        return BadColumn(key, "column '%s': role '%s', allowed are system, user, assistant", key,
                         name);
      }
      if (row_.messages.empty() && name != "system") AddSystemTurn();
      ZIPRL_RETURN_IF_ERROR(ReadContent(*content, key, name));
      if (name != "user") continue;
      if (!has_user) media_may_lead_ = content->is_string();
      has_user = true;
      row_.problem = TextOf(row_.messages.back());
    }
    if (row_.problem.empty()) return BadColumn(key, "column '%s' has no user turn", key);
    return absl::OkStatus();
  }

  absl::Status ReadContent(const Json& content, const std::string& key, const std::string& role) {
    if (content.is_string() && role == "user") {
      AddMarkedTurn(content.get<std::string>());
      return absl::OkStatus();
    }
    row_.messages.push_back({role, {}});
    std::vector<ContentItem>& items = row_.messages.back().content;
    if (content.is_string()) {
      items.push_back({Kind::kText, content.get<std::string>()});
      return absl::OkStatus();
    }
    if (!content.is_array()) {
      return BadColumn(key, "column '%s': content is %s, allowed is text or a list of items", key,
                       content.type_name());
    }
    for (const Json& item : content) ZIPRL_RETURN_IF_ERROR(ReadItem(item, key, items));
    return absl::OkStatus();
  }

  absl::Status ReadItem(const Json& item, const std::string& key, std::vector<ContentItem>& items) {
    const Json* given = FindValue(item, "type");
    const Json type = given == nullptr ? Json() : *given;
    const Json* text = FindValue(item, "text");
    if (type == "text" && text != nullptr && text->is_string()) {
      items.push_back({Kind::kText, text->get<std::string>()});
      return absl::OkStatus();
    }
    const bool video = type == "video";
    if (!video && type != "image") {
      return BadColumn(key, "column '%s': content item of type %s, allowed are text, image, video",
                       key, JsonText(type));
    }
    items.push_back({video ? Kind::kVideo : Kind::kImage, ""});
    Places& places = video ? videos_ : images_;
    places.emplace_back();
    const Json* value = FindValue(item, video ? "video" : "image");
    if (value == nullptr) return absl::OkStatus();
    if (const absl::Status own = video ? RefuseOwnSampling(item) : absl::OkStatus(); !own.ok()) {
      return AboutColumn(key, own);
    }
    absl::StatusOr<MediaRef> media =
        (video ? ReadVideoValue : ReadImageValue)(*value, directory_, store_);
    if (!media.ok()) return AboutColumn(key, media.status());
    places.back() = *std::move(media);
    return absl::OkStatus();
  }

  // The media of the columns that are there, one value or a list of them each.
  absl::StatusOr<std::vector<MediaRef>> ReadColumns(const std::vector<std::string>& keys,
                                                    decltype(ReadImageValue)& read) {
    std::vector<MediaRef> media;
    for (const std::string& key : keys) {
      const Json* value = used_.count(key) > 0 ? nullptr : Use(key);
      if (value == nullptr) continue;
      const Json list = value->is_array() ? *value : Json::array({*value});
      for (const Json& item : list) {
        absl::StatusOr<MediaRef> one = read(item, directory_, store_);
        if (!one.ok()) return AboutColumn(key, one.status());
        media.push_back(*std::move(one));
      }
    }
    return media;
  }

  // As TRL does it: where the text marks no place, the images stand before the first user turn.
  void PutInFront(Kind kind, size_t count, Places& places) {
    if (!media_may_lead_ || !places.empty() || FindValue(object_, "reward_model") != nullptr) {
      return;
    }
    const auto user = std::find_if(row_.messages.begin(), row_.messages.end(),
                                   [](const Message& turn) { return turn.role == "user"; });
    user->content.insert(user->content.begin(), count, {kind, ""});
    places.resize(count);
  }

  // The places' media in order; those that are open are taken from the column.
  absl::StatusOr<std::vector<MediaRef>> Fill(Places& places, std::vector<MediaRef> column,
                                             const std::string& kind) {
    size_t next = 0, open = 0;
    for (std::optional<MediaRef>& place : places) {
      if (place.has_value()) continue;
      ++open;
      if (next < column.size()) place = std::move(column[next++]);
    }
    if (open != column.size()) {
      const std::string& key = kind == "image" ? options_.image_key : options_.video_key;
      return BadColumn(key, "%d <%s> marks but %d %ss in column '%s'", open, kind, column.size(),
                       kind, key);
    }
    std::vector<MediaRef> media;
    for (std::optional<MediaRef>& place : places) media.push_back(*std::move(place));
    return media;
  }

  absl::Status ReadAnswer() {
    const std::string& key = options_.answer_key;
    const Json* answer = Use(key);
    std::string name = key;
    // Where verl and TRL have it; rewards may want it under that name too.
    for (const char* other : {"reward_model.ground_truth", "solution"}) {
      if (answer != nullptr) break;
      answer = FindValue(object_, other);
      name = other;
    }
    if (answer != nullptr) {
      ZIPRL_ASSIGN_OR_RETURN(row_.answer, Text(*answer, name));
    } else if (row_.messages.back().role == "assistant") {
      row_.answer = TextOf(row_.messages.back());
    } else if (options_.require_answer) {
      return BadColumn(key, "no column '%s' (nor 'reward_model.ground_truth', nor 'solution')",
                       key);
    }
    return absl::OkStatus();
  }

  absl::Status ReadLabels() {
    if (const Json* kind = Use("kind")) {
      ZIPRL_ASSIGN_OR_RETURN(row_.kind, Text(*kind, "kind"));
    }
    for (const char* key : {"data_source", "source"}) {
      const Json* source = row_.source.empty() ? Use(key) : nullptr;
      if (source == nullptr) continue;
      ZIPRL_ASSIGN_OR_RETURN(row_.source, Text(*source, key));
    }
    return absl::OkStatus();
  }

  const Json& object_;
  const RowOptions& options_;
  const std::string& directory_;
  ImageStore& store_;
  std::set<std::string> used_;
  Places images_, videos_;
  bool media_may_lead_ = false;  // the first user turn is text in a TRL column
  Row row_;
};

}  // namespace

std::vector<MediaRef> MediaOf(const Row& row) {
  std::vector<MediaRef> media;
  size_t image = 0, video = 0;
  for (const Message& message : row.messages) {
    for (const ContentItem& item : message.content) {
      if (item.kind == Kind::kImage) media.push_back(row.images[image++]);
      if (item.kind == Kind::kVideo) media.push_back(row.videos[video++]);
    }
  }
  return media;
}

absl::StatusOr<Row> RowOf(const Json& object, const RowOptions& options,
                          const std::string& directory, ImageStore& images) {
  return RowReader(object, options, directory, images).Read();
}

absl::StatusOr<std::vector<Row>> QuestionsOf(const Json& given, const RowOptions& options,
                                             const std::string& directory, ImageStore& images) {
  const Json problems = given.value(options.prompt_key, Json());
  const Json answers = given.value(options.answer_key, Json());
  if (!problems.is_array() || IsConversation(&problems)) {
    ZIPRL_ASSIGN_OR_RETURN(Row row, RowOf(given, options, directory, images));
    return std::vector<Row>{std::move(row)};
  }
  if (!answers.is_array() || answers.size() != problems.size() || problems.empty()) {
    return BadColumn(
        options.answer_key,
        "column '%s' is a list of %d, column '%s' must be a list of as many (1 or more)",
        options.prompt_key, problems.size(), options.answer_key);
  }
  Json object = given;
  std::vector<Row> rows;
  for (size_t i = 0; i < problems.size(); ++i) {
    object[options.prompt_key] = problems[i];
    object[options.answer_key] = answers[i];
    ZIPRL_ASSIGN_OR_RETURN(Row row, RowOf(object, options, directory, images));
    rows.push_back(std::move(row));
  }
  return rows;
}

absl::StatusOr<Row> ParseRow(const std::string& line, const RowOptions& options,
                             const std::string& directory, ImageStore& images) {
  ZIPRL_ASSIGN_OR_RETURN(const Json object, ParseRowObject(line));
  return RowOf(object, options, directory, images);
}

absl::StatusOr<std::vector<Row>> ParseQuestions(const std::string& line, const RowOptions& options,
                                                const std::string& directory, ImageStore& images) {
  ZIPRL_ASSIGN_OR_RETURN(const Json object, ParseRowObject(line));
  return QuestionsOf(object, options, directory, images);
}

}  // namespace ziprl
