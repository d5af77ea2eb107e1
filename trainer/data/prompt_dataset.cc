#include "trainer/data/prompt_dataset.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "configs/base/counter_rng.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "model/processor.h"
#include "trainer/data/row_group_cache.h"

namespace ziprl {
namespace {

// "data/test.jsonl" -> "test": the source of rows that name none.
std::string StemOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  return name.substr(0, name.find('.'));
}

constexpr uint32_t kSource = 3;  // keeps the seeds of sources apart from those of row_order.cc

// The units as far as they hold the chosen rows, which ascend.
std::vector<RowFile::Unit> UnitsOf(const std::vector<RowFile::Unit>& units,
                                   const std::vector<int64_t>& chosen) {
  std::vector<RowFile::Unit> out;
  int64_t end = 0;
  auto next = chosen.begin();
  for (const RowFile::Unit& unit : units) {
    end += unit.rows;
    const auto behind = std::lower_bound(next, chosen.end(), end);
    if (behind != next) out.push_back({behind - next, unit.bytes});
    next = behind;
  }
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PromptDataset>> PromptDataset::Open(Config config,
                                                                   EncodePrompt encode) {
  std::unique_ptr<PromptDataset> data(new PromptDataset(std::move(config), std::move(encode)));
  const Config& given = data->config_;
  const auto cache = std::make_shared<RowGroupCache>(given.buffer_bytes);
  if (given.weights.empty()) {
    ZIPRL_RETURN_IF_ERROR(data->AddSource(given.files, cache));
    return data;
  }
  if (given.weights.size() != given.files.size()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d weights for %d data files", given.weights.size(), given.files.size()));
  }
  for (const std::string& entry : given.files) {
    ZIPRL_RETURN_IF_ERROR(data->AddSource({entry}, cache));
  }
  data->mix_.emplace(given.weights, given.seed);
  return data;
}

absl::Status PromptDataset::AddSource(const std::vector<std::string>& entries,
                                      std::shared_ptr<RowGroupCache> cache) {
  Source source;
  ZIPRL_ASSIGN_OR_RETURN(source.set, RowSet::Open(entries, config_.format, config_.row, cache));
  source.units = source.set->units();
  source.rows = source.set->rows();
  source.first_row = rows_;
  const auto number = static_cast<uint64_t>(sources_.size());
  source.seed =
      number == 0
          ? config_.seed
          : static_cast<int64_t>(DeriveSeed(static_cast<uint64_t>(config_.seed), number, kSource));
  if (config_.part == Part::kValidation) {
    ZIPRL_ASSIGN_OR_RETURN(
        source.chosen, HeldOutRows(*source.set, config_.split, ResolveThreads(config_.threads)));
    source.units = UnitsOf(source.units, source.chosen);
    source.rows = static_cast<int64_t>(source.chosen.size());
  }
  rows_ += source.rows;
  sources_.push_back(std::move(source));
  return absl::OkStatus();
}

absl::StatusOr<Prompt> PromptDataset::Next() {
  for (int64_t looked_at = 0; looked_at < rows_; ++looked_at) {
    ZIPRL_ASSIGN_OR_RETURN(Looked looked, LookAt(position_));
    ++position_;
    if (looked.prompt.has_value()) return *std::move(looked.prompt);
    if (looked.too_long) ++skipped_;
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("none of %d rows has a prompt within data.max_prompt_length=%d tokens", rows_,
                      config_.max_prompt_length));
}

absl::StatusOr<std::optional<Prompt>> PromptDataset::At(uint64_t id) {
  ZIPRL_ASSIGN_OR_RETURN(Looked looked, LookAt(id));
  return std::move(looked.prompt);
}

// The row of the source's `number`-th draw.
int64_t PromptDataset::RowOf(Source& source, int64_t number) const {
  int64_t row = number % source.rows;
  if (config_.shuffle) {
    const int64_t epoch = number / source.rows;
    if (source.epoch != epoch) {
      // Half of the buffer, so that draws may go on in one window while another is still used.
      const int64_t window =
          config_.buffer_bytes / 2 / static_cast<int64_t>(std::max<size_t>(1, sources_.size()));
      source.order.emplace(source.units, window, source.seed, epoch);
      source.epoch = epoch;
    }
    row = source.order->RowAt(row);
  }
  return source.chosen.empty() ? row : source.chosen[static_cast<size_t>(row)];
}

absl::StatusOr<PromptDataset::Looked> PromptDataset::LookAt(uint64_t id) {
  const SourceMix::Draw draw =
      mix_.has_value() ? mix_->At(id) : SourceMix::Draw{0, static_cast<int64_t>(id)};
  Source& source = sources_[draw.source];
  const int64_t row = RowOf(source, draw.number);
  const RowSet::Place place = source.set->PlaceOf(row);
  absl::StatusOr<Looked> looked = Build(place);
  if (!looked.ok()) return place.file->InRow(looked.status(), place.row);
  if (looked->prompt.has_value()) {
    looked->prompt->id = id;
    looked->prompt->row = source.first_row + row;
  }
  return looked;
}

absl::StatusOr<PromptDataset::Looked> PromptDataset::Build(const RowSet::Place& place) {
  ZIPRL_ASSIGN_OR_RETURN(const nlohmann::json object, place.file->Read(place.row));
  if (config_.part == Part::kTrain) {
    ZIPRL_ASSIGN_OR_RETURN(const bool held_out, IsHeldOut(object, config_.split));
    if (held_out) return Looked();
  }
  const std::string& path = place.file->path();
  ZIPRL_ASSIGN_OR_RETURN(Row row, ziprl::RowOf(object, config_.row, DirectoryOf(path), images_));
  std::vector<MediaRef> media = MediaOf(row);
  if (row.messages.back().role == "assistant") row.messages.pop_back();  // it is the answer
  if (row.messages.empty()) return absl::InvalidArgumentError("holds no turn before the answer");
  Prompt prompt;
  ZIPRL_ASSIGN_OR_RETURN(prompt.token_ids, encode_(row.messages, media));
  if (prompt.token_ids.size() > static_cast<size_t>(config_.max_prompt_length)) {
    return Looked{std::nullopt, /*too_long=*/true};
  }
  prompt.media = std::move(media);
  prompt.problem = std::move(row.problem);
  prompt.answer = std::move(row.answer);
  prompt.source = row.source.empty() ? StemOf(path) : std::move(row.source);
  prompt.kind = std::move(row.kind);
  prompt.extra = std::move(row.extra);
  return Looked{std::move(prompt), false};
}

RowOptions RowOptionsOf(const DataConfig& data) {
  RowOptions row;
  row.prompt_key = data.prompt_key;
  row.answer_key = data.answer_key;
  row.image_key = data.image_key;
  row.video_key = data.video_key;
  row.system_prompt = data.system_prompt;
  row.format_prompt = data.format_prompt;
  return row;
}

PromptDataset::Config DatasetConfig(const DataConfig& data, std::vector<std::string> files) {
  PromptDataset::Config config;
  config.files = std::move(files);
  config.format = data.format;
  config.row = RowOptionsOf(data);
  config.max_prompt_length = data.max_prompt_length;
  config.shuffle = data.shuffle;
  config.seed = data.seed;
  config.buffer_bytes = data.shuffle_buffer_mb << 20;
  config.split = {data.val_fraction, data.val_key.empty() ? data.prompt_key : data.val_key};
  return config;
}

PromptDataset::Config TrainDataConfig(const DataConfig& data) {
  PromptDataset::Config config = DatasetConfig(data, data.train_files);
  config.weights = data.weights;
  if (data.val_fraction > 0) config.part = PromptDataset::Part::kTrain;
  return config;
}

PromptDataset::Config HeldOutDataConfig(const DataConfig& data) {
  PromptDataset::Config config = DatasetConfig(data, data.train_files);
  config.part = PromptDataset::Part::kValidation;
  return config;
}

int64_t TrainRows(const DataConfig& data, int64_t rows) {
  return std::llround(static_cast<double>(rows) * (1 - data.val_fraction));
}

EncodePrompt EncodeWith(const Processor& processor) {
  return [&processor](const std::vector<Message>& messages, const std::vector<MediaRef>& media) {
    return processor.PromptIds(messages, media, /*add_generation_prompt=*/true);
  };
}

void LimitPixels(const DataConfig& data, Processor& processor) {
  ImageProcessorConfig& images = processor.mutable_media().image;
  if (data.min_pixels > 0) images.min_pixels = data.min_pixels;
  if (data.max_pixels > 0) images.max_pixels = data.max_pixels;
  VideoProcessorConfig& videos = processor.mutable_media().video;
  if (data.video_min_pixels > 0) videos.frame.min_pixels = data.video_min_pixels;
  if (data.video_max_pixels > 0) videos.frame.max_pixels = data.video_max_pixels;
  if (data.video_fps > 0) {
    videos.fps = data.video_fps;
    videos.num_frames = 0;
  }
  if (data.video_min_frames > 0) videos.min_frames = data.video_min_frames;
  if (data.video_max_frames > 0) videos.max_frames = data.video_max_frames;
}

PromptStream OnePass(PromptDataset& data, int64_t limit) {
  return [&data, limit, next = uint64_t{0},
          given = int64_t{0}]() mutable -> absl::StatusOr<std::optional<Prompt>> {
    while (next < static_cast<uint64_t>(data.rows()) && (limit == 0 || given < limit)) {
      ZIPRL_ASSIGN_OR_RETURN(std::optional<Prompt> prompt, data.At(next++));
      if (!prompt.has_value()) continue;
      ++given;
      return prompt;
    }
    return std::nullopt;
  };
}

}  // namespace ziprl
