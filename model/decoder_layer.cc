#include "model/decoder_layer.h"

#include <ATen/ATen.h>

#include <array>

#include "absl/strings/str_cat.h"

namespace ziprl {
namespace {

// In the order of DecoderLayerWeights' members.
constexpr std::array<const char*, 12> kNames = {
    "input_layernorm.weight",  "self_attn.q_proj.weight", "self_attn.q_proj.bias",
    "self_attn.k_proj.weight", "self_attn.k_proj.bias",   "self_attn.v_proj.weight",
    "self_attn.v_proj.bias",   "self_attn.o_proj.weight", "post_attention_layernorm.weight",
    "mlp.gate_proj.weight",    "mlp.up_proj.weight",      "mlp.down_proj.weight"};

std::string LayerParamName(int layer, const char* name) {
  return absl::StrCat("model.layers.", layer, ".", name);
}

}  // namespace

DecoderLayerWeights LayerWeights(const ParamStore& params, int layer) {
  DecoderLayerWeights w;
  const std::array<at::Tensor*, kNames.size()> members = {
      &w.input_norm, &w.q_w, &w.q_b,       &w.k_w,    &w.k_b,  &w.v_w,
      &w.v_b,        &w.o_w, &w.post_norm, &w.gate_w, &w.up_w, &w.down_w};
  for (size_t i = 0; i < kNames.size(); ++i)
    *members[i] = params.Get(LayerParamName(layer, kNames[i]));
  return w;
}

std::vector<int> LayerParamIndices(const ParamStore& params, int layer) {
  std::vector<int> indices;
  for (const char* name : kNames) indices.push_back(params.Find(LayerParamName(layer, name)));
  return indices;
}

std::vector<float> RotaryFrequencies(const Architecture& arch) {
  const at::TensorOptions host_options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
  const at::Tensor exponents = at::arange(0, arch.head_dim, 2, host_options).div_(arch.head_dim);
  const at::Tensor inverse = at::pow(arch.rope_theta, exponents).reciprocal_();
  const float* values = inverse.const_data_ptr<float>();
  return std::vector<float>(values, values + inverse.numel());
}

Rotary MakeRotary(const Architecture& arch, const std::array<std::vector<int32_t>, 3>& positions,
                  const Device& device) {
  const at::TensorOptions host_options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
  const int64_t rows = static_cast<int64_t>(positions[0].size()), half = arch.head_dim / 2;
  const std::vector<float> frequency = RotaryFrequencies(arch);
  at::Tensor angles = at::empty({rows, half}, host_options);
  float* out = angles.mutable_data_ptr<float>();
  for (int64_t r = 0; r < rows; ++r) {
    int64_t i = 0;
    for (size_t section = 0; section < arch.mrope_section.size(); ++section) {
      const auto position = static_cast<float>(positions[section % 3][r]);
      for (const int64_t end = i + arch.mrope_section[section]; i < end; ++i) {
        out[r * half + i] = position * frequency[i];
      }
    }
  }
  const at::Tensor both = at::cat({angles, angles}, 1);
  return {both.cos().to(device.device), both.sin().to(device.device)};
}

Qkv ProjectQkv(const Architecture& arch, const DecoderLayerWeights& w, const at::Tensor& x,
               const Rotary& rotary, const Compute& compute) {
  const at::Tensor normed = RmsNorm(x, w.input_norm, arch.rms_eps);
  const auto heads = [&](const at::Tensor& weight, const at::Tensor& bias, int count) {
    return Linear(normed, weight, bias, compute).view({x.size(0), count, arch.head_dim});
  };
  Qkv out;
  out.q = ApplyRotary(heads(w.q_w, w.q_b, arch.heads), rotary.cos, rotary.sin);
  out.k = ApplyRotary(heads(w.k_w, w.k_b, arch.kv_heads), rotary.cos, rotary.sin);
  out.v = heads(w.v_w, w.v_b, arch.kv_heads);
  return out;
}

at::Tensor FinishLayer(const Architecture& arch, const DecoderLayerWeights& w, const at::Tensor& x,
                       const at::Tensor& attention, const at::Tensor& rows,
                       const Compute& compute) {
  at::Tensor projected = Linear(attention, w.o_w, at::Tensor(), compute);
  if (rows.defined()) projected = ScatterRows(projected, rows, x.size(0));
  const at::Tensor h = x + projected;
  const at::Tensor normed = RmsNorm(h, w.post_norm, arch.rms_eps);
  const at::Tensor inner = SwiGlu(Linear(normed, w.gate_w, at::Tensor(), compute),
                                  Linear(normed, w.up_w, at::Tensor(), compute));
  return h + Linear(inner, w.down_w, at::Tensor(), compute);
}

}  // namespace ziprl
