// The Qwen2-VL and Qwen2.5-VL chat template: messages -> prompt text. Byte-equal to the
// checkpoint's Jinja template for system/user/assistant turns of text, images and videos; a
// template that is not known is refused. No torch.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ziprl {

struct ContentItem {
  enum class Kind { kText, kImage, kVideo } kind = Kind::kText;
  std::string text;  // kText
};

struct Message {
  std::string role;  // system | user | assistant
  std::vector<ContentItem> content;
};

// What a checkpoint's template does beside the common layout.
struct ChatTemplate {
  bool default_system = true;  // a system turn of its own before messages that begin with none
  bool add_vision_id = false;  // "Picture 1: " before each image, "Video 1: " before each video
};

// The published template of both families, shipped with models that `ziprl init` makes.
extern const char kQwenChatTemplate[];

// Each image becomes <|vision_start|><|image_pad|><|vision_end|> (one pad; the processor repeats
// it).
absl::StatusOr<std::string> RenderChat(const std::vector<Message>& messages,
                                       bool add_generation_prompt, const ChatTemplate& how = {});

// Splits "text <image> text" into items, one per mark.
std::vector<ContentItem> SplitMarks(const std::string& problem);

// What the checkpoint's template is: of chat_template.jinja, else chat_template.json, else
// tokenizer_config.json, there also as a list of named ones (its "default"). InvalidArgument unless
// this renderer reproduces it.
absl::StatusOr<ChatTemplate> LoadChatTemplate(const std::string& model_dir);

}  // namespace ziprl
