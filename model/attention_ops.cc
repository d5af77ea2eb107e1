// The attention half of autograd_ops.h: visibility, ragged attention, probe mass, token log-probs.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/probe_mass.h"
#include "kernels/ragged_attention.h"
#include "kernels/token_logprob.h"
#include "model/autograd_ops.h"
#include "model/device.h"
#include "model/library_attention.h"
#include "model/tiled_product.h"

namespace ziprl {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

at::Tensor Wide(const at::Tensor& t) { return t.to(at::kFloat).contiguous(); }
const float* Data(const at::Tensor& t) { return t.const_data_ptr<float>(); }
float* MutableData(const at::Tensor& t) { return t.mutable_data_ptr<float>(); }
const int32_t* Ints(const at::Tensor& t) { return t.const_data_ptr<int32_t>(); }

kernels::RaggedAttentionParams AttentionParams(const at::Tensor& q, const at::Tensor& k,
                                               const at::Tensor& v, const Visibility& see) {
  kernels::RaggedAttentionParams params;
  params.q = Data(q);
  params.k = Data(k);
  params.v = Data(v);
  params.q_pos = Ints(see.q_pos);
  params.k_pos = Ints(see.k_pos);
  params.k_end = Ints(see.k_end);
  params.q_offsets = Ints(see.q_offsets);
  params.k_offsets = Ints(see.k_offsets);
  params.num_segments = static_cast<int>(see.q_offsets.numel()) - 1;
  params.num_heads = static_cast<int>(q.size(1));
  params.num_kv_heads = static_cast<int>(k.size(1));
  params.head_dim = static_cast<int>(q.size(2));
  params.scale = 1.0f / std::sqrt(static_cast<float>(q.size(2)));
  return params;
}

struct AttentionFunction : Function<AttentionFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_in, const at::Tensor& k_in,
                            const at::Tensor& v_in, const Visibility& see) {
    const at::Tensor q = Wide(q_in), k = Wide(k_in), v = Wide(v_in);
    at::Tensor out = at::empty_like(q, q.options());
    at::Tensor lse = at::empty({q.size(0), q.size(1)}, q.options());
    kernels::RaggedAttention(BackendOf(q), AttentionParams(q, k, v, see), MutableData(out),
                             MutableData(lse), 0, static_cast<int>(k.size(1)),
                             CurrentStream(q.device()));
    ctx->save_for_backward(
        {q, k, v, out, lse, see.q_pos, see.k_pos, see.k_end, see.q_offsets, see.k_offsets});
    return out.to(q_in.scalar_type());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list s = ctx->get_saved_variables();
    const at::Tensor &q = s[0], &k = s[1], &v = s[2];
    const Visibility see{s[5], s[6], s[7], s[8], s[9], {}, false};
    const at::Tensor grad = Wide(grads[0]);
    at::Tensor dq = at::empty_like(q, q.options());
    at::Tensor dk = at::empty_like(k, k.options()), dv = at::empty_like(v, v.options());
    kernels::RaggedAttentionBackward(BackendOf(q), AttentionParams(q, k, v, see), Data(s[3]),
                                     Data(s[4]), Data(grad), MutableData(dq), MutableData(dk),
                                     MutableData(dv), 0, static_cast<int>(k.size(1)),
                                     CurrentStream(q.device()));
    const at::ScalarType type = grads[0].scalar_type();
    return {dq.to(type), dk.to(type), dv.to(type), at::Tensor()};
  }
};

kernels::ProbeMassParams MassParams(const at::Tensor& q, const at::Tensor& k,
                                    const at::Tensor& limit) {
  kernels::ProbeMassParams params;
  params.q = Data(q);
  params.k = Data(k);
  params.q_stride = q.size(1) * q.size(2);
  params.k_stride = k.size(1) * k.size(2);
  params.limit = Ints(limit);
  params.num_probes = static_cast<int>(q.size(0));
  params.num_keys = static_cast<int>(k.size(0));
  params.num_heads = static_cast<int>(q.size(1));
  params.num_kv_heads = static_cast<int>(k.size(1));
  params.head_dim = static_cast<int>(q.size(2));
  params.scale = 1.0f / std::sqrt(static_cast<float>(q.size(2)));
  return params;
}

