// Importer of the easy-VQA data set (PyPI `easy-vqa`, MIT): 64x64 PNGs with one shape each, and
// questions. The only place that knows this data set. Rows come out in the project's own JSONL
// columns.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ziprl {

struct EasyVqaRow {
  std::string question, answer;
  int64_t image = 0;
  std::string kind;  // shape, color, yesno_{shape,color}[_negated]
};

// What the questions of one image tell about it; empty where they leave it open.
struct EasyVqaFacts {
  std::string shape, color;
};

// The data set's words, and the one that a question asks about (empty if none).
const std::vector<std::string>& EasyVqaShapes();
const std::vector<std::string>& EasyVqaColors();
std::string EasyVqaShapeIn(const std::string& question);
std::string EasyVqaColorIn(const std::string& question);
// An image's path relative to the imported folder.
std::string EasyVqaImagePath(const std::string& split, int64_t image);

// questions.json of one split: [[question, answer, image], ...].
absl::StatusOr<std::vector<EasyVqaRow>> ReadEasyVqa(const std::string& split_dir);

// Within each cell {negated or not} x {about shape, about color} keeps as many yes as no; what goes
// is drawn by counter-based random numbers (SPARSE_GRPO section 3: the text shortcut).
std::vector<EasyVqaRow> BalanceYesNo(const std::vector<EasyVqaRow>& rows, uint64_t seed);

// Facts of every image, deduced from the given rows alone.
std::map<int64_t, EasyVqaFacts> DeduceFacts(const std::vector<EasyVqaRow>& rows);

struct EasyVqaImport {
  std::string from;  // the package's data folder (train/ and test/ inside)
  std::string out;   // new folder: train.jsonl, test.jsonl, images/
  uint64_t seed = 0;
  bool warm_start = false;  // also warm_start.jsonl, the curriculum for sft
};
absl::Status ImportEasyVqa(const EasyVqaImport& options);

}  // namespace ziprl
