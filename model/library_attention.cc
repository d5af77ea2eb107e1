#include "model/library_attention.h"

#include <ATen/ATen.h>

namespace ziprl {
namespace {

// A call for each run: shorter ones (windows of the vision tower) cost more as calls than they
// gain.
constexpr int64_t kLeastRows = 256;

}  // namespace

bool LibraryAttentionServes(const at::Tensor& q, const Visibility& visibility) {
  const auto runs = static_cast<int64_t>(visibility.runs.size());
  return q.is_cuda() && q.scalar_type() == at::kBFloat16 && runs > 0 &&
         q.size(0) >= runs * kLeastRows;
}

at::Tensor LibraryAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const Visibility& visibility) {
  std::vector<at::Tensor> out;
  int64_t begin = 0;
  for (int32_t length : visibility.runs) {
    const auto heads = [&](const at::Tensor& rows) {  // [1, H, length, D]
      return rows.narrow(0, begin, length).transpose(0, 1).unsqueeze(0);
    };
    out.push_back(at::scaled_dot_product_attention(heads(q), heads(k), heads(v), /*attn_mask=*/{},
                                                   /*dropout_p=*/0.0, visibility.causal,
                                                   /*scale=*/{}, /*enable_gqa=*/true)
                      .squeeze(0)
                      .transpose(0, 1));
    begin += length;
  }
  return at::cat(out);
}

}  // namespace ziprl