struct MassFunction : Function<MassFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& q_in, const at::Tensor& k_in,
                               const at::Tensor& limit) {
    const at::Tensor q = Wide(q_in), k = Wide(k_in);
    at::Tensor mass = at::empty({k.size(0)}, k.options().dtype(at::kLong));
    at::Tensor lse = at::empty({q.size(0), q.size(1)}, q.options());
    kernels::ProbeMass(BackendOf(q), MassParams(q, k, limit), mass.mutable_data_ptr<int64_t>(),
                       MutableData(lse), CurrentStream(q.device()));
    const double one = kernels::kMassOne * static_cast<double>(q.size(1));
    at::Tensor a = mass.to(at::kDouble).div_(one).to(at::kFloat);
    ctx->save_for_backward({q, k, limit, lse});
    ctx->saved_data["type"] = static_cast<int64_t>(q_in.scalar_type());
    ctx->mark_non_differentiable({mass});
    return {a, mass};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list s = ctx->get_saved_variables();
    const at::Tensor &q = s[0], &k = s[1];
    const auto type = static_cast<at::ScalarType>(ctx->saved_data["type"].toInt());
    const at::Tensor da = Wide(grads[0]);
    at::Tensor dq = at::empty_like(q, q.options()), dk = at::empty_like(k, k.options());
    kernels::ProbeMassBackward(BackendOf(q), MassParams(q, k, s[2]), Data(s[3]), Data(da),
                               MutableData(dq), MutableData(dk), CurrentStream(q.device()));
    return {dq.to(type), dk.to(type), at::Tensor()};
  }
};

// What the head computes in one go: at most kBlockElements logits, of a large vocabulary
// kBlockColumns at a time, so that its weights are read once per many rows. A row's bits depend on
// the width, which depends on V alone.
constexpr int64_t kBlockElements = int64_t{1} << 23;
constexpr int64_t kBlockColumns = 4096;
constexpr int64_t kThreadElements = 1 << 15;  // logits that are worth a thread

struct HeadArgs {
  at::Tensor target;      // int32 [T]
  at::Tensor suppressed;  // uint8 [V] or undefined
  float inv_temperature = 1.0f;
  bool want_entropy = false;
  int64_t tile_rows = 0;
};

// Blocks of a head's logits: rows of hidden [T, C] by columns, which are rows of weight [V, C].
class HeadBlocks {
 public:
  HeadBlocks(const at::Tensor& hidden, const at::Tensor& weight, const HeadArgs& args)
      : hidden_(hidden),
        weight_(weight),
        args_(args),
        columns_(std::min(kBlockColumns, weight.size(0))) {
    const int64_t most = std::max<int64_t>(1, kBlockElements / columns_);
    const int64_t tile = std::max<int64_t>(1, args.tile_rows);
    rows_ = std::max(tile, most / tile * tile);
  }

  struct Block {
    int64_t row, rows, first, columns;
    at::Tensor hidden, weight;  // as products take them
    at::Tensor logits;          // fp32
  };

  struct RowPart {
    int64_t begin, count;
  };
  std::vector<RowPart> RowParts() const {
    std::vector<RowPart> parts;
    for (int64_t row = 0; row < hidden_.size(0); row += rows_) {
      parts.push_back({row, std::min(rows_, hidden_.size(0) - row)});
    }
    return parts;
  }

