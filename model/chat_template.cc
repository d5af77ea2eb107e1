#include "model/chat_template.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/json_reader.h"

namespace ziprl {

const char kQwenChatTemplate[] =
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}<|im_end|>\n{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

namespace {

constexpr char kDefaultSystem[] = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";

// What the other templates leave out of the published one, which gives these.
constexpr char kDefaultSystemRule[] =
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}";

// Renders items; counts images and videos over all messages.
class ItemWriter {
 public:
  explicit ItemWriter(bool add_vision_id) : add_vision_id_(add_vision_id) {}

  void Write(const ContentItem& item, std::string* out) {
    switch (item.kind) {
      case ContentItem::Kind::kImage:
        if (add_vision_id_) absl::StrAppend(out, "Picture ", ++images_, ": ");
        *out += "<|vision_start|><|image_pad|><|vision_end|>";
        break;
      case ContentItem::Kind::kVideo:
        if (add_vision_id_) absl::StrAppend(out, "Video ", ++videos_, ": ");
        *out += "<|vision_start|><|video_pad|><|vision_end|>";
        break;
      case ContentItem::Kind::kText:
        *out += item.text;
    }
  }

 private:
  const bool add_vision_id_;
  int images_ = 0, videos_ = 0;
};

// "chat_template" as text, or the "default" of a list of {name, template}; empty when there is
// none.
std::string TemplateIn(JsonReader* reader) {
  if (!reader->Has("chat_template") || !reader->At("chat_template").is_array()) {
    return reader->String("chat_template", "");
  }
  for (const nlohmann::json& entry : reader->At("chat_template")) {
    JsonReader named(entry, "chat_template");
    if (named.String("name", "") == "default") return named.String("template", "");
  }
  reader->Fail("\"chat_template\" is a list without one named \"default\"");
  return "";
}

// The template transformers' AutoProcessor would use: path and text. Empty text when there is none.
absl::StatusOr<std::pair<std::string, std::string>> FindTemplate(const std::string& dir) {
  const std::string jinja = absl::StrCat(dir, "/chat_template.jinja");
  if (std::filesystem::exists(jinja)) {
    ZIPRL_ASSIGN_OR_RETURN(std::string text, ReadFile(jinja));
    return std::make_pair(jinja, std::move(text));
  }
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    const std::string path = absl::StrCat(dir, "/", name);
    if (!std::filesystem::exists(path)) continue;
    ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    ZIPRL_ASSIGN_OR_RETURN(const nlohmann::json object, ParseJson(text, path));
    JsonReader reader(object, path);
    std::string found = TemplateIn(&reader);
    ZIPRL_RETURN_IF_ERROR(reader.status());
    if (!found.empty()) return std::make_pair(path, std::move(found));
  }
  return std::make_pair(dir, std::string());
}

std::string WithoutTrailingSpace(std::string text) {
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

}  // namespace

absl::StatusOr<std::string> RenderChat(const std::vector<Message>& messages,
                                       bool add_generation_prompt, const ChatTemplate& how) {
  std::string out;
  ItemWriter writer(how.add_vision_id);
  if (how.default_system && !messages.empty() && messages[0].role != "system") out = kDefaultSystem;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant") {
      return absl::InvalidArgumentError(
          absl::StrCat("message ", i, ": role \"", role,
                       "\", allowed are \"system\", \"user\" and \"assistant\""));
    }
    absl::StrAppend(&out, "<|im_start|>", role, "\n");
    for (const ContentItem& item : messages[i].content) writer.Write(item, &out);
    out += "<|im_end|>\n";
  }
  if (add_generation_prompt) out += "<|im_start|>assistant\n";
  return out;
}

std::vector<ContentItem> SplitMarks(const std::string& problem) {
  static constexpr std::pair<std::string_view, ContentItem::Kind> kMarks[] = {
      {"<image>", ContentItem::Kind::kImage}, {"<video>", ContentItem::Kind::kVideo}};
  std::vector<ContentItem> items;
  std::string text;
  const auto flush = [&] {
    if (!text.empty()) items.push_back({ContentItem::Kind::kText, std::move(text)});
    text.clear();
  };
  for (size_t pos = 0; pos < problem.size();) {
    const std::string_view rest = std::string_view(problem).substr(pos);
    size_t taken = 0;
    for (const auto& [mark, kind] : kMarks) {
      if (!rest.starts_with(mark)) continue;
      flush();
      items.push_back({kind, ""});
      taken = mark.size();
    }
    if (taken == 0) text.push_back(problem[pos]);
    pos += taken == 0 ? 1 : taken;
  }
  flush();
  return items;
}

absl::StatusOr<ChatTemplate> LoadChatTemplate(const std::string& model_dir) {
  ZIPRL_ASSIGN_OR_RETURN(const auto found, FindTemplate(model_dir));
  const auto& [path, text] = found;
  if (text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        model_dir,
        ": no chat template in chat_template.jinja, chat_template.json or tokenizer_config.json"));
  }
  // Jinja drops one trailing newline of a template; files often end in one.
  const std::string given = WithoutTrailingSpace(text), published = kQwenChatTemplate;
  if (given == published) return ChatTemplate{};
  if (given == absl::StrReplaceAll(published, {{kDefaultSystemRule, ""}})) {
    ChatTemplate bare;
    bare.default_system = false;
    return bare;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": unsupported chat template (", text.size(), " bytes, begins with \"",
                   text.substr(0, 60),
                   "\"), supported is that of Qwen2-VL and Qwen2.5-VL, with or without its default "
                   "system turn"));
}

}  // namespace ziprl
