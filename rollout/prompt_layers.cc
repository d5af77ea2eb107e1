#include "rollout/prompt_layers.h"

#include <ATen/ATen.h>

namespace ziprl {

Qkv PromptLayers::Project(int layer, const at::Tensor& x, const Rotary& rotary) {
  const Architecture& arch = context_.arch();
  if (!context_.float_prompts) {
    return ProjectQkv(arch, context_.layers[layer], x, rotary, context_.prefill);
  }
  const at::Tensor dense = x.to(c10::kFloat).contiguous();
  const int64_t rows = x.size(0);
  const auto heads = [&](int count) {
    return at::empty({rows, count, arch.head_dim}, context_.device().Float());
  };
  const Qkv out = {heads(arch.heads), heads(arch.kv_heads), heads(arch.kv_heads)};
  context_.floats->Project(layer, dense.const_data_ptr<float>(), rows,
                           rotary.cos.const_data_ptr<float>(), rotary.sin.const_data_ptr<float>(),
                           {out.q.mutable_data_ptr<float>(), out.k.mutable_data_ptr<float>(),
                            out.v.mutable_data_ptr<float>()},
                           space_);
  return out;
}

at::Tensor PromptLayers::Finish(int layer, const at::Tensor& x, const at::Tensor& attention,
                                const at::Tensor& rows) {
  if (!context_.float_prompts) {
    return FinishLayer(context_.arch(), context_.layers[layer], x, attention, rows,
                       context_.prefill);
  }
  at::Tensor out = x.to(context_.device().Float(), /*non_blocking=*/false, /*copy=*/true,
                        at::MemoryFormat::Contiguous);
  const at::Tensor wide = attention.to(c10::kFloat).contiguous();
  at::Tensor attended = rows.defined() ? GatherRows(out, rows) : out;
  context_.floats->AddAttention(layer, wide.const_data_ptr<float>(), attended.size(0),
                                attended.mutable_data_ptr<float>(), space_);
  if (rows.defined()) out.index_copy_(0, rows, attended);
  context_.floats->AddMlp(layer, out.size(0), out.mutable_data_ptr<float>(), space_);
  return out;
}

}  // namespace ziprl