  // Calls of_block(Block) for each part of the vocabulary, ascending. The logits last until the
  // next one.
  template <typename OfBlock>
  void ForColumns(const RowPart& part, OfBlock of_block) const {
    const at::Tensor hidden = Multiplicand(hidden_.narrow(0, part.begin, part.count));
    const at::Tensor room = at::empty({part.count * columns_}, hidden.options());
    for (int64_t first = 0; first < weight_.size(0); first += columns_) {
      const int64_t columns = std::min(columns_, weight_.size(0) - first);
      Block b{part.begin, part.count, first, columns, hidden, {}, {}};
      b.weight = Multiplicand(weight_.narrow(0, first, columns));
      b.logits = room.narrow(0, 0, part.count * columns).view({part.count, columns});
      TiledProductOut(hidden, b.weight.t(), args_.tile_rows, b.logits);
      if (hidden_.scalar_type() != at::kFloat) b.logits = Wide(b.logits.to(hidden_.scalar_type()));
      of_block(b);
    }
  }

  // Calls rows(params, row) for the block's rows, from `row` of all on: spread over torch's threads
  // on the CPU.
  template <typename Rows>
  void ForRows(const Block& block, Rows rows) const {
    const auto some = [&](int64_t begin, int64_t end) {
      kernels::TokenLogprobParams params = Params(block);
      params.logits += begin * block.columns, params.target += begin, params.rows = end - begin;
      rows(params, block.row + begin);
    };
    if (!block.logits.is_cpu()) return some(0, block.rows);
    at::parallel_for(0, block.rows, kThreadElements / block.columns + 1, some);
  }

 private:
  kernels::TokenLogprobParams Params(const Block& block) const {
    kernels::TokenLogprobParams params;
    params.logits = MutableData(block.logits);
    params.first = block.first, params.columns = block.columns;
    params.vocab = weight_.size(0);
    params.target = Ints(args_.target) + block.row;
    params.suppressed =
        args_.suppressed.defined() ? args_.suppressed.const_data_ptr<uint8_t>() : nullptr;
    params.inv_temperature = args_.inv_temperature;
    return params;
  }

  const at::Tensor &hidden_, &weight_;
  const HeadArgs& args_;
  int64_t columns_, rows_;
};

// sum += a b, in fp32; an undefined sum is begun.
void AddProduct(const at::Tensor& a, const at::Tensor& b, at::Tensor* sum) {
  if (!sum->defined()) {
    *sum = Wide(a.to(b.scalar_type()).mm(b));
  } else if (b.scalar_type() == at::kFloat) {
    sum->addmm_(a, b);
  } else {
    sum->add_(a.to(b.scalar_type()).mm(b));
  }
}

