#include "trainer/benchmarks/benchmark_data.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/data/epoch_order.h"
#include "trainer/data/media_column.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

constexpr int64_t kRowsAtATime = 32;      // of files in which any row can be read by itself
constexpr size_t kLongestReference = 64;  // a shorter image is the id of the row that has it

absl::StatusOr<std::string> FirstFile(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (access(path.c_str(), R_OK) == 0) return path;
  }
  return absl::NotFoundError(
      absl::StrFormat("found none of the files %s", absl::StrJoin(paths, ", ")));
}

// Of the questions' usual tags the one that their accuracy is grouped by.
std::string KindOf(const Benchmark& benchmark, const BenchmarkItem& item) {
  for (const char* tag : {"category", "split", "duration"}) {
    if (!item.tag(tag).empty()) return absl::StrCat(benchmark.info().name, "/", item.tag(tag));
  }
  return benchmark.info().name;
}

// Element `place.element` of a list, which Parquet has as such and a table as text.
absl::StatusOr<nlohmann::json> ElementOf(const nlohmann::json& value, const MediaPlace& place) {
  const auto element = static_cast<size_t>(std::max(0, place.element));
  if (value.is_array()) {
    if (element < value.size()) return value[element];
  } else if (value.is_string()) {
    ZIPRL_ASSIGN_OR_RETURN(std::vector<std::string> texts,
                           TextsOf({{place.column, value}}, {place.column}));
    if (element < texts.size()) return nlohmann::json(std::move(texts[element]));
  } else if (element == 0) {
    return value;
  }
  return BadColumn(place.column, "column '%s' holds no image number %d", place.column, element + 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<BenchmarkData>> BenchmarkData::Open(const Benchmark& benchmark,
                                                                   Config config,
                                                                   EncodePrompt encode) {
  std::unique_ptr<BenchmarkData> data(
      new BenchmarkData(benchmark, std::move(config), std::move(encode)));
  ZIPRL_ASSIGN_OR_RETURN(data->files_, benchmark.Open(data->config_.folder));
  ZIPRL_RETURN_IF_ERROR(data->ReadItems());
  ZIPRL_RETURN_IF_ERROR(data->CheckGroups());
  ZIPRL_RETURN_IF_ERROR(
      data->PromptOf(data->asked_[0]).status());  // media are where they should be
  return data;
}

absl::Status BenchmarkData::ReadItems() {
  for (const std::unique_ptr<RowFile>& file : files_) {
    int64_t begin = 0;
    for (const RowFile::Unit& unit : file->Units()) {
      const int64_t end = begin + unit.rows;
      const int64_t step = unit.bytes > 0 ? unit.rows : kRowsAtATime;
      for (; begin < end; begin += step) {
        const int64_t count = std::min(step, end - begin);
        RowFile::Rows rows = file->ReadMany(begin, count, benchmark_.info().columns);
        for (int64_t i = 0; i < count; ++i) {
          ZIPRL_RETURN_IF_ERROR(
              AddItem(std::move(rows[static_cast<size_t>(i)]), {file.get(), begin + i}));
        }
      }
      begin = end;
    }
  }
  if (!items_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: %s holds no row", benchmark_.info().name, first_file()));
}

absl::Status BenchmarkData::AddItem(absl::StatusOr<nlohmann::json> row, const Place& place) {
  if (!row.ok()) return place.file->InRow(row.status(), place.row);
  absl::StatusOr<BenchmarkItem> item = benchmark_.Read(*row, config_.folder, *place.file);
  if (!item.ok()) return place.file->InRow(item.status(), place.row);
  if (item->id.empty()) item->id = absl::StrCat(items_.size());
  if (item->group.empty()) item->group = item->id;
  item->content.clear();  // made again when the question's turn comes
  item->images.clear();
  item->videos.clear();
  const auto [known, is_new] = by_id_.try_emplace(item->id, items_.size());
  if (!is_new) {
    const Place& first = places_[known->second];
    return place.file->InRow(
        absl::InvalidArgumentError(absl::StrFormat("id '%s' is that of row %d of %s too", item->id,
                                                   first.row + 1, first.file->path())),
        place.row);
  }
  items_.push_back(*std::move(item));
  places_.push_back(place);
  return absl::OkStatus();
}

// Also decides which items are asked.
absl::Status BenchmarkData::CheckGroups() {
  std::map<std::string, size_t> numbers;
  std::vector<std::vector<size_t>> groups;
  size_t largest = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    const auto [number, is_new] = numbers.try_emplace(items_[i].group, groups.size());
    if (is_new) groups.emplace_back();
    groups[number->second].push_back(i);
    largest = std::max(largest, groups[number->second].size());
  }
  for (const std::vector<size_t>& group : groups) {
    std::vector<const BenchmarkItem*> members;
    for (size_t i : group) members.push_back(&items_[i]);
    const absl::Status whole = benchmark_.CheckGroup(members, largest);
    if (!whole.ok()) return places_[group[0]].file->InRow(whole, places_[group[0]].row);
  }
  const auto count = static_cast<int64_t>(groups.size());
  if (config_.limit == 0 || config_.limit >= count) {
    for (size_t i = 0; i < items_.size(); ++i) asked_.push_back(i);
    return absl::OkStatus();
  }
  const EpochOrder order(count, /*seed=*/0, /*epoch=*/0);
  for (int64_t place = 0; place < config_.limit; ++place) {
    const std::vector<size_t>& group = groups[static_cast<size_t>(order.RowAt(place))];
    asked_.insert(asked_.end(), group.begin(), group.end());
  }
  return absl::OkStatus();
}

PromptStream BenchmarkData::OnePass() {
  return [this, next = size_t{0}]() mutable -> absl::StatusOr<std::optional<Prompt>> {
    if (next == asked_.size()) return std::nullopt;
    ZIPRL_ASSIGN_OR_RETURN(Prompt prompt, PromptOf(asked_[next++]));
    return prompt;
  };
}

absl::StatusOr<Prompt> BenchmarkData::PromptOf(size_t item) {
  const Place& place = places_[item];
  absl::StatusOr<Prompt> prompt = Build(item, place);
  if (!prompt.ok()) return place.file->InRow(prompt.status(), place.row);
  return prompt;
}

absl::StatusOr<Prompt> BenchmarkData::Build(size_t item, const Place& place) {
  ZIPRL_ASSIGN_OR_RETURN(const nlohmann::json object, place.file->Read(place.row));
  ZIPRL_ASSIGN_OR_RETURN(BenchmarkItem question,
                         benchmark_.Read(object, config_.folder, *place.file));
  Row row;
  for (const MediaPlace& image : question.images) {
    ZIPRL_ASSIGN_OR_RETURN(MediaRef media, ReadImage(image, object, *place.file));
    row.images.push_back(std::move(media));
  }
  for (const MediaPlace& video : question.videos) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string path, FirstFile(video.paths));
    ZIPRL_ASSIGN_OR_RETURN(MediaRef media, ReadVideoValue(path, "", images_));
    row.videos.push_back(std::move(media));
  }
  if (!config_.system_prompt.empty()) {
    row.messages.push_back({"system", {{ContentItem::Kind::kText, config_.system_prompt}}});
  }
  if (!config_.format_prompt.empty()) {
    question.content.push_back({ContentItem::Kind::kText, config_.format_prompt});
  }
  row.messages.push_back({"user", std::move(question.content)});
  std::vector<MediaRef> media = MediaOf(row);
  Prompt prompt;
  ZIPRL_ASSIGN_OR_RETURN(prompt.token_ids, encode_(row.messages, media));
  if (prompt.token_ids.size() > static_cast<size_t>(config_.max_prompt_length)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the prompt has %d tokens, data.max_prompt_length is %d; a benchmark "
                        "leaves no question out",
                        prompt.token_ids.size(), config_.max_prompt_length));
  }
  prompt.id = item;
  prompt.row = static_cast<int64_t>(item);
  prompt.media = std::move(media);
  prompt.problem = std::move(question.question);
  prompt.answer = std::move(question.answer);
  prompt.source = benchmark_.info().name;
  prompt.kind = KindOf(benchmark_, items_[item]);
  prompt.extra["id"] = JsonText(items_[item].id);
  return prompt;
}

