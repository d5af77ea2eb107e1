// One line of a data file -> one question. Columns:
//   problem (with one <image> mark per image), answer, images, or
//   messages / prompt: [{role, content}], with an image item or a mark per image;
//   images or image: paths relative to the data file, base64 bytes as {"bytes", "path"}, or data
//   URIs; kind, data_source or source; reward_model.ground_truth as the answer (verl); every other
//   column is kept for the reward functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/chat_template.h"
#include "proto/types.h"

namespace ziprl {

class ImageStore;

struct RowOptions {
  std::string prompt_key = "problem", answer_key = "answer", image_key = "images";
  std::string video_key = "videos";
  std::string system_prompt;  // empty = the template's default
  std::string format_prompt;  // appended to every problem
  bool require_answer = true;
};

struct Row {
  std::vector<Message>
      messages;                  // all turns, a final assistant turn included where the row has one
  std::string problem;           // user text as given, marks included
  std::string answer;            // or the final assistant turn, where there is no answer column
  std::vector<MediaRef> images;  // in order of appearance
  std::string source, kind;
  std::map<std::string, std::string> extra;  // any other column, as JSON text
};

// Paths are relative to `directory`. Errors name the column, what was given and what is allowed,
// not the row: the caller knows it.
absl::StatusOr<Row> ParseRow(const std::string& line, const RowOptions& options,
                             const std::string& directory, ImageStore& images);

// The same for lines whose problem and answer may be lists of equal length: independent questions
// on the same images, one Row each.
absl::StatusOr<std::vector<Row>> ParseQuestions(const std::string& line, const RowOptions& options,
                                                const std::string& directory, ImageStore& images);

}  // namespace ziprl
