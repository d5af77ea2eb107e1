// Data files -> prompts in a fixed, resumable order. Only places are held in memory (of text files)
// and a bounded number of row groups (of Parquet); rows are read, checked and tokenised when their
// turn comes.
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
#include "trainer/data/row_order.h"
#include "trainer/data/row_set.h"
#include "trainer/data/row_split.h"
#include "trainer/data/source_mix.h"

namespace ziprl {

class Processor;      // model/processor.h
class RowGroupCache;  // trainer/data/row_group_cache.h

// Token ids of a prompt's turns, generation prompt added, placeholders of media expanded.
using EncodePrompt = std::function<absl::StatusOr<std::vector<int32_t>>(
    const std::vector<Message>& messages, const std::vector<MediaRef>& media)>;

class PromptDataset {
 public:
  enum class Part { kAll, kTrain, kValidation };  // of the rows, by the split

  struct Config {
    std::vector<std::string> files;  // paths and globs, read one behind the other
    std::vector<double> weights;     // sampling weight per entry of `files`; empty = by their rows
    std::string format = "auto";     // of the files: auto | jsonl | json | parquet | tsv
    RowOptions row;
    Part part = Part::kAll;
    RowSplit split;
    int max_prompt_length = 4096;  // tokens; longer prompts are skipped and counted
    bool shuffle = true;
    int64_t seed = 0;                    // of the epoch orders
    int64_t buffer_bytes = 512LL << 20;  // of decoded row groups (Parquet)
    int threads = 0;                     // that look for the validation rows; 0 = every core
  };

  // Opens and indexes the files. Errors name the file; no rows at all is InvalidArgument.
  static absl::StatusOr<std::unique_ptr<PromptDataset>> Open(Config config, EncodePrompt encode);

  // Of an epoch; those held out for validation count in all parts but kValidation, which has its
  // own alone.
  int64_t rows() const { return rows_; }

  // The next prompt; epochs follow one another without end, each in its own order. Errors name file
  // and row. FailedPrecondition when a whole epoch held no prompt short enough.
  absl::StatusOr<Prompt> Next();

  // The prompt with this id (epoch * rows + place in the epoch's order); nullopt if it is too long
  // or held out.
  absl::StatusOr<std::optional<Prompt>> At(uint64_t id);

  // The id Next looks at first. Seeking to a prompt's id + 1 goes on behind it.
  uint64_t position() const { return position_; }
  void Seek(uint64_t position) { position_ = position; }

  int64_t skipped() const { return skipped_; }  // prompts longer than the limit, so far
  const ImageStore& images() const { return images_; }

 private:
  // Rows with an order of their own: all files, or those of one weighted entry.
  struct Source {
    std::unique_ptr<RowSet> set;
    int64_t first_row = 0;             // in the data set
    int64_t seed = 0;                  // of its epoch orders
    std::vector<RowFile::Unit> units;  // of the rows that are given
    std::vector<int64_t> chosen;       // those rows, where they are not all
    int64_t rows = 0;                  // how many are given in an epoch
    int64_t epoch = -1;                // of `order`
    std::optional<RowOrder> order;
  };
  struct Looked {
    std::optional<Prompt> prompt;
    bool too_long = false;
  };
  PromptDataset(Config config, EncodePrompt encode)
      : config_(std::move(config)), encode_(std::move(encode)) {}
  absl::Status AddSource(const std::vector<std::string>& entries,
                         std::shared_ptr<RowGroupCache> cache);
  int64_t RowOf(Source& source, int64_t number) const;
  absl::StatusOr<Looked> LookAt(uint64_t id);
  absl::StatusOr<Looked> Build(const RowSet::Place& place);

  Config config_;
  EncodePrompt encode_;
  std::vector<Source> sources_;
  std::optional<SourceMix> mix_;  // of weighted sources
  int64_t rows_ = 0;
  uint64_t position_ = 0;
  int64_t skipped_ = 0;
  ImageStore images_;
};

// The columns that a run's configuration names.
RowOptions RowOptionsOf(const DataConfig& data);
// Data sets of a run's configuration: over these files, whatever they are for; the training data;
// and the held-out rows among the training data (data.val_fraction).
PromptDataset::Config DatasetConfig(const DataConfig& data, std::vector<std::string> files);
PromptDataset::Config TrainDataConfig(const DataConfig& data);
PromptDataset::Config HeldOutDataConfig(const DataConfig& data);
// Of `rows`, about how many are trained on in an epoch.
int64_t TrainRows(const DataConfig& data, int64_t rows);

// `processor` must outlive what is returned.
EncodePrompt EncodeWith(const Processor& processor);
// The bounds on pixels and frames that the run's config sets, instead of the checkpoint's.
void LimitPixels(const DataConfig& data, Processor& processor);

// One pass over the data in the order of epoch 0, at most `limit` prompts (0 = all): nullopt behind
// the last. `data` must outlive it.
using PromptStream = std::function<absl::StatusOr<std::optional<Prompt>>()>;
PromptStream OnePass(PromptDataset& data, int64_t limit);

}  // namespace ziprl
