#include "trainer/data/prompt_dataset.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "model/processor.h"
#include "trainer/data/epoch_order.h"

namespace ziprl {
namespace {

// "data/test.jsonl" -> "test": the source of rows that name none.
std::string StemOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  return name.substr(0, name.find('.'));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PromptDataset>> PromptDataset::Open(Config config,
                                                                   EncodePrompt encode) {
  std::unique_ptr<PromptDataset> data(new PromptDataset(std::move(config), std::move(encode)));
  for (const std::string& path : data->config_.files) {
    ZIPRL_ASSIGN_OR_RETURN(std::unique_ptr<RowFile> file,
                           RowFile::Open(path, data->config_.format));
    if (file->rows() == 0) return absl::InvalidArgumentError(path + ": holds no rows");
    data->rows_ += file->rows();
    data->files_.push_back(std::move(file));
  }
  if (data->rows_ == 0) return absl::InvalidArgumentError("no data files are given");
  return data;
}

absl::StatusOr<Prompt> PromptDataset::Next() {
  for (int64_t looked_at = 0; looked_at < rows_; ++looked_at) {
    ZIPRL_ASSIGN_OR_RETURN(std::optional<Prompt> prompt, At(position_));
    ++position_;
    if (prompt.has_value()) return *std::move(prompt);
    ++skipped_;
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("none of %d rows has a prompt within data.max_prompt_length=%d tokens", rows_,
                      config_.max_prompt_length));
}

absl::StatusOr<std::optional<Prompt>> PromptDataset::At(uint64_t id) {
  const int64_t epoch = static_cast<int64_t>(id / static_cast<uint64_t>(rows_));
  int64_t row = static_cast<int64_t>(id % static_cast<uint64_t>(rows_));
  if (config_.shuffle) row = EpochOrder(rows_, config_.seed, epoch).RowAt(row);
  return Load(row, id);
}

absl::StatusOr<std::optional<Prompt>> PromptDataset::Load(int64_t row, uint64_t id) {
  int64_t row_in_file = row;
  size_t f = 0;
  while (row_in_file >= files_[f]->rows()) row_in_file -= files_[f++]->rows();
  absl::StatusOr<std::optional<Prompt>> prompt = Build(*files_[f], row_in_file, id);
  if (!prompt.ok()) return files_[f]->InRow(prompt.status(), row_in_file);
  if (prompt->has_value()) (*prompt)->row = row;
  return prompt;
}

absl::StatusOr<std::optional<Prompt>> PromptDataset::Build(const RowFile& file, int64_t row_in_file,
                                                           uint64_t id) {
  ZIPRL_ASSIGN_OR_RETURN(const nlohmann::json object, file.Read(row_in_file));
  ZIPRL_ASSIGN_OR_RETURN(Row row, RowOf(object, config_.row, DirectoryOf(file.path()), images_));
  ZIPRL_RETURN_IF_ERROR(RefuseVideos(row, config_.row));
  if (row.messages.back().role == "assistant") row.messages.pop_back();  // it is the answer
  if (row.messages.empty()) return absl::InvalidArgumentError("holds no turn before the answer");
  Prompt prompt;
  ZIPRL_ASSIGN_OR_RETURN(prompt.token_ids, encode_(row.messages, row.images));
  if (prompt.token_ids.size() > static_cast<size_t>(config_.max_prompt_length)) return std::nullopt;
  prompt.id = id;
  prompt.images = std::move(row.images);
  prompt.problem = std::move(row.problem);
  prompt.answer = std::move(row.answer);
  prompt.source = row.source.empty() ? StemOf(file.path()) : std::move(row.source);
  prompt.kind = std::move(row.kind);
  prompt.extra = std::move(row.extra);
  return prompt;
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
  return config;
}

EncodePrompt EncodeWith(const Processor& processor) {
  return [&processor](const std::vector<Message>& messages, const std::vector<MediaRef>& images) {
    return processor.PromptIds(messages, images, /*add_generation_prompt=*/true);
  };
}

void LimitPixels(const DataConfig& data, Processor& processor) {
  ImageProcessorConfig& images = processor.mutable_images();
  if (data.min_pixels > 0) images.min_pixels = data.min_pixels;
  if (data.max_pixels > 0) images.max_pixels = data.max_pixels;
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
