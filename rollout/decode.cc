#include "rollout/decode.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/decode_attention.h"
#include "model/language_model.h"
#include "rollout/host_tensor.h"
#include "rollout/recompress.h"
#include "rollout/sampler.h"

namespace ziprl {
namespace {

// Rows of a step: null for an empty slot.
using Rows = std::vector<Sequence*>;

// Deterministic mode: sequences in tiles by slot. Each takes the first tile whose slot is free.
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

// Finished sequences leave: their row in a batch without tiles; in tiles their slot stays empty
// until the whole tile is.
Rows DropFinished(const EngineContext& context, const Rows& rows) {
  const size_t tile = context.config->deterministic ? kDecodeTileRows : 1;
  Rows left;
  for (size_t begin = 0; begin < rows.size(); begin += tile) {
    Rows part(rows.begin() + begin, rows.begin() + begin + tile);
    bool active = false;
    for (Sequence*& sequence : part) {
      if (sequence != nullptr && sequence->done) sequence = nullptr;
      active = active || sequence != nullptr;
    }
    if (active) left.insert(left.end(), part.begin(), part.end());
  }
  return left;
}

// k, v and lengths of one layer as the kernel takes them.
struct CachePointers {
  std::vector<int64_t> k, v;
  std::vector<int32_t> length;
  at::Tensor k_device, v_device, length_device;

  CachePointers(const Rows& rows, int layer, const Device& device)
      : k(rows.size(), 0), v(rows.size(), 0), length(rows.size(), 0) {
    for (size_t r = 0; r < rows.size(); ++r) {
      if (rows[r] == nullptr) continue;
      const LayerCache& cache = rows[r]->layers[layer].cache;
      k[r] = reinterpret_cast<int64_t>(cache.k_data());
      v[r] = reinterpret_cast<int64_t>(cache.v_data());
      length[r] = cache.length();
    }
    k_device = ToDevice(k, device);
    v_device = ToDevice(v, device);
    length_device = ToDevice(length, device);
  }
};

at::Tensor AttendCaches(const EngineContext& context, const Rows& rows, int layer,
                        const at::Tensor& q) {
  const Architecture& arch = context.arch();
  const CachePointers pointers(rows, layer, context.device());
  const at::Tensor out = at::empty_like(q);  // [R, H, D]
  kernels::DecodeAttentionParams params;
  params.q = q.data_ptr<float>();
  params.k = reinterpret_cast<const float* const*>(pointers.k_device.data_ptr<int64_t>());
  params.v = reinterpret_cast<const float* const*>(pointers.v_device.data_ptr<int64_t>());
  params.length = pointers.length_device.data_ptr<int32_t>();
  params.batch = static_cast<int>(rows.size());
  params.num_heads = arch.heads;
  params.num_kv_heads = arch.kv_heads;
  params.head_dim = arch.head_dim;
  params.scale = 1.0f / std::sqrt(static_cast<float>(arch.head_dim));
  kernels::DecodeAttention(context.device().backend(), params, out.data_ptr<float>(),
                           CurrentStream(context.device().device));
  return out.reshape({out.size(0), static_cast<int64_t>(arch.heads) * arch.head_dim})
      .to(context.device().dtype);
}

void AppendToCaches(const EngineContext& context, const Rows& rows, int layer, const Qkv& qkv) {
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] == nullptr) continue;
    SequenceLayer& state = rows[r]->layers[layer];
    const int64_t row = static_cast<int64_t>(r);
    state.cache.Append(qkv.k, qkv.v, row, 1, context.device());
    if (RecordsQueries(*context.config, rows[r]->out.p)) {
      state.window.Append(qkv.q, row, 1, context.device());
    }
  }
}

void RecompressDue(const EngineContext& context, const Rows& rows, int layer) {
  for (Sequence* sequence : rows) {
    if (sequence == nullptr || !RecompressionIsDue(*context.config, sequence->fed + 1)) continue;
    auto& events = sequence->out.kept.events;
    if (layer == 0) events.emplace_back(context.arch().layers);
    events.back()[layer] = Recompress(context, sequence->out.p, layer, &sequence->layers[layer]);
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
  for (int layer = 0; layer < model.arch.layers; ++layer) {
    const DecoderLayerWeights& weights = context.layers[layer];
    const Qkv qkv = ToFloat(ProjectQkv(model.arch, weights, x, rotary, context.decode));
    AppendToCaches(context, rows, layer, qkv);
    const at::Tensor attention = AttendCaches(context, rows, layer, qkv.q);
    RecompressDue(context, rows, layer);
    x = FinishLayer(model.arch, weights, x, attention, at::Tensor(), context.decode);
  }
  for (Sequence* sequence : rows) {
    if (sequence != nullptr) ++sequence->fed;
  }
  return x;
}

}  // namespace

at::Tensor Logits(const EngineContext& context, const at::Tensor& rows) {
  const Model& model = *context.model;
  return Linear(FinalNorm(model.arch, model.params, rows), HeadWeight(model.arch, model.params),
                at::Tensor(), context.decode)
      .to(at::kFloat);
}

void DecodeGroup(const EngineContext& context, const std::vector<Sequence*>& sequences,
                 const at::Tensor& last_rows) {
  Rows rows = sequences;
  at::Tensor x = last_rows;
  if (context.config->deterministic) {
    rows = TileRows(sequences);
    std::vector<int64_t> place;
    for (Sequence* sequence : sequences) {
      place.push_back(std::find(rows.begin(), rows.end(), sequence) - rows.begin());
    }
    x = at::zeros({static_cast<int64_t>(rows.size()), last_rows.size(1)}, last_rows.options())
            .index_copy_(0, ToDevice(place, context.device()), last_rows);
  }
  SampleNext(context, Logits(context, x), rows);
  for (rows = DropFinished(context, rows); !rows.empty(); rows = DropFinished(context, rows)) {
    SampleNext(context, Logits(context, ForwardStep(context, rows)), rows);
  }
}

}  // namespace ziprl
