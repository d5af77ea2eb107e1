// A public benchmark: how the rows of its release become questions, and its published rules of
// scoring. Implementations are pure and thread-safe; each is a file pair of this folder and a line
// in registry.cc.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/chat_template.h"
#include "trainer/data/row_file.h"
#include "trainer/figure.h"

namespace ziprl {

// Where an image or video of a question is found once it is needed.
struct MediaPlace {
  std::string column;              // of the row; "" = a file
  int element = -1;                // of a list in that column
  std::vector<std::string> paths;  // of a file: the first of these that exists
};

struct BenchmarkItem {
  std::string id;     // unique within the benchmark
  std::string group;  // shared by items that are judged together; "" = judged alone
  std::string question;
  std::vector<std::string> options;        // the first is A; none where it is no multiple choice
  std::string answer;                      // as the release writes it
  std::vector<std::string> answers;        // where there are several
  std::vector<ContentItem> content;        // the user's turn
  std::vector<MediaPlace> images, videos;  // in the order of the content's marks
  // What the summary and VLMEvalKit's evaluation group by, under VLMEvalKit's column names.
  std::vector<std::pair<std::string, std::string>> tags;

  const std::string& tag(const std::string& name) const;  // "" where there is none
};

// An item and what one run's response to it scored, in [0, 1].
struct ScoredItem {
  const BenchmarkItem* item = nullptr;
  double score = 0;
};

struct BenchmarkInfo {
  std::string name;  // in eval.benchmarks
  // Below the folder, tried in this order: all files that match the first pattern with a match.
  std::vector<std::string> files;
  // Columns without media, in any layout: what is read when the benchmark is opened.
  std::vector<std::string> columns;
  std::string vlmevalkit, lmms_eval;  // what these call it
};

class Benchmark {
 public:
  virtual ~Benchmark() = default;
  virtual const BenchmarkInfo& info() const = 0;

  // The files with the rows. NotFound names folder and patterns.
  virtual absl::StatusOr<std::vector<std::unique_ptr<RowFile>>> Open(
      const std::string& folder) const;

  // A row of `file`. Columns outside info().columns may be missing. InvalidArgument names the
  // column and the columns there are.
  virtual absl::StatusOr<BenchmarkItem> Read(const nlohmann::json& row, const std::string& folder,
                                             const RowFile& file) const = 0;

  // Whether the items of a group are all there; InvalidArgument says what is missing. `largest`:
  // items of the largest group.
  virtual absl::Status CheckGroup(absl::Span<const BenchmarkItem* const> group,
                                  size_t largest) const;

  virtual double Score(const BenchmarkItem& item, const std::string& response) const = 0;
  // The first figure stands for the whole.
  virtual std::vector<Figure> Summarise(absl::Span<const ScoredItem> items) const = 0;

  // VLMEvalKit's name of the data set in this file, where a release has several.
  virtual std::string VlmEvalKitName(const std::string& path) const;
};

}  // namespace ziprl
