// The Qwen2.5-VL chat template: messages -> prompt text. Byte-equal to the checkpoint's Jinja
// template for system/user/assistant turns of text and images; an unknown template is refused. No
// torch.
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

// The template text shipped with models that `ziprl init` makes.
extern const char kQwenChatTemplate[];

// Each image becomes <|vision_start|><|image_pad|><|vision_end|> (one pad; the processor repeats
// it).
absl::StatusOr<std::string> RenderChat(const std::vector<Message>& messages,
                                       bool add_generation_prompt);

// Splits "text <image> text" into items, one per mark.
std::vector<ContentItem> SplitMarks(const std::string& problem);

// InvalidArgument unless the checkpoint's template is one this renderer reproduces.
absl::Status CheckChatTemplate(const std::string& model_dir);

}  // namespace ziprl
