// Decode steps by tensor operations: any device and type.
#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>

#include "kernels/decode_attention.h"
#include "model/language_model.h"
#include "rollout/decoder.h"
#include "rollout/host_tensor.h"
#include "rollout/recompress.h"

namespace ziprl {
namespace {

// The caches of all layers as the kernel takes them, the token of this step included; brought to
// the device at once. Lists of pages: [layers][R] pointers to lists, followed by the pages.
class CacheTables {
 public:
  CacheTables(const Rows& rows, int layers, const Device& device) : rows_(rows.size()) {
    std::vector<int32_t> lengths(layers * rows_, 0);
    std::vector<int64_t> words(layers * rows_, 0), begin(layers * rows_, 0);
    for (size_t i = 0; i < begin.size(); ++i) {
      begin[i] = static_cast<int64_t>(words.size());
      Sequence* sequence = rows[i % rows_];
      if (sequence == nullptr) continue;
      LayerCache& cache = sequence->layers[i / rows_].cache;
      cache.ReserveRow(device);
      for (const float* page : cache.pages()) words.push_back(reinterpret_cast<int64_t>(page));
      lengths[i] = cache.length() + 1;
    }
    const auto count = static_cast<int64_t>(words.size());
    const auto options = at::TensorOptions().dtype(at::kLong);
    words_ = at::empty({count}, options.device(device.device));
    const int64_t* base = words_.const_data_ptr<int64_t>();
    for (size_t i = 0; i < begin.size(); ++i) {
      words[i] = reinterpret_cast<int64_t>(base + begin[i]);
    }
    words_.copy_(at::from_blob(words.data(), {count}, options));
    lengths_ = ToDevice(lengths, device);
  }

  float* const* const* lists(int layer) const {
    return reinterpret_cast<float* const* const*>(words_.const_data_ptr<int64_t>()) + layer * rows_;
  }
  const int32_t* lengths(int layer) const {
    return lengths_.const_data_ptr<int32_t>() + layer * rows_;
  }

 private:
  const size_t rows_;
  at::Tensor words_, lengths_;
};

at::Tensor AttendCaches(const EngineContext& context, const CacheTables& caches, int layer,
                        const at::Tensor& q) {
  const Architecture& arch = context.arch();
  const at::Tensor out = at::empty_like(q);  // [R, H, D]
  kernels::DecodeAttentionParams params;
  params.q = q.data_ptr<float>();
  params.pages = caches.lists(layer);
  params.length = caches.lengths(layer);
  params.batch = static_cast<int>(q.size(0));
  params.num_heads = arch.heads;
  params.num_kv_heads = arch.kv_heads;
  params.head_dim = arch.head_dim;
  params.scale = 1.0f / std::sqrt(static_cast<float>(arch.head_dim));
  kernels::DecodeAttention(context.device().backend(), params, out.data_ptr<float>(),
                           CurrentStream(context.device().device));
  return out.reshape({out.size(0), static_cast<int64_t>(arch.heads) * arch.head_dim})
      .to(context.device().dtype);
}

void AppendToCaches(const EngineContext& context, const CacheTables& caches, const Rows& rows,
                    int layer, const Qkv& qkv) {
  const Architecture& arch = context.arch();
  kernels::AppendKvParams params;
  params.k = qkv.k.const_data_ptr<float>();
  params.v = qkv.v.const_data_ptr<float>();
  params.pages = caches.lists(layer);
  params.length = caches.lengths(layer);
  params.batch = static_cast<int>(rows.size());
  params.num_kv_heads = arch.kv_heads;
  params.head_dim = arch.head_dim;
  kernels::AppendKv(context.device().backend(), params, CurrentStream(context.device().device));
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] == nullptr) continue;
    SequenceLayer& state = rows[r]->layers[layer];
    state.cache.CountReservedRow();
    if (RecordsQueries(*context.config, rows[r]->out.p)) {
      state.window.Append(qkv.q, static_cast<int64_t>(r), 1, context.device());
    }
  }
}

Qkv ToFloat(Qkv qkv) {
  for (at::Tensor* tensor : {&qkv.q, &qkv.k, &qkv.v}) {
    *tensor = tensor->to(at::kFloat).contiguous();
  }
  return qkv;
}

// The newest token of every row through all layers: residual rows [R, C].
at::Tensor ForwardStep(const EngineContext& context, const Rows& rows) {
  const Model& model = *context.model;
  std::vector<int32_t> ids(rows.size(), 0), position(rows.size(), 0);
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] == nullptr) continue;
    ids[r] = rows[r]->out.token_ids.back();
    position[r] = rows[r]->next_position + rows[r]->fed;
  }
  at::Tensor x = EmbedTokens(model.arch, model.params, ids, at::Tensor());
  const Rotary rotary = MakeRotary(model.arch, {position, position, position}, model.device);
  const CacheTables caches(rows, model.arch.layers, model.device);
  for (int layer = 0; layer < model.arch.layers; ++layer) {
    const DecoderLayerWeights& weights = context.layers[layer];
    const Qkv qkv = ToFloat(ProjectQkv(model.arch, weights, x, rotary, context.decode));
    AppendToCaches(context, caches, rows, layer, qkv);
    const at::Tensor attention = AttendCaches(context, caches, layer, qkv.q);
    RecompressDue(context, rows, layer);
    x = FinishLayer(model.arch, weights, x, attention, at::Tensor(), context.decode);
  }
  for (Sequence* sequence : rows) {
    if (sequence != nullptr) ++sequence->fed;
  }
  return x;
}

class TensorDecoder : public Decoder {
 public:
  explicit TensorDecoder(const EngineContext& context) : context_(context) {}

  const float* Logits(const at::Tensor& rows) override {
    const Model& model = *context_.model;
    logits_ = Linear(FinalNorm(model.arch, model.params, rows),
                     HeadWeight(model.arch, model.params), at::Tensor(), context_.decode)
                  .to(at::kFloat)
                  .contiguous();
    return logits_.const_data_ptr<float>();
  }

  const float* Step(const Rows& rows) override { return Logits(ForwardStep(context_, rows)); }

 private:
  const EngineContext& context_;
  at::Tensor logits_;
};

}  // namespace

std::unique_ptr<Decoder> MakeTensorDecoder(const EngineContext& context) {
  return std::make_unique<TensorDecoder>(context);
}

}  // namespace ziprl
