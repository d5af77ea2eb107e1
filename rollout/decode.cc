#include "rollout/decode.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "rollout/host_tensor.h"

namespace ziprl {
namespace {

constexpr int64_t kBatchSamples = 64;
constexpr int64_t kBatchTokens = 32768;  // prompt tokens over all samples

// Sequences in tiles by slot. Each takes the first tile whose slot is free.
Rows TileRows(const std::vector<Sequence*>& sequences) {
  Rows rows;
  for (Sequence* sequence : sequences) {
    size_t place = static_cast<size_t>(sequence->out.index) % kDecodeTileRows;
    while (place < rows.size() && rows[place] != nullptr) place += kDecodeTileRows;
    if (place >= rows.size()) rows.resize(rows.size() + kDecodeTileRows, nullptr);
    rows[place] = sequence;
  }
  return rows;
}

at::Tensor InPlaces(const std::vector<Sequence*>& sequences, const Rows& rows,
                    const at::Tensor& last_rows) {
  std::vector<int64_t> place;
  for (Sequence* sequence : sequences) {
    place.push_back(std::find(rows.begin(), rows.end(), sequence) - rows.begin());
  }
  const at::Tensor index = ToDevice(place, Device{last_rows.device(), last_rows.scalar_type()});
  return at::zeros({static_cast<int64_t>(rows.size()), last_rows.size(1)}, last_rows.options())
      .index_copy_(0, index, last_rows);
}

}  // namespace

std::unique_ptr<Decoder> MakeDecoder(const EngineContext& context) {
  return context.floats != nullptr ? MakeFloatDecoder(context) : MakeTensorDecoder(context);
}

DecodeBatch::DecodeBatch(const EngineContext& context)
    : context_(context),
      tiles_(context.config->deterministic && context.floats == nullptr),
      decoder_(MakeDecoder(context)),
      sampler_(context) {}

bool DecodeBatch::HasRoom(int64_t samples, int64_t prompt_tokens) const {
  if (rows_.empty()) return true;
  if (tiles_) return false;
  int64_t tokens = samples * prompt_tokens;
  for (const Sequence* sequence : rows_) tokens += sequence->prompt_length;
  return static_cast<int64_t>(rows_.size()) + samples <= kBatchSamples && tokens <= kBatchTokens;
}

void DecodeBatch::Join(const std::vector<Sequence*>& sequences, const at::Tensor& last_rows) {
  const Rows rows = tiles_ ? TileRows(sequences) : sequences;
  const at::Tensor x = tiles_ ? InPlaces(sequences, rows, last_rows) : last_rows;
  sampler_.Next(decoder_->Logits(x), rows);
  rows_.insert(rows_.end(), rows.begin(), rows.end());
  DropFinished();
}

void DecodeBatch::Step() {
  sampler_.Next(decoder_->Step(rows_), rows_);
  DropFinished();
}

// In tiles a slot stays empty until its whole tile is.
void DecodeBatch::DropFinished() {
  const size_t tile = tiles_ ? kDecodeTileRows : 1;
  size_t left = 0;
  for (size_t begin = 0; begin < rows_.size(); begin += tile) {
    bool active = false;
    for (size_t r = begin; r < begin + tile; ++r) {
      if (rows_[r] != nullptr && rows_[r]->done) rows_[r] = nullptr;
      active = active || rows_[r] != nullptr;
    }
    if (!active) continue;
    std::copy_n(rows_.begin() + begin, tile, rows_.begin() + left);
    left += tile;
  }
  rows_.resize(left);
}

}  // namespace ziprl
