// Rows of data files as an HTML page for people: prompts with their images, token counts, answers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/data/prompt_dataset.h"
#include "trainer/data/row.h"

namespace ziprl {

struct RowPreview {
  std::vector<std::string> files;  // paths and globs
  std::string format = "auto";
  RowOptions row;
  EncodePrompt encode;  // may be null; then there are no token counts
  int64_t rows = 20;    // the first ones of all files
};

// The page, whole in itself: images are data URIs, and no text of a row is taken for HTML. A bad
// row shows its error. Errors name the file.
absl::StatusOr<std::string> PreviewPage(const RowPreview& preview);

}  // namespace ziprl
