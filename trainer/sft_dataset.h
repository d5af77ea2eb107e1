// The rows of supervised fine-tuning in the order they are drawn: files by weight, each file's rows
// epoch by epoch in a shuffled order. A function of the seed and the draw's number alone. No torch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "trainer/batch.h"
#include "trainer/data/image_store.h"
#include "trainer/data/row.h"
#include "trainer/data/row_file.h"

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
  struct Place {
    int file = 0;
    int64_t row = 0;
  };
  SftDataset() = default;
  Place Draw();
  absl::StatusOr<TrainSequence> Load(const Model& model, const Place& place);

  RowOptions options_;
  uint64_t seed_ = 0;
  bool shuffle_ = true;
  int max_tokens_ = 0;
  std::vector<std::unique_ptr<RowFile>> files_;
  std::vector<double> cumulative_;  // of the weights, ending in 1
  std::vector<int64_t> drawn_;      // per file
  int64_t draws_ = 0, skipped_ = 0;
  ImageStore images_;
};

}  // namespace ziprl
