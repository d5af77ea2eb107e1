#include <climits>
#include <numeric>

#include "kernels/device_buffer.h"
#include "kernels/selftest_cases.h"

namespace ziprl::kernels {
namespace {

struct RaggedShape {
  const char* name;
  int num_heads, num_kv_heads, head_dim;
  std::vector<int> q_counts, k_counts;
  bool causal, evicted;
};

// Queries and keys at the last positions of their segment; every third key evicted if asked for.
struct RaggedInputs {
  explicit RaggedInputs(const RaggedShape& s) {
    std::mt19937 rng(101);
    for (size_t i = 0; i < s.q_counts.size(); ++i) {
      const int nq = s.q_counts[i], nk = s.k_counts[i], last = std::max(nq, nk);
      for (int j = 0; j < nq; ++j) q_pos.push_back(s.causal ? last - nq + j : 0);
      for (int j = 0; j < nk; ++j) {
        const int pos = s.causal ? last - nk + j : 0;
        k_pos.push_back(pos);
        k_end.push_back(s.evicted && j % 3 == 0 ? pos + static_cast<int>(rng() % 40) : INT_MAX);
      }
      q_offsets.push_back(q_offsets.back() + nq);
      k_offsets.push_back(k_offsets.back() + nk);
    }
    q = Normal(rng, int64_t{q_offsets.back()} * s.num_heads * s.head_dim, 1.5f);
    k = Normal(rng, int64_t{k_offsets.back()} * s.num_kv_heads * s.head_dim, 1.5f);
    v = Normal(rng, static_cast<int64_t>(k.size()));
    dout = Normal(rng, static_cast<int64_t>(q.size()));
  }
  std::vector<float> q, k, v, dout;
  std::vector<int32_t> q_pos, k_pos, k_end, q_offsets{0}, k_offsets{0};
};

RaggedAttentionParams Sizes(const RaggedShape& s) {
  RaggedAttentionParams p;
  p.num_segments = static_cast<int>(s.q_counts.size());
  p.num_heads = s.num_heads, p.num_kv_heads = s.num_kv_heads, p.head_dim = s.head_dim;
  p.scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  return p;
}

struct RaggedOutputs {
  std::vector<float> out, lse, dq, dk, dv;
};

RaggedOutputs RaggedOnCpu(const RaggedShape& s, const RaggedInputs& in) {
  RaggedAttentionParams p = Sizes(s);
  p.q = in.q.data(), p.k = in.k.data(), p.v = in.v.data();
  p.q_pos = in.q_pos.data(), p.k_pos = in.k_pos.data(), p.k_end = in.k_end.data();
  p.q_offsets = in.q_offsets.data(), p.k_offsets = in.k_offsets.data();
  RaggedOutputs r;
  r.out.resize(in.q.size()), r.lse.resize(in.q.size() / s.head_dim), r.dq.resize(in.q.size());
  r.dk.resize(in.k.size()), r.dv.resize(in.k.size());
  RaggedAttention(Backend::kCpu, p, r.out.data(), r.lse.data(), 0, p.num_kv_heads, nullptr);
  RaggedAttentionBackward(Backend::kCpu, p, r.out.data(), r.lse.data(), in.dout.data(), r.dq.data(),
                          r.dk.data(), r.dv.data(), 0, p.num_kv_heads, nullptr);
  return r;
}

// The KV heads in two launches, as callers may split them.
RaggedOutputs RaggedOnDevice(const CudaTable& table, const RaggedShape& s, const RaggedInputs& in) {
  const DeviceBuffer q(table, in.q);
  const DeviceBuffer k(table, in.k);
  const DeviceBuffer v(table, in.v);
  const DeviceBuffer dout(table, in.dout);
  const DeviceBuffer q_pos(table, in.q_pos);
  const DeviceBuffer k_pos(table, in.k_pos);
  const DeviceBuffer k_end(table, in.k_end);
  const DeviceBuffer q_offsets(table, in.q_offsets);
  const DeviceBuffer k_offsets(table, in.k_offsets);
  RaggedAttentionParams p = Sizes(s);
  p.q = q.get(), p.k = k.get(), p.v = v.get();
  p.q_pos = q_pos.get(), p.k_pos = k_pos.get(), p.k_end = k_end.get();
  p.q_offsets = q_offsets.get(), p.k_offsets = k_offsets.get();
  const std::vector<float> like_q(in.q.size(), NAN), like_k(in.k.size(), NAN);
  const std::vector<float> like_lse(in.q.size() / s.head_dim, NAN);
  const DeviceBuffer out(table, like_q);
  const DeviceBuffer lse(table, like_lse);
  const DeviceBuffer dq(table, like_q);
  const DeviceBuffer dk(table, like_k);
  const DeviceBuffer dv(table, like_k);
  const int cut = p.num_kv_heads / 2;
  for (const auto& [begin, end] : {std::pair(0, cut), std::pair(cut, p.num_kv_heads)}) {
    table.ragged_attention(p, out.get(), lse.get(), begin, end, nullptr);
    table.ragged_attention_backward(p, out.get(), lse.get(), dout.get(), dq.get(), dk.get(),
                                    dv.get(), begin, end, nullptr);
  }
  return {out.Host(), lse.Host(), dq.Host(), dk.Host(), dv.Host()};
}

SelfTestResult CompareRagged(const CudaTable& table, const RaggedShape& s) {
  const RaggedInputs in(s);
  const RaggedOutputs want = RaggedOnCpu(s, in), got = RaggedOnDevice(table, s, in);
  return {std::max({Deviation(got.out, want.out), Deviation(got.lse, want.lse),
                    Deviation(got.dq, want.dq), Deviation(got.dk, want.dk),
                    Deviation(got.dv, want.dv)}),
          1e-5};
}

struct DecodeShape {
  const char* name;
  int num_heads, num_kv_heads, head_dim;
  std::vector<int32_t> length;
};

// Where the pages of all sequences lie in one piece of memory: in a random order.
struct PageLayout {
  std::vector<size_t> first;   // of a sequence's pages
  std::vector<int64_t> order;  // [pages] places
  int64_t page;                // floats