struct HeadFunction : Function<HeadFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& hidden,
                               const at::Tensor& weight, const HeadArgs& args) {
    const int64_t total = hidden.size(0);
    const at::TensorOptions options = hidden.options().dtype(at::kFloat);
    at::Tensor logprob = at::empty({total}, options), lse = at::empty({total}, options), entropy;
    if (args.want_entropy) entropy = at::empty({total}, options);
    const auto state_bytes = static_cast<int64_t>(sizeof(kernels::LogprobState));
    const at::Tensor state = at::empty({total * state_bytes}, options.dtype(at::kByte));
    const HeadBlocks blocks(hidden, weight, args);
    auto* states = static_cast<kernels::LogprobState*>(state.mutable_data_ptr());
    for (const HeadBlocks::RowPart& part : blocks.RowParts()) {
      blocks.ForColumns(part, [&](const HeadBlocks::Block& b) {
        blocks.ForRows(b, [&](const kernels::TokenLogprobParams& params, int64_t row) {
          kernels::TokenLogprob(BackendOf(b.logits), params, states + row,
                                MutableData(logprob) + row, MutableData(lse) + row,
                                args.want_entropy ? MutableData(entropy) + row : nullptr,
                                CurrentStream(b.logits.device()));
        });
      });
    }
    ctx->save_for_backward({hidden, weight, lse, args.target, args.suppressed});
    ctx->saved_data["inv_temperature"] = static_cast<double>(args.inv_temperature);
    ctx->saved_data["tile_rows"] = args.tile_rows;
    if (!args.want_entropy) return {logprob};
    ctx->mark_non_differentiable({entropy});
    return {logprob, entropy};
  }

  // Recomputes each block's logits, so that no more than one block is ever held.
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list s = ctx->get_saved_variables();
    const at::Tensor &hidden = s[0], &weight = s[1], &lse = s[2];
    HeadArgs args{s[3], s[4], static_cast<float>(ctx->saved_data["inv_temperature"].toDouble()),
                  false, ctx->saved_data["tile_rows"].toInt()};
    const at::Tensor grad = Wide(grads[0]);
    at::Tensor grad_hidden, grad_weight;
    if (ctx->needs_input_grad(0)) grad_hidden = at::empty_like(hidden, hidden.options());
    if (ctx->needs_input_grad(1)) {
      grad_weight = at::zeros(weight.sizes(), weight.options().dtype(at::kFloat));
    }
    const HeadBlocks blocks(hidden, weight, args);
    for (const HeadBlocks::RowPart& part : blocks.RowParts()) {
      at::Tensor sum;  // of grad_hidden's rows, in fp32
      blocks.ForColumns(part, [&](const HeadBlocks::Block& b) {
        blocks.ForRows(b, [&](const kernels::TokenLogprobParams& params, int64_t row) {
          kernels::TokenLogprobBackward(BackendOf(b.logits), params, Data(lse) + row,
                                        Data(grad) + row, CurrentStream(b.logits.device()));
        });
        if (grad_hidden.defined()) AddProduct(b.logits, b.weight, &sum);
        if (!grad_weight.defined()) return;
        at::Tensor rows = grad_weight.narrow(0, b.first, b.columns);
        rows.addmm_(b.logits.t(), Wide(b.hidden));
      });
      if (grad_hidden.defined()) grad_hidden.narrow(0, part.begin, part.count).copy_(sum);
    }
    if (grad_weight.defined()) grad_weight = grad_weight.to(weight.scalar_type());
    return {grad_hidden, grad_weight, at::Tensor()};
  }
};

}  // namespace

Visibility FullVisibility(const std::vector<int32_t>& lengths, bool causal, c10::Device device,
                          const Compute& compute) {
  std::vector<int32_t> offsets{0}, positions;
  for (int32_t length : lengths) {
    offsets.push_back(offsets.back() + length);
    for (int32_t i = 0; i < length; ++i) positions.push_back(causal ? i : 0);
  }
  Visibility see;
  see.q_pos = see.k_pos = IntTensor(positions, device);
  see.q_offsets = see.k_offsets = IntTensor(offsets, device);
  see.k_end = IntTensor(std::vector<int32_t>(positions.size(), std::numeric_limits<int32_t>::max()),
                        device);
  if (compute.tile_rows == 0) see.runs = lengths;
  see.causal = causal;
  return see;
}

at::Tensor RaggedAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const Visibility& visibility) {
  if (LibraryAttentionServes(q, visibility)) return LibraryAttention(q, k, v, visibility);
  return AttentionFunction::apply(q, k, v, visibility);
}

MassResult ProbeMass(const at::Tensor& q_probe, const at::Tensor& k, const at::Tensor& limit) {
  variable_list result = MassFunction::apply(q_probe, k, limit);
  return {result[0], result[1]};
}

LogprobResult TokenLogprob(const at::Tensor& hidden, const at::Tensor& weight,
                           const at::Tensor& target, const at::Tensor& suppressed,
                           double temperature, bool want_entropy, const Compute& compute) {
  const HeadArgs args{target.to(at::kInt).contiguous(), suppressed,
                      static_cast<float>(1.0 / temperature), want_entropy, compute.tile_rows};
  variable_list result = HeadFunction::apply(hidden.contiguous(), weight, args);
  return {result[0], want_entropy ? result[1] : at::Tensor()};
}

}  // namespace ziprl
