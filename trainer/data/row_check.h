// Every row of data files, checked: columns, media, and with a model the prompt. Finds all bad rows
// rather than the first.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/data/prompt_dataset.h"
#include "trainer/data/row.h"

namespace ziprl {

struct BadRow {
  std::string file;
  int64_t row = 0;     // from 1; 0 where the file itself is bad
  int64_t line = 0;    // on which the row begins, from 1; 0 in Parquet
  std::string column;  // empty where the error is not about one
  std::string reason;
};

// One JSON object: file, row, line, column, reason; null where there is none.
std::string BadRowJson(const BadRow& bad);

struct RowCheck {
  std::vector<std::string> files;  // paths and globs
  std::string format = "auto";
  RowOptions row;
  bool questions = false;     // rows of sft files: lists of questions are allowed
  EncodePrompt encode;        // may be null; then prompts are not tokenised
  int max_prompt_length = 0;  // tokens; longer prompts are counted, not bad
  int threads = 1;
  std::function<void(const BadRow&)> on_bad;                    // in the order of the rows
  std::function<void(int64_t done, int64_t rows)> on_progress;  // of all files; may be null
};

struct RowCheckSummary {
  int64_t files = 0, rows = 0, bad = 0, too_long = 0;
};

// Images and videos are decoded, each content once in a while. An error only for what has nothing
// to do with the data: no files are named.
absl::StatusOr<RowCheckSummary> CheckRows(const RowCheck& check);

}  // namespace ziprl
