// Torch-facing wrappers of kernels/ and of fused row loops, with gradients. The only user of
// torch::autograd::Function. All take and return tensors on one device, outputs in the inputs'
// dtype; bf16 inputs are computed in fp32 where kernels are fp32. Safe to call from several threads
// at once on shared weights: each thread builds its own graph; take gradients with
// torch::autograd::grad.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/top_p_select.h"

namespace ziprl {

// A host vector on a device, as int32 or int64.
at::Tensor IntTensor(const std::vector<int32_t>& values, c10::Device device);
at::Tensor LongTensor(const std::vector<int64_t>& values, c10::Device device);

// How GEMM rows are batched. tile_rows > 0: every product runs on exactly tile_rows rows at a time
// (zero-padded), so a row's bits do not depend on how many rows come with it (SPARSE_GRPO section 1
// (c)).
struct Compute {
  int tile_rows = 0;
};
inline constexpr int kDeterministicTileRows = 32;

// x [N, In] @ weight[Out, In]^T + bias. Gradients to all three. bf16 is multiplied in fp32 and
// rounded once where the processor has no bf16 products.
at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const Compute& compute);

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps);  // [N, C]
at::Tensor SwiGlu(const at::Tensor& gate, const at::Tensor& up);                // silu(gate) * up

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double eps);           // [N, C]
at::Tensor QuickGelu(const at::Tensor& x);  // x * sigmoid(1.702 x)

// Rotary embedding of heads x [N, H, D] by cos, sin [N, D] fp32 (equal halves); x's dtype out.
at::Tensor ApplyRotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

// A fused projection qkv [N, 3 * H * D] -> q, k (rotated), v, each [N, H, D].
struct QkvHeads {
  at::Tensor q, k, v;
};
QkvHeads SplitQkvRotary(const at::Tensor& qkv, int heads, const at::Tensor& cos,
                        const at::Tensor& sin);

// Who sees whom (kernels/ragged_attention.h), for one layer of a pack of S sequences.
struct Visibility {
  at::Tensor q_pos, k_pos, k_end;   // int32 [Nq], [Nk], [Nk]
  at::Tensor q_offsets, k_offsets;  // int32 [S + 1]
  // The same, where it is simple and row bits may depend on their company: in each run of so many
  // rows everyone sees everyone or, if causal, those up to itself. Empty: only the above says it.
  std::vector<int32_t> runs;
  bool causal = false;
};
// All rows of every segment see each other (bidirectional) or causally.
Visibility FullVisibility(const std::vector<int32_t>& lengths, bool causal, c10::Device device,
                          const Compute& compute);

// q [Nq, H, D], k, v [Nk, Hk, D] -> [Nq, H, D]. By the library's flash attention where that serves
// (library_attention.h), else by our kernel.
at::Tensor RaggedAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const Visibility& visibility);

struct MassResult {
  at::Tensor a;     // [n] fp32: a_j = M_j / (H * 2^40); differentiable in q and k
  at::Tensor mass;  // [n] int64 M, no gradient
};
// q_probe [R, H, D], k [n, Hk, D], limit int32 [R].
MassResult ProbeMass(const at::Tensor& q_probe, const at::Tensor& k, const at::Tensor& limit);

struct LogprobResult {
  at::Tensor logprob;  // [T] fp32, differentiable in hidden and weight
  at::Tensor entropy;  // [T] fp32, no gradient; undefined unless wanted
};
// log p(target) of hidden [T, C] through lm_head weight [V, C], block by block.
LogprobResult TokenLogprob(const at::Tensor& hidden, const at::Tensor& weight,
                           const at::Tensor& target, const at::Tensor& suppressed,
                           double temperature, bool want_entropy, const Compute& compute);

// Rows of x named by index (int64, ascending), and back with zeros elsewhere. Gradients are each
// other.
at::Tensor GatherRows(const at::Tensor& x, const at::Tensor& index);
at::Tensor ScatterRows(const at::Tensor& x, const at::Tensor& index, int64_t num_rows);
// The same with an index in any order and with repetitions; gradients of a row are summed in the
// order of the index.
at::Tensor RepeatRows(const at::Tensor& x, const at::Tensor& index);

}  // namespace ziprl
