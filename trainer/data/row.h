// One row of a data file -> one question. Columns, wherever they come from:
//   EasyR1  problem (one <image> or <video> mark per medium), answer, images, videos;
//   verl    prompt: [{role, content}] with such marks, reward_model.ground_truth, data_source;
//   TRL     messages or prompt (turns or text), image or images, solution. Without any mark or
//           image item the images stand before the first user turn (videos likewise, behind
//           images).
// Media are paths relative to the data file, data URIs, or bytes as {"bytes", "path"}. kind,
// data_source or source group metrics; every other column is kept for the reward functions.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
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
  std::vector<MediaRef> videos;  // the same; of paths, references without bytes
  std::string source, kind;
  std::map<std::string, std::string> extra;  // any other column, as JSON text
};

// Paths are relative to `directory`. Errors name the column (ColumnOf of row_json.h), what was
// given and what is allowed, not the row: the caller knows it.
absl::StatusOr<Row> RowOf(const nlohmann::json& object, const RowOptions& options,
                          const std::string& directory, ImageStore& images);

// The same for rows whose problem and answer may be lists of equal length: independent questions on
// the same images, one Row each.
absl::StatusOr<std::vector<Row>> QuestionsOf(const nlohmann::json& object,
                                             const RowOptions& options,
                                             const std::string& directory, ImageStore& images);

// The row's images and videos in order of appearance.
std::vector<MediaRef> MediaOf(const Row& row);

// Both for a row that is one line of JSON.
absl::StatusOr<Row> ParseRow(const std::string& line, const RowOptions& options,
                             const std::string& directory, ImageStore& images);
absl::StatusOr<std::vector<Row>> ParseQuestions(const std::string& line, const RowOptions& options,
                                                const std::string& directory, ImageStore& images);

}  // namespace ziprl