absl::StatusOr<MediaRef> BenchmarkData::ReadImage(const MediaPlace& place,
                                                  const nlohmann::json& row, const RowFile& file) {
  if (place.column.empty()) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string path, FirstFile(place.paths));
    return images_.FromFile(path);
  }
  const nlohmann::json* value = FindValue(row, place.column);
  if (value == nullptr) return TextOf(row, {place.column}).status();  // which names the columns
  nlohmann::json image = *value;
  if (place.element >= 0) {
    ZIPRL_ASSIGN_OR_RETURN(image, ElementOf(*value, place));
  }
  if (image.is_string() && image.get_ref<const std::string&>().size() <= kLongestReference) {
    const auto other = by_id_.find(image.get_ref<const std::string&>());
    if (other != by_id_.end()) {
      const Place& at = places_[other->second];
      ZIPRL_ASSIGN_OR_RETURN(const nlohmann::json holder, at.file->Read(at.row));
      const nlohmann::json* held = FindValue(holder, place.column);
      if (held != nullptr) image = *held;
    }
  }
  absl::StatusOr<MediaRef> media = ReadImageValue(image, DirectoryOf(file.path()), images_);
  if (media.ok()) return media;
  return AboutColumn(place.column, absl::Status(media.status().code(),
                                                absl::StrFormat("column '%s': %s", place.column,
                                                                media.status().message())));
}

}  // namespace ziprl
