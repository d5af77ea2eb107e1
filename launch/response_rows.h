// Rows of `ziprl logprobs`: a conversation and a known response to it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/chat_template.h"
#include "proto/types.h"

namespace ziprl {

struct ResponseRow {
  std::vector<Message> messages;
  std::vector<MediaRef> media;  // images and videos in order of appearance
  std::string response;
};

// One JSON object: `messages` (content a string, or a list of text, image and video items) or
// `problem`, with `<image>` and `<video>` marks; `images` and `videos` (paths relative to
// `directory`); `response`. Errors name the key.
absl::StatusOr<ResponseRow> ParseResponseRow(const std::string& line, const std::string& directory);

}  // namespace ziprl