  PageLayout(const DecodeShape& s, std::mt19937& rng)
      : page(2 * kPageRows * int64_t{s.num_kv_heads} * s.head_dim) {
    for (int32_t length : s.length) {
      first.push_back(order.size());
      order.resize(order.size() + (length + kPageRows - 1) / kPageRows);
    }
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), rng);
  }
  int64_t floats() const { return static_cast<int64_t>(order.size()) * page; }

  template <typename Float>
  std::vector<Float*> Pages(Float* base) const {
    std::vector<Float*> pointers;
    for (int64_t place : order) pointers.push_back(base + place * page);
    return pointers;
  }
  template <typename Float>
  std::vector<Float* const*> Lists(Float* const* base) const {
    std::vector<Float* const*> pointers;
    for (size_t begin : first) pointers.push_back(base + begin);
    return pointers;
  }
};

SelfTestResult CompareDecode(const CudaTable& table, const DecodeShape& s) {
  std::mt19937 rng(103);
  const int batch = static_cast<int>(s.length.size());
  const std::vector<float> q = Normal(rng, int64_t{batch} * s.num_heads * s.head_dim, 1.5f);
  const PageLayout layout(s, rng);
  const std::vector<float> memory = Normal(rng, layout.floats(), 1.5f);
  std::vector<float> want(q.size());

  DecodeAttentionParams p;
  p.batch = batch, p.num_heads = s.num_heads, p.num_kv_heads = s.num_kv_heads;
  p.head_dim = s.head_dim, p.scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  const std::vector<const float*> host_pages = layout.Pages(memory.data());
  const std::vector<const float* const*> host_lists = layout.Lists(host_pages.data());
  p.q = q.data(), p.pages = host_lists.data(), p.length = s.length.data();
  DecodeAttention(Backend::kCpu, p, want.data(), nullptr);

  const DeviceBuffer dq(table, q);
  const DeviceBuffer device_memory(table, memory);
  const DeviceBuffer device_pages(table, layout.Pages(device_memory.get()));
  const DeviceBuffer device_lists(table, layout.Lists(device_pages.get()));
  const DeviceBuffer length(table, s.length);
  const DeviceBuffer out(table, std::vector<float>(q.size(), NAN));
  p.q = dq.get(), p.pages = device_lists.get(), p.length = length.get();
  table.decode_attention(p, out.get(), nullptr);
  return {Deviation(out.Host(), want), 1e-5};
}

