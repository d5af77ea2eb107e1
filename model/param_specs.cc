// Names and shapes of the parameters.

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "model/architecture.h"

namespace ziprl {
namespace {

void AddVisionSpecs(const VisionArchitecture& v, std::vector<ParamSpec>* specs) {
  const int64_t c = v.hidden, f = v.intermediate, merged = int64_t{v.hidden} * v.merge * v.merge;
  specs->push_back(
      {"visual.patch_embed.proj.weight", {c, v.in_channels, v.temporal_patch, v.patch, v.patch}});
  for (int i = 0; i < v.depth; ++i) {
    const std::string block = absl::StrCat("visual.blocks.", i, ".");
    specs->push_back({block + "norm1.weight", {c}});
    specs->push_back({block + "norm2.weight", {c}});
    specs->push_back({block + "attn.qkv.weight", {3 * c, c}});
    specs->push_back({block + "attn.qkv.bias", {3 * c}});
    specs->push_back({block + "attn.proj.weight", {c, c}});
    specs->push_back({block + "attn.proj.bias", {c}});
    specs->push_back({block + "mlp.gate_proj.weight", {f, c}});
    specs->push_back({block + "mlp.gate_proj.bias", {f}});
    specs->push_back({block + "mlp.up_proj.weight", {f, c}});
    specs->push_back({block + "mlp.up_proj.bias", {f}});
    specs->push_back({block + "mlp.down_proj.weight", {c, f}});
    specs->push_back({block + "mlp.down_proj.bias", {c}});
  }
  specs->push_back({"visual.merger.ln_q.weight", {c}});
  specs->push_back({"visual.merger.mlp.0.weight", {merged, merged}});
  specs->push_back({"visual.merger.mlp.0.bias", {merged}});
  specs->push_back({"visual.merger.mlp.2.weight", {v.out_hidden, merged}});
  specs->push_back({"visual.merger.mlp.2.bias", {v.out_hidden}});
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
