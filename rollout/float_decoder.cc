// Decode steps on the CPU: FloatLayers and the attention kernel over memory that is kept from step
// to step.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <cstdint>

#include "kernels/decode_attention.h"
#include "model/decoder_layer.h"
#include "rollout/decoder.h"
#include "rollout/float_layers.h"
#include "rollout/recompress.h"

namespace ziprl {
namespace {

class FloatDecoder : public Decoder {
 public:
  explicit FloatDecoder(const EngineContext& context)
      : context_(context),
        arch_(context.arch()),
        layers_(*context.floats),
        frequencies_(RotaryFrequencies(context.arch())) {}

  const float* Logits(const at::Tensor& rows) override {
    const at::Tensor x = rows.to(c10::kFloat).contiguous();
    Reserve(x.size(0));
    layers_.Logits(x.const_data_ptr<float>(), x.size(0), logits_.data(), space_);
    return logits_.data();
  }

  const float* Step(const Rows& rows) override {
    const auto count = static_cast<int64_t>(rows.size());
    Reserve(count);
    for (int64_t r = 0; r < count; ++r) Begin(r, *rows[r]);
    for (int layer = 0; layer < arch_.layers; ++layer) {
      layers_.Project(layer, x_.data(), count, cos_.data(), sin_.data(),
                      {q_.data(), new_k_.data(), new_v_.data()}, space_);
      for (int64_t r = 0; r < count; ++r) AppendToCaches(layer, r, rows[r]);
      Attend(count);
      RecompressDue(context_, rows, layer);
      layers_.AddAttention(layer, attention_.data(), count, x_.data(), space_);
      layers_.AddMlp(layer, count, x_.data(), space_);
    }
    for (Sequence* sequence : rows) ++sequence->fed;
    layers_.Logits(x_.data(), count, logits_.data(), space_);
    return logits_.data();
  }

 private:
  int64_t QueryWidth() const { return int64_t{arch_.heads} * arch_.head_dim; }
  int64_t KeyWidth() const { return int64_t{arch_.kv_heads} * arch_.head_dim; }

  void Reserve(int64_t rows) {
    if (rows <= capacity_) return;
    capacity_ = rows;
    x_.resize(rows * arch_.hidden);
    for (auto* space : {&cos_, &sin_}) space->resize(rows * arch_.head_dim);
    for (auto* space : {&q_, &attention_}) space->resize(rows * QueryWidth());
    for (auto* space : {&new_k_, &new_v_}) space->resize(rows * KeyWidth());
    logits_.resize(rows * arch_.vocab);
    pages_.resize(rows), length_.resize(rows);
  }

  // Embedding and rotation of the sequence's newest token.
  void Begin(int64_t row, const Sequence& sequence) {
    layers_.Embed(sequence.out.token_ids.back(), x_.data() + row * arch_.hidden);
    const auto position = static_cast<float>(sequence.next_position + sequence.fed);
    const int64_t half = arch_.head_dim / 2, at = row * arch_.head_dim;
    for (int64_t i = 0; i < half; ++i) {
      const float angle = position * frequencies_[i];
      cos_[at + i] = cos_[at + half + i] = std::cos(angle);
      sin_[at + i] = sin_[at + half + i] = std::sin(angle);
    }
  }

  void AppendToCaches(int layer, int64_t row, Sequence* sequence) {
    SequenceLayer& state = sequence->layers[layer];
    state.cache.AppendRow(new_k_.data() + row * KeyWidth(), new_v_.data() + row * KeyWidth());
    if (RecordsQueries(*context_.config, sequence->out.p)) {
      state.window.AppendRow(q_.data() + row * QueryWidth(), arch_.heads, arch_.head_dim);
    }
    pages_[row] = state.cache.pages().data();
    length_[row] = state.cache.length();
  }

  void Attend(int64_t rows) {
    at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
      kernels::DecodeAttentionParams params;
      params.q = q_.data() + begin * QueryWidth();
      params.pages = pages_.data() + begin;
      params.length = length_.data() + begin;
      params.batch = static_cast<int>(end - begin);
      params.num_heads = arch_.heads, params.num_kv_heads = arch_.kv_heads;
      params.head_dim = arch_.head_dim;
      params.scale = 1.0f / std::sqrt(static_cast<float>(arch_.head_dim));
      kernels::DecodeAttention(kernels::Backend::kCpu, params,
                               attention_.data() + begin * QueryWidth(), nullptr);
    });
  }

  const EngineContext& context_;
  const Architecture& arch_;
  const FloatLayers& layers_;
  FloatLayers::Workspace space_;
  const std::vector<float> frequencies_;  // [D / 2]
  int64_t capacity_ = 0;                  // rows that there is room for
  std::vector<float> x_, cos_, sin_, q_, new_k_, new_v_, attention_, logits_;
  std::vector<const float* const*> pages_;  // the rows' caches in the present layer
  std::vector<int32_t> length_;
};

}  // namespace

std::unique_ptr<Decoder> MakeFloatDecoder(const EngineContext& context) {
  return std::make_unique<FloatDecoder>(context);
}

}  // namespace ziprl
