#include "model/vision_tower.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/vision_plan.h"

namespace ziprl {
namespace {

constexpr double kRotaryTheta = 10000.0;

// The tensors of one part of the tower, by the rest of their names.
class Part {
 public:
  Part(const VisionArchitecture& vision, const ParamStore& params, std::string prefix,
       const Compute& compute)
      : vision_(vision), params_(params), prefix_(std::move(prefix)), compute_(compute) {}

  at::Tensor Norm(const char* name, const at::Tensor& x) const {
    if (vision_.norm == VisionNorm::kLayer) {
      return LayerNorm(x, Get(name, ".weight"), Get(name, ".bias"), vision_.norm_eps);
    }
    return RmsNorm(x, Get(name, ".weight"), vision_.norm_eps);
  }

  at::Tensor Project(const char* name, const at::Tensor& x) const {
    return Linear(x, Get(name, ".weight"), Get(name, ".bias"), compute_);
  }

 private:
  const at::Tensor& Get(const char* name, const char* kind) const {
    return params_.Get(absl::StrCat(prefix_, name, kind));
  }

  const VisionArchitecture& vision_;
  const ParamStore& params_;
  const std::string prefix_;
  const Compute& compute_;
};

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

at::Tensor RunMlp(const VisionArchitecture& vision, const Part& block, const at::Tensor& x) {
  if (vision.mlp == VisionMlp::kQuickGelu) {
    return block.Project("mlp.fc2", QuickGelu(block.Project("mlp.fc1", x)));
  }
  return block.Project("mlp.down_proj",
                       SwiGlu(block.Project("mlp.gate_proj", x), block.Project("mlp.up_proj", x)));
}

at::Tensor RunBlock(const VisionArchitecture& vision, const Part& block, const at::Tensor& x,
                    const Angles& angles, const Visibility& see) {
  const at::Tensor qkv = block.Project("attn.qkv", block.Norm("norm1", x));
  const QkvHeads heads = SplitQkvRotary(qkv, vision.heads, angles.cos, angles.sin);
  const at::Tensor attention =
      RaggedAttention(heads.q, heads.k, heads.v, see).view({x.size(0), -1});
  const at::Tensor h = x + block.Project("attn.proj", attention);
  return h + RunMlp(vision, block, block.Norm("norm2", h));
}

// Four neighbours side by side through two layers.
at::Tensor Merge(const VisionArchitecture& vision, const Part& merger, const at::Tensor& x) {
  const at::Tensor normed = merger.Norm("ln_q", x).view(
      {-1, static_cast<int64_t>(vision.hidden) * vision.merge * vision.merge});
  return merger.Project("mlp.2", at::gelu(merger.Project("mlp.0", normed)));
}

bool SeesWholeFrame(const VisionArchitecture& vision, int block) {
  const std::vector<int>& full = vision.full_attention_blocks;
  return vision.window == 0 || std::find(full.begin(), full.end(), block) != full.end();
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
  const Visibility windows = FullVisibility(plan.window_lengths, /*causal=*/false, device, compute);
  const Visibility frames = FullVisibility(plan.frame_lengths, /*causal=*/false, device, compute);

  at::Tensor x = GatherRows(patches.to(embed.scalar_type()), LongTensor(plan.patch_order, device));
  x = Linear(x, embed.view({vision.hidden, -1}), at::Tensor(), compute);
  for (int index = 0; index < vision.depth; ++index) {
    const Part block(vision, params, absl::StrCat("visual.blocks.", index, "."), compute);
    x = RunBlock(vision, block, x, angles, SeesWholeFrame(vision, index) ? frames : windows);
  }
  const Part merger(vision, params, "visual.merger.", compute);
  return at::index_select(Merge(vision, merger, x), 0, LongTensor(plan.merged_order, device));
}

}  // namespace ziprl
