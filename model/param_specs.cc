// Names and shapes of the parameters.

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "model/architecture.h"

namespace ziprl {
namespace {

using Specs = std::vector<ParamSpec>;

void AddLinear(const std::string& name, int64_t out, int64_t in, Specs* specs) {
  specs->push_back({name + ".weight", {out, in}});
  specs->push_back({name + ".bias", {out}});
}

void AddNorm(const std::string& name, const VisionArchitecture& v, Specs* specs) {
  specs->push_back({name + ".weight", {v.hidden}});
  if (v.norm == VisionNorm::kLayer) specs->push_back({name + ".bias", {v.hidden}});
}

void AddVisionMlp(const std::string& mlp, const VisionArchitecture& v, Specs* specs) {
  if (v.mlp == VisionMlp::kQuickGelu) {
    AddLinear(mlp + "fc1", v.intermediate, v.hidden, specs);
    AddLinear(mlp + "fc2", v.hidden, v.intermediate, specs);
    return;
  }
  AddLinear(mlp + "gate_proj", v.intermediate, v.hidden, specs);
  AddLinear(mlp + "up_proj", v.intermediate, v.hidden, specs);
  AddLinear(mlp + "down_proj", v.hidden, v.intermediate, specs);
}

void AddVisionSpecs(const VisionArchitecture& v, Specs* specs) {
  const int64_t c = v.hidden, merged = c * v.merge * v.merge;
  specs->push_back(
      {"visual.patch_embed.proj.weight", {c, v.in_channels, v.temporal_patch, v.patch, v.patch}});
  for (int i = 0; i < v.depth; ++i) {
    const std::string block = absl::StrCat("visual.blocks.", i, ".");
    AddNorm(block + "norm1", v, specs);
    AddNorm(block + "norm2", v, specs);
    AddLinear(block + "attn.qkv", 3 * c, c, specs);
    AddLinear(block + "attn.proj", c, c, specs);
    AddVisionMlp(block + "mlp.", v, specs);
  }
  AddNorm("visual.merger.ln_q", v, specs);
  AddLinear("visual.merger.mlp.0", merged, merged, specs);
  AddLinear("visual.merger.mlp.2", v.out_hidden, merged, specs);
}

void AddDecoderSpecs(const Architecture& arch, std::vector<ParamSpec>* specs) {
  const int64_t c = arch.hidden, f = arch.intermediate;
  const int64_t kv = int64_t{arch.kv_heads} * arch.head_dim;
  specs->push_back({"model.embed_tokens.weight", {arch.vocab, c}});
  for (int i = 0; i < arch.layers; ++i) {
    const std::string layer = absl::StrCat("model.layers.", i, ".");
    specs->push_back({layer + "input_layernorm.weight", {c}});
    specs->push_back({layer + "self_attn.q_proj.weight", {c, c}});
    specs->push_back({layer + "self_attn.q_proj.bias", {c}});
    specs->push_back({layer + "self_attn.k_proj.weight", {kv, c}});
    specs->push_back({layer + "self_attn.k_proj.bias", {kv}});
    specs->push_back({layer + "self_attn.v_proj.weight", {kv, c}});
    specs->push_back({layer + "self_attn.v_proj.bias", {kv}});
    specs->push_back({layer + "self_attn.o_proj.weight", {c, c}});
    specs->push_back({layer + "post_attention_layernorm.weight", {c}});
    specs->push_back({layer + "mlp.gate_proj.weight", {f, c}});
    specs->push_back({layer + "mlp.up_proj.weight", {f, c}});
    specs->push_back({layer + "mlp.down_proj.weight", {c, f}});
  }
  specs->push_back({"model.norm.weight", {c}});
}

}  // namespace

std::vector<ParamSpec> ParamSpecs(const Architecture& arch) {
  std::vector<ParamSpec> specs;
  AddVisionSpecs(arch.vision, &specs);
  AddDecoderSpecs(arch, &specs);
  if (!arch.tied_embeddings) specs.push_back({"lm_head.weight", {arch.vocab, arch.hidden}});
  return specs;
}

std::string CanonicalParamName(const std::string& name) {
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, "model.language_model.")) return absl::StrCat("model.", rest);
  if (absl::ConsumePrefix(&rest, "model.visual.")) return absl::StrCat("visual.", rest);
  return name;
}

bool IsVisionParam(const std::string& name) { return absl::StartsWith(name, "visual."); }

}  // namespace ziprl
