// Random ragged attention problems: several segments, causal with holes, evictions, windows.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "kernels/ragged_attention.h"

namespace ziprl::kernels {

struct AttentionShape {
  // kCausal: every position present. kHoles: keys and queries are subsets of the positions.
  // kEvicted: some keys end early. kWindow: everybody sees everybody of the segment.
  enum Kind { kCausal, kHoles, kEvicted, kWindow };

  std::string name;
  int num_heads, num_kv_heads, head_dim;
  std::vector<int> q_counts, k_counts;  // per segment
  Kind kind;

  friend void PrintTo(const AttentionShape& s, std::ostream* out) { *out << s.name; }

  int segments() const { return static_cast<int>(q_counts.size()); }
};

std::vector<AttentionShape> AttentionShapes();

struct AttentionOutput {
  std::vector<float> out, lse;
};
struct AttentionGradient {
  std::vector<float> dq, dk, dv;
};

struct AttentionCase {
  explicit AttentionCase(const AttentionShape& shape);

  RaggedAttentionParams Params() const;  // points into this object
  AttentionCase Segment(int s) const;    // segment s alone
  AttentionOutput EmptyOutput() const;   // NaN, to show what is never written
  AttentionGradient EmptyGradient() const;

  AttentionShape shape;
  std::vector<float> q, k, v, dout;
  std::vector<int32_t> q_pos, k_pos, k_end, q_offsets, k_offsets;
};

AttentionOutput Forward(const RaggedAttentionParams& params);
AttentionGradient Backward(const RaggedAttentionParams& params, const AttentionOutput& forward,
                           const std::vector<float>& dout);

// x equals whole[at, at + x.size()).
bool SameBits(const std::vector<float>& x, const std::vector<float>& whole, int64_t at);

}  // namespace ziprl::kernels