// All pages afterwards: what was written where, and what was left alone.
SelfTestResult CompareAppend(const CudaTable& table, const DecodeShape& s) {
  std::mt19937 rng(107);
  const int batch = static_cast<int>(s.length.size());
  const int64_t row = int64_t{s.num_kv_heads} * s.head_dim;
  const std::vector<float> k = Normal(rng, batch * row), v = Normal(rng, batch * row);
  const PageLayout layout(s, rng);
  std::vector<float> memory = Normal(rng, layout.floats());
  const DeviceBuffer device_memory(table, memory);

  AppendKvParams p;
  p.batch = batch, p.num_kv_heads = s.num_kv_heads, p.head_dim = s.head_dim;
  const std::vector<float*> host_pages = layout.Pages(memory.data());
  const std::vector<float* const*> host_lists = layout.Lists(host_pages.data());
  p.k = k.data(), p.v = v.data(), p.pages = host_lists.data(), p.length = s.length.data();
  AppendKv(Backend::kCpu, p, nullptr);

  const DeviceBuffer dk(table, k), dv(table, v);
  const DeviceBuffer device_pages(table, layout.Pages(device_memory.get()));
  const DeviceBuffer device_lists(table, layout.Lists(device_pages.get()));
  const DeviceBuffer length(table, s.length);
  p.k = dk.get(), p.v = dv.get(), p.pages = device_lists.get(), p.length = length.get();
  table.append_kv(p, nullptr);
  return {Deviation(device_memory.Host(), memory), 0};
}

}  // namespace

std::vector<SelfTestCase> AttentionSelfTests() {
  const std::vector<RaggedShape> ragged = {
      {"RaggedAttention_causal_gqa", 4, 2, 32, {70}, {70}, true, false},
      {"RaggedAttention_evicted", 2, 2, 64, {60, 9}, {90, 9}, true, true},
      {"RaggedAttention_windows", 2, 2, 20, {16, 0, 35}, {16, 3, 35}, false, false},
      {"RaggedAttention_dim_128", 2, 1, 128, {40}, {70}, true, false},
  };
  const std::vector<DecodeShape> decode = {
      {"DecodeAttention_batch", 4, 2, 32, {70, 0, 33, 130}},
      {"DecodeAttention_dim_128", 2, 1, 128, {9, 300}},
      {"DecodeAttention_parts", 7, 1, 20, {128, 129, 4096, 1}},
      {"DecodeAttention_longer_parts", 9, 1, 16, {4097, 0, 6500}},
  };
  std::vector<SelfTestCase> cases;
  for (const RaggedShape& s : ragged) {
    cases.push_back({s.name, [s](const CudaTable& table) { return CompareRagged(table, s); }});
  }
  for (const DecodeShape& s : decode) {
    cases.push_back({s.name, [s](const CudaTable& table) { return CompareDecode(table, s); }});
  }
  const DecodeShape append = {"AppendKv_page_ends", 2, 2, 80, {1, 0, 64, 65, 128, 30}};
  cases.push_back(
      {append.name, [append](const CudaTable& table) { return CompareAppend(table, append); }});
  return cases;
}

}  // namespace ziprl::kernels
