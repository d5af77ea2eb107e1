#include "model/vision_tower.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "model/vision_plan.h"

namespace ziprl {
namespace {

constexpr double kRotaryTheta = 10000.0;

struct Block {
  at::Tensor norm1, norm2, qkv_w, qkv_b, proj_w, proj_b;
  at::Tensor gate_w, gate_b, up_w, up_b, down_w, down_b;
};

Block BlockWeights(const ParamStore& params, int index) {
  const auto get = [&](const char* name) {
    return params.Get(absl::StrCat("visual.blocks.", index, ".", name));
  };
  return {get("norm1.weight"),         get("norm2.weight"),         get("attn.qkv.weight"),
          get("attn.qkv.bias"),        get("attn.proj.weight"),     get("attn.proj.bias"),
          get("mlp.gate_proj.weight"), get("mlp.gate_proj.bias"),   get("mlp.up_proj.weight"),
          get("mlp.up_proj.bias"),     get("mlp.down_proj.weight"), get("mlp.down_proj.bias")};
}

struct Angles {
  at::Tensor cos, sin;  // [P, D] fp32
};

// A head's first quarter of dimensions turns with the row, the second with the column; twice.
Angles MakeAngles(const VisionPlan& plan, int head_dim, c10::Device device) {
  const at::TensorOptions host_options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
  const int64_t spatial = head_dim / 2, quarter = (spatial + 1) / 2;
  const at::Tensor exponents = at::arange(0, spatial, 2, host_options).div_(spatial);
  const at::Tensor inverse = at::pow(kRotaryTheta, exponents).reciprocal_();
  const auto rows = static_cast<int64_t>(plan.row.size());
  at::Tensor angles = at::empty({rows, 2 * quarter}, host_options);
  const float* frequency = inverse.const_data_ptr<float>();
  float* out = angles.mutable_data_ptr<float>();
  for (int64_t r = 0; r < rows; ++r, out += 2 * quarter) {
    for (int64_t i = 0; i < quarter; ++i) {
      out[i] = static_cast<float>(plan.row[r]) * frequency[i];
      out[quarter + i] = static_cast<float>(plan.col[r]) * frequency[i];
    }
  }
  const at::Tensor both = at::cat({angles, angles}, 1);
  return {both.cos().to(device), both.sin().to(device)};
}

at::Tensor RunBlock(const VisionArchitecture& vision, const Block& w, const at::Tensor& x,
                    const Angles& angles, const Visibility& see, const Compute& compute) {
  const at::Tensor qkv = Linear(RmsNorm(x, w.norm1, vision.rms_eps), w.qkv_w, w.qkv_b, compute);
  const QkvHeads heads = SplitQkvRotary(qkv, vision.heads, angles.cos, angles.sin);
  const at::Tensor attention =
      RaggedAttention(heads.q, heads.k, heads.v, see).view({x.size(0), -1});
  const at::Tensor h = x + Linear(attention, w.proj_w, w.proj_b, compute);
  const at::Tensor normed = RmsNorm(h, w.norm2, vision.rms_eps);
  const at::Tensor inner =
      SwiGlu(Linear(normed, w.gate_w, w.gate_b, compute), Linear(normed, w.up_w, w.up_b, compute));
  return h + Linear(inner, w.down_w, w.down_b, compute);
}

// Four neighbours side by side through two layers.
at::Tensor Merge(const VisionArchitecture& vision, const ParamStore& params, const at::Tensor& x,
                 const Compute& compute) {
  const auto get = [&](const char* name) {
    return params.Get(absl::StrCat("visual.merger.", name));
  };
  const at::Tensor normed =
      RmsNorm(x, get("ln_q.weight"), vision.rms_eps)
          .view({-1, static_cast<int64_t>(vision.hidden) * vision.merge * vision.merge});
  const at::Tensor inner =
      at::gelu(Linear(normed, get("mlp.0.weight"), get("mlp.0.bias"), compute));
  return Linear(inner, get("mlp.2.weight"), get("mlp.2.bias"), compute);
}

}  // namespace

at::Tensor VisionTower(const Architecture& arch, const ParamStore& params,
                       const at::Tensor& patches, const std::vector<Grid>& grids,
                       const Compute& compute) {
  const VisionArchitecture& vision = arch.vision;
  const VisionPlan plan = PlanVision(vision, grids);
  const at::Tensor& embed = params.Get("visual.patch_embed.proj.weight");
  const c10::Device device = embed.device();
  const Angles angles = MakeAngles(plan, vision.hidden / vision.heads, device);
  const Visibility windows = FullVisibility(plan.window_lengths, /*causal=*/false, device);
  const Visibility frames = FullVisibility(plan.frame_lengths, /*causal=*/false, device);

  at::Tensor x = GatherRows(patches.to(embed.scalar_type()), LongTensor(plan.patch_order, device));
  x = Linear(x, embed.view({vision.hidden, -1}), at::Tensor(), compute);
  const std::vector<int>& full = vision.full_attention_blocks;
  for (int block = 0; block < vision.depth; ++block) {
    const bool everywhere = std::find(full.begin(), full.end(), block) != full.end();
    x = RunBlock(vision, BlockWeights(params, block), x, angles, everywhere ? frames : windows,
                 compute);
  }
  return at::index_select(Merge(vision, params, x, compute), 0,
                          LongTensor(plan.merged_order, device));
}

}  // namespace ziprl
