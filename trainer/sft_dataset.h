// The rows of supervised fine-tuning in the order they are drawn: entries of sft.files (paths or
// globs) by weight, each one's rows epoch by epoch in a shuffled order. A function of the seed and
// the draw's number alone. No torch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "trainer/batch.h"
#include "trainer/data/image_store.h"
#include "trainer/data/row.h"
#include "trainer/data/row_order.h"
#include "trainer/data/row_set.h"

namespace ziprl {

class SftDataset {
 public:
  // config.sft.files by config.sft.weights (empty: by their numbers of rows). Errors name the file.
  static absl::StatusOr<std::unique_ptr<SftDataset>> Open(const RunConfig& config);

  // The next `count` sequences, those of one image next to each other. Rows longer than
  // data.max_prompt_length + data.max_response_length tokens are skipped and counted. Errors name
  // file and row. Tokenises on `threads` threads.
  absl::StatusOr<std::vector<TrainSequence>> Next(const Model& model, int count, int threads);

  int64_t draws() const { return draws_; }  // rows drawn so far, skipped ones included
  void Seek(int64_t draws);
  int64_t skipped() const { return skipped_; }
  int64_t rows() const;

 private:
  struct Source {  // the files of an entry of sft.files
    std::unique_ptr<RowSet> set;
    int64_t drawn = 0;
    int64_t epoch = -1;  // of `order`
    std::optional<RowOrder> order;
  };
  SftDataset() = default;
  RowSet::Place Draw();
  absl::StatusOr<TrainSequence> Load(const Model& model, const RowSet::Place& place);

  RowOptions options_;
  uint64_t seed_ = 0;
  bool shuffle_ = true;
  int max_tokens_ = 0;
  int64_t window_bytes_ = 0;  // of each source's order
  std::vector<Source> sources_;
  std::vector<double> cumulative_;  // of the weights, ending in 1
  int64_t draws_ = 0, skipped_ = 0;
  ImageStore images_;
};

}  // namespace ziprl
