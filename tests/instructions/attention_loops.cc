#include <climits>
#include <cmath>
#include <memory>

#include "kernels/decode_attention.h"
#include "kernels/probe_mass.h"
#include "kernels/ragged_attention.h"
#include "tests/instructions/loops.h"

namespace ziprl {
namespace {

using kernels::Backend;

constexpr int kHeads = 4, kKvHeads = 2, kDim = 64;
const float kScale = 1.0f / std::sqrt(static_cast<float>(kDim));

// 64 probes over 1,024 keys.
struct ProbeInput {
  static constexpr int kProbes = 64, kKeys = 1024;
  std::vector<float> q = UniformFloats(1, int64_t{kProbes} * kHeads * kDim, 2.0f);
  std::vector<float> k = UniformFloats(2, int64_t{kKeys} * kKvHeads * kDim, 2.0f);
  std::vector<float> da = UniformFloats(3, kKeys);
  std::vector<int32_t> limit;
  std::vector<int64_t> mass = std::vector<int64_t>(kKeys);
  std::vector<float> lse = std::vector<float>(int64_t{kProbes} * kHeads);
  std::vector<float> dq = q, dk = k;
  kernels::ProbeMassParams params;

  ProbeInput() {
    for (uint32_t l : UniformInts(4, kProbes, kKeys)) limit.push_back(static_cast<int32_t>(l) + 1);
    params.q = q.data(), params.k = k.data(), params.limit = limit.data();
    params.q_stride = kHeads * kDim, params.k_stride = kKvHeads * kDim;
    params.num_probes = kProbes, params.num_keys = kKeys;
    params.num_heads = kHeads, params.num_kv_heads = kKvHeads, params.head_dim = kDim;
    params.scale = kScale;
  }
  void Forward() { kernels::ProbeMass(Backend::kCpu, params, mass.data(), lse.data(), nullptr); }
  void Backward() {
    kernels::ProbeMassBackward(Backend::kCpu, params, lse.data(), da.data(), dq.data(), dk.data(),
                               nullptr);
  }
};

// Two causal sequences of 301 and 150 tokens; every third key leaves early.
struct RaggedInput {
  static constexpr int kTokens = 451;
  std::vector<float> q = UniformFloats(5, int64_t{kTokens} * kHeads * kDim, 2.0f);
  std::vector<float> k = UniformFloats(6, int64_t{kTokens} * kKvHeads * kDim, 2.0f);
  std::vector<float> v = UniformFloats(7, int64_t{kTokens} * kKvHeads * kDim);
  std::vector<float> dout = UniformFloats(8, int64_t{kTokens} * kHeads * kDim);
  std::vector<int32_t> pos, end, offsets = {0, 301, kTokens};
  std::vector<float> out = q, lse = std::vector<float>(int64_t{kTokens} * kHeads);
  std::vector<float> dq = q, dk = k, dv = v;
  kernels::RaggedAttentionParams params;

  RaggedInput() {
    for (int i = 0; i < kTokens; ++i) {
      pos.push_back(i < offsets[1] ? i : i - offsets[1]);
      end.push_back(i % 3 == 0 ? pos.back() + 100 : INT_MAX);
    }
    params.q = q.data(), params.k = k.data(), params.v = v.data();
    params.q_pos = params.k_pos = pos.data(), params.k_end = end.data();
    params.q_offsets = params.k_offsets = offsets.data(), params.num_segments = 2;
    params.num_heads = kHeads, params.num_kv_heads = kKvHeads, params.head_dim = kDim;
    params.scale = kScale;
  }
  void Forward() {
    kernels::RaggedAttention(Backend::kCpu, params, out.data(), lse.data(), 0, kKvHeads, nullptr);
  }
  void Backward() {
    kernels::RaggedAttentionBackward(Backend::kCpu, params, out.data(), lse.data(), dout.data(),
                                     dq.data(), dk.data(), dv.data(), 0, kKvHeads, nullptr);
  }
};

// Eight sequences with caches of up to 700 tokens.
struct DecodeInput {
  std::vector<int32_t> length = {700, 512, 333, 640, 100, 64, 413, 7};
  std::vector<float> q = UniformFloats(9, 8 * kHeads * kDim, 2.0f), out = q;
  std::vector<std::vector<float>> memory;
  std::vector<std::vector<const float*>> pages;
  std::vector<const float* const*> lists;
  kernels::DecodeAttentionParams params;

  DecodeInput() {
    for (int32_t n : length) {
      pages.emplace_back();
      for (int begin = 0; begin < n; begin += kernels::kPageRows) {
        memory.push_back(
            UniformFloats(10 + memory.size(), 2 * kernels::kPageRows * kKvHeads * kDim, 2.0f));
        pages.back().push_back(memory.back().data());
      }
    }
    for (const std::vector<const float*>& list : pages) lists.push_back(list.data());
    params.q = q.data(), params.pages = lists.data(), params.length = length.data();
    params.batch = static_cast<int>(length.size());
    params.num_heads = kHeads, params.num_kv_heads = kKvHeads, params.head_dim = kDim;
    params.scale = kScale;
  }
};

}  // namespace

std::vector<Loop> AttentionLoops() {
  return {
      {"probe_mass",
       [] {
         auto in = std::make_shared<ProbeInput>();
         return [in] { in->Forward(); };
       }},
      {"probe_mass_backward",
       [] {
         auto in = std::make_shared<ProbeInput>();
         in->Forward();
         return [in] { in->Backward(); };
       }},
      {"ragged_attention",
       [] {
         auto in = std::make_shared<RaggedInput>();
         return [in] { in->Forward(); };
       }},
      {"ragged_attention_backward",
       [] {
         auto in = std::make_shared<RaggedInput>();
         in->Forward();
         return [in] { in->Backward(); };
       }},
      {"decode_attention",
       [] {
         auto in = std::make_shared<DecodeInput>();
         return
             [in] { kernels::DecodeAttention(Backend::kCpu, in->params, in->out.data(), nullptr); };
       }},
  };
}

}  // namespace ziprl
