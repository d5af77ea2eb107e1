#include "trainer/sft_dataset.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/counter_rng.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "model/model.h"
#include "trainer/data/prompt_dataset.h"
#include "trainer/data/row_group_cache.h"
#include "trainer/sft_sequence.h"
#include "trainer/shared_prefix.h"

namespace ziprl {
namespace {

absl::StatusOr<std::vector<double>> Cumulative(const SftConfig& sft,
                                               const std::vector<double>& sizes) {
  const std::vector<double>& weights = sft.weights.empty() ? sizes : sft.weights;
  if (weights.size() != sizes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("sft.weights has ", weights.size(),
                                                   " values for ", sizes.size(), " sft.files"));
  }
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> cumulative;
  double sum = 0;
  for (double weight : weights) {
    if (!(weight >= 0) || !(total > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("sft.weights holds ", weight, "; 0 or more, and not all 0, is allowed"));
    }
    sum += weight;
    cumulative.push_back(sum / total);
  }
  return cumulative;
}

uint64_t MediumKey(const TrainSequence& sequence) {
  return sequence.media.empty() ? 0 : sequence.media[0].content_hash;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SftDataset>> SftDataset::Open(const RunConfig& config) {
  if (config.sft.files.empty()) return absl::InvalidArgumentError("sft.files is empty");
  auto out = std::unique_ptr<SftDataset>(new SftDataset());
  const DataConfig& data = config.data;
  out->options_ = RowOptionsOf(data);
  out->options_.require_answer = false;  // dialogues bring their own assistant turns
  out->seed_ = static_cast<uint64_t>(data.seed) ^ DeriveSeed(config.trainer.seed, 0, 0);
  out->shuffle_ = data.shuffle;
  out->max_tokens_ = data.max_prompt_length + data.max_response_length;
  const auto cache = std::make_shared<RowGroupCache>(data.shuffle_buffer_mb << 20);
  out->window_bytes_ = cache->limit() / 2 / static_cast<int64_t>(config.sft.files.size());
  std::vector<double> sizes;
  for (const std::string& entry : config.sft.files) {
    Source source;
    ZIPRL_ASSIGN_OR_RETURN(source.set, RowSet::Open({entry}, data.format, out->options_, cache));
    sizes.push_back(static_cast<double>(source.set->rows()));
    out->sources_.push_back(std::move(source));
  }
  ZIPRL_ASSIGN_OR_RETURN(out->cumulative_, Cumulative(config.sft, sizes));
  return out;
}

int64_t SftDataset::rows() const {
  int64_t total = 0;
  for (const Source& source : sources_) total += source.set->rows();
  return total;
}

RowSet::Place SftDataset::Draw() {
  const auto number = static_cast<uint64_t>(draws_++);
  const double u = PhiloxUniform53(seed_, static_cast<uint32_t>(number),
                                   static_cast<uint32_t>(number >> 32), 0, RngStream::kSft);
  size_t drawn_from = 0;
  while (drawn_from + 1 < sources_.size() && u >= cumulative_[drawn_from]) ++drawn_from;
  Source& source = sources_[drawn_from];
  const int64_t rows = source.set->rows(), drawn = source.drawn++;
  if (!shuffle_) return source.set->PlaceOf(drawn % rows);
  if (source.epoch != drawn / rows) {
    const uint64_t seed = DeriveSeed(seed_, drawn_from, 1);
    source.epoch = drawn / rows;
    source.order.emplace(source.set->units(), window_bytes_, static_cast<int64_t>(seed),
                         source.epoch);
  }
  return source.set->PlaceOf(source.order->RowAt(drawn % rows));
}

void SftDataset::Seek(int64_t draws) {
  draws_ = 0;
  for (Source& source : sources_) source.drawn = 0;
  while (draws_ < draws) Draw();
}

absl::StatusOr<TrainSequence> SftDataset::Load(const Model& model, const RowSet::Place& place) {
  const RowFile& file = *place.file;
  const auto in_row = [&](const absl::Status& status) { return file.InRow(status, place.row); };
  const absl::StatusOr<nlohmann::json> object = file.Read(place.row);
  if (!object.ok()) return in_row(object.status());
  absl::StatusOr<std::vector<Row>> questions =
      QuestionsOf(*object, options_, DirectoryOf(file.path()), images_);
  if (!questions.ok()) return in_row(questions.status());
  std::vector<TrainSequence> sequences;
  for (Row& row : *questions) {
    if (row.messages.back().role != "assistant" && !row.answer.empty()) {
      row.messages.push_back({"assistant", {{ContentItem::Kind::kText, row.answer}}});
    }
    absl::StatusOr<TrainSequence> sequence = DialogueSequence(model, row.messages, MediaOf(row));
    if (!sequence.ok()) return in_row(sequence.status());
    sequences.push_back(*std::move(sequence));
  }
  if (sequences.size() == 1) return std::move(sequences[0]);
  return SharePrefix(sequences, model.arch);
}

absl::StatusOr<std::vector<TrainSequence>> SftDataset::Next(const Model& model, int count,
                                                            int threads) {
  std::vector<TrainSequence> out;
  int64_t fruitless = 0;
  while (static_cast<int>(out.size()) < count) {
    std::vector<RowSet::Place> places;
    for (int i = static_cast<int>(out.size()); i < count; ++i) places.push_back(Draw());
    std::vector<absl::StatusOr<TrainSequence>> loaded(places.size(), TrainSequence());
    ParallelUnits(static_cast<int>(places.size()), threads,
                  [&](int i, int) { loaded[i] = Load(model, places[i]); });
    for (absl::StatusOr<TrainSequence>& sequence : loaded) {
      ZIPRL_RETURN_IF_ERROR(sequence.status());
      if (sequence->num_rows() + 1 <= max_tokens_) {
        out.push_back(*std::move(sequence));
        fruitless = 0;
      } else if (++skipped_; ++fruitless > rows()) {
        return absl::FailedPreconditionError(
            absl::StrCat("no row of sft.files has at most ", max_tokens_,
                         " tokens (data.max_prompt_length + data.max_response_length)"));
      }
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const TrainSequence& a, const TrainSequence& b) {
    return MediumKey(a) < MediumKey(b);
  });
  for (size_t i = 0; i < out.size(); ++i) {
    const bool same = i > 0 && MediumKey(out[i]) != 0 && MediumKey(out[i]) == MediumKey(out[i - 1]);
    out[i].group = same ? out[i - 1].group : static_cast<int>(i);
  }
  return out;
}

}  // namespace ziprl
