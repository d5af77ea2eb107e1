#include "model/language_model.h"

#include <ATen/ATen.h>

namespace ziprl {
namespace {

constexpr char kEmbedding[] = "model.embed_tokens.weight";

}  // namespace

at::Tensor EmbedTokens(const Architecture& arch, const ParamStore& params,
                       const std::vector<int32_t>& ids, const at::Tensor& visual) {
  const c10::Device device = params.Get(kEmbedding).device();
  const at::Tensor embedded = EmbedIds(arch, params, IntTensor(ids, device));
  if (!visual.defined()) return embedded;
  std::vector<int64_t> places;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == arch.image_token || ids[i] == arch.video_token)
      places.push_back(static_cast<int64_t>(i));
  }
  return embedded.index_copy(0, LongTensor(places, device), visual.to(embedded.scalar_type()));
}

at::Tensor EmbedIds(const Architecture&, const ParamStore& params, const at::Tensor& ids) {
  return at::embedding(params.Get(kEmbedding), ids);
}

at::Tensor FinalNorm(const Architecture& arch, const ParamStore& params, const at::Tensor& x) {
  return RmsNorm(x, params.Get("model.norm.weight"), arch.rms_eps);
}

const at::Tensor& HeadWeight(const Architecture& arch, const ParamStore& params) {
  return params.Get(arch.tied_embeddings ? kEmbedding : "lm_head.weight");
}

at::Tensor DenseForward(const Architecture& arch, const ParamStore& params,
                        const std::vector<int32_t>& ids, const RopePositions& positions,
                        const at::Tensor& visual, const Device& device, const Compute& compute) {
  const Rotary rotary = MakeRotary(arch, positions.axes, device);
  const auto n = static_cast<int32_t>(ids.size());
  const Visibility causal = FullVisibility({n}, /*causal=*/true, device.device, compute);
  at::Tensor x = EmbedTokens(arch, params, ids, visual);
  for (int layer = 0; layer < arch.layers; ++layer) {
    const DecoderLayerWeights w = LayerWeights(params, layer);
    const Qkv qkv = ProjectQkv(arch, w, x, rotary, compute);
    const at::Tensor attention = RaggedAttention(qkv.q, qkv.k, qkv.v, causal);
    x = FinishLayer(arch, w, x, attention.view({n, -1}), at::Tensor(), compute);
  }
  return FinalNorm(arch, params, x);
}

}  // namespace ziprl
