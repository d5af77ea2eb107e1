// Data files -> prompts in a fixed, resumable order. Only line places are held in memory; rows are
// read, checked and tokenised when their turn comes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/run_config.h"
#include "proto/types.h"
#include "trainer/data/image_store.h"
#include "trainer/data/row.h"
#include "trainer/data/row_file.h"

namespace ziprl {

class Processor;  // model/processor.h

// Token ids of a prompt's turns, generation prompt added, image placeholders expanded.
using EncodePrompt = std::function<absl::StatusOr<std::vector<int32_t>>(
    const std::vector<Message>& messages, const std::vector<MediaRef>& images)>;

class PromptDataset {
 public:
  struct Config {
    std::vector<std::string> files;  // read one behind the other
    std::string format = "auto";     // of the files: auto | jsonl | json
    RowOptions row;
    int max_prompt_length = 4096;  // tokens; longer prompts are skipped and counted
    bool shuffle = true;
    int64_t seed = 0;  // of the epoch orders
  };

  // Opens and indexes the files. Errors name the file; no rows at all is InvalidArgument.
  static absl::StatusOr<std::unique_ptr<PromptDataset>> Open(Config config, EncodePrompt encode);

  int64_t rows() const { return rows_; }

  // The next prompt; epochs follow one another without end, each in its own order. Errors name file
  // and row. FailedPrecondition when a whole epoch held no prompt short enough.
  absl::StatusOr<Prompt> Next();

  // The prompt with this id (epoch * rows + place in the epoch's order); nullopt if it is too long.
  absl::StatusOr<std::optional<Prompt>> At(uint64_t id);

  // The id Next looks at first. Seeking to a prompt's id + 1 goes on behind it.
  uint64_t position() const { return position_; }
  void Seek(uint64_t position) { position_ = position; }

  int64_t skipped() const { return skipped_; }  // prompts longer than the limit, so far
  const ImageStore& images() const { return images_; }

 private:
  PromptDataset(Config config, EncodePrompt encode)
      : config_(std::move(config)), encode_(std::move(encode)) {}
  absl::StatusOr<std::optional<Prompt>> Load(int64_t row, uint64_t id);
  absl::StatusOr<std::optional<Prompt>> Build(const RowFile& file, int64_t row_in_file,
                                              uint64_t id);

  Config config_;
  EncodePrompt encode_;
  std::vector<std::unique_ptr<RowFile>> files_;
  int64_t rows_ = 0;
  uint64_t position_ = 0;
  int64_t skipped_ = 0;
  ImageStore images_;
};

// The columns that a run's configuration names.
RowOptions RowOptionsOf(const DataConfig& data);
// A data set of a run's configuration over these files. `processor` must outlive what is returned.
PromptDataset::Config DatasetConfig(const DataConfig& data, std::vector<std::string> files);
EncodePrompt EncodeWith(const Processor& processor);
// data.min_pixels and max_pixels, where they are set, instead of the checkpoint's.
void LimitPixels(const DataConfig& data, Processor& processor);

// One pass over the data in the order of epoch 0, at most `limit` prompts (0 = all): nullopt behind
// the last. `data` must outlive it.
using PromptStream = std::function<absl::StatusOr<std::optional<Prompt>>()>;
PromptStream OnePass(PromptDataset& data, int64_t limit);

}  // namespace ziprl
