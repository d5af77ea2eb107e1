// A benchmark's release in a folder as a stream of prompts. The rows' texts are held in memory and
// checked when it is opened; images are read when their question's turn comes. Not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/types.h"
#include "trainer/benchmarks/benchmark.h"
#include "trainer/data/image_store.h"
#include "trainer/data/prompt_dataset.h"

namespace ziprl {

class BenchmarkData {
 public:
  struct Config {
    std::string folder;
    std::string system_prompt, format_prompt;  // as in RowOptions
    int max_prompt_length = 4096;              // tokens; a longer prompt is an error
    int64_t limit = 0;  // groups (questions, where they are judged alone), after a fixed shuffle
  };

  // Errors name the folder and what was looked for, or file, row and column. So are an id that
  // occurs twice and a group that is not whole.
  static absl::StatusOr<std::unique_ptr<BenchmarkData>> Open(const Benchmark& benchmark,
                                                             Config config, EncodePrompt encode);

  const Benchmark& benchmark() const { return benchmark_; }
  const std::string& folder() const { return config_.folder; }
  const std::string& first_file() const { return files_[0]->path(); }
  const std::vector<BenchmarkItem>& items() const { return items_; }  // of the whole release
  int64_t questions() const { return static_cast<int64_t>(asked_.size()); }

  // The prompts in their order, once. Prompt.row is the place in items(), extra["id"] the id as
  // JSON text. The data must outlive it.
  PromptStream OnePass();

 private:
  struct Place {
    const RowFile* file = nullptr;
    int64_t row = 0;
  };
  BenchmarkData(const Benchmark& benchmark, Config config, EncodePrompt encode)
      : benchmark_(benchmark), config_(std::move(config)), encode_(std::move(encode)) {}
  absl::Status ReadItems();
  absl::Status AddItem(absl::StatusOr<nlohmann::json> row, const Place& place);
  absl::Status CheckGroups();
  absl::StatusOr<Prompt> PromptOf(size_t item);
  absl::StatusOr<Prompt> Build(size_t item, const Place& place);
  absl::StatusOr<MediaRef> ReadImage(const MediaPlace& place, const nlohmann::json& row,
                                     const RowFile& file);

  const Benchmark& benchmark_;
  const Config config_;
  const EncodePrompt encode_;
  std::vector<std::unique_ptr<RowFile>> files_;
  std::vector<BenchmarkItem> items_;
  std::vector<Place> places_;            // of the items
  std::map<std::string, size_t> by_id_;  // places in items_
  std::vector<size_t> asked_;            // the items that are asked, in their order
  ImageStore images_;
};

}  // namespace ziprl
