// How far each CPU kernel is from the roof of one core: fused multiply-adds in registers and
// reading memory, both measured in the same rounds. A kernel's least time is the larger of its
// multiply-adds at that rate and its bytes at this one; the ratio is the least time over its own.
// e^x counts as the thirteen multiply-adds, additions and products that Exp8 makes of it. Cases
// roofline_*.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "configs/base/bfloat16.h"
#include "configs/base/counter_rng.h"
#include "kernels/adamw.h"
#include "kernels/decode_attention.h"
#include "kernels/gather_rows.h"
#include "kernels/probe_mass.h"
#include "kernels/ragged_attention.h"
#include "kernels/row_gemm.h"
#include "kernels/sample_token.h"
#include "kernels/token_logprob.h"
#include "kernels/vec_math.h"
#include "model/row_ops.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr auto kCpu = kernels::Backend::kCpu;
constexpr int kRounds = 5;
constexpr double kExp = 13;

std::vector<float> Values(int64_t count, uint64_t key) {
  std::vector<float> x(count);
  for (int64_t i = 0; i < count; ++i) {
    x[i] = PhiloxUniform24(key, static_cast<uint32_t>(i), 0, 0, RngStream::kInit) - 0.5f;
  }
  return x;
}

volatile float sink;  // keeps results of measured loops

// Multiply-adds per second.
double FmaRate() {
  constexpr int kChains = 12;
  constexpr int64_t kSteps = 20'000'000;
  using kernels::F8;
  const double seconds = Seconds([] {
    F8 sum[kChains];
    F8 a = kernels::Splat8(0.999f), b = kernels::Splat8(1e-3f);
    asm volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      sum[c] = kernels::Splat8(static_cast<float>(c));
      asm volatile("" : "+x"(sum[c]));  // no two are known to be equal
    }
    for (int64_t i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
      for (int c = 0; c < kChains; ++c) sum[c] = sum[c] * a + b;
    }
    for (int c = 0; c < kChains; ++c) sink = kernels::HorizontalMax(sum[c]);
  });
  return kChains * 8.0 * kSteps / seconds;
}

// Bytes per second, in eight streams.
double ReadRate(const std::vector<float>& memory) {
  using kernels::F8;
  constexpr int kStreams = 8;
  const int64_t length = static_cast<int64_t>(memory.size()) / kStreams / 8 * 8;
  const float* const from = memory.data();
  const double seconds = Seconds([=] {
    F8 sum[kStreams] = {};
    for (int64_t i = 0; i < length; i += 8) {
#pragma GCC unroll 8
      for (int s = 0; s < kStreams; ++s) sum[s] += kernels::Load8(from + s * length + i);
    }
    for (int s = 0; s < kStreams; ++s) sink = kernels::HorizontalMax(sum[s]);
  });
  return kStreams * length * sizeof(float) / seconds;
}

struct Case {
  std::string name;
  double fmas, bytes;  // of a run
  std::function<void()> run;
  std::vector<double> seconds, ratios;
};

// Rows of x as rollout/float_layers lays them: not at the same places of a page.
constexpr int kPad = 16;

Case RowGemmCase(const std::string& name, int rows, int n, int k) {
  auto w = std::make_shared<std::vector<float>>(Values(int64_t{n} * k, 1));
  auto x = std::make_shared<std::vector<float>>(Values(int64_t{rows} * (k + kPad), 2));
  auto y = std::make_shared<std::vector<float>>(int64_t{rows} * n);
  return {name, 1.0 * rows * n * k, 4.0 * n * k, [=] {
            kernels::RowGemmParams<float> p;
            p.x = x->data(), p.x_row = k + kPad, p.w = w->data(), p.y = y->data(), p.y_row = n;
            p.m = rows, p.n = n, p.k = k;
            kernels::RowGemm(p);
          }};
}

Case NarrowRowGemmCase(int n, int k) {
  auto w = std::make_shared<std::vector<uint16_t>>();
  for (float value : Values(int64_t{n} * k, 1)) w->push_back(ToBfloat16(value));
  auto x = std::make_shared<std::vector<float>>(Values(k, 2));
  auto y = std::make_shared<std::vector<float>>(n);
  return {"row_gemm_bf16_1", 1.0 * n * k, 2.0 * n * k, [=] {
            kernels::RowGemmParams<uint16_t> p;
            p.x = x->data(), p.x_row = k, p.w = w->data(), p.y = y->data(), p.y_row = n;
            p.m = 1, p.n = n, p.k = k;
            kernels::RowGemm(p);
          }};
}

// Eight sequences of 8,000 entries.
struct Caches {
  static constexpr int kBatch = 8, kLength = 8000, kHeads = 12, kKvHeads = 2, kDim = 128;
  static constexpr int kPages = (kLength + kernels::kPageRows - 1) / kernels::kPageRows;
  static constexpr int64_t kPageFloats = int64_t{2} * kernels::kPageRows * kKvHeads * kDim;
  std::vector<float> storage = Values(int64_t{kBatch} * kPages * kPageFloats, 3);
  std::vector<float> q = Values(int64_t{kBatch} * kHeads * kDim, 4), out = q;
  std::vector<const float*> pages;
  std::vector<const float* const*> lists;
  std::vector<int32_t> length = std::vector<int32_t>(kBatch, kLength);

  Caches() {
    for (int i = 0; i < kBatch * kPages; ++i) pages.push_back(storage.data() + i * kPageFloats);
    for (int b = 0; b < kBatch; ++b) lists.push_back(pages.data() + b * kPages);
  }
};

Case DecodeAttentionCase() {
  auto in = std::make_shared<Caches>();
  const double entries = 1.0 * Caches::kBatch * Caches::kLength;
  return {"decode_attention", entries * Caches::kHeads * (2 * Caches::kDim + kExp),
          entries * 2 * Caches::kKvHeads * Caches::kDim * 4, [in] {
            kernels::DecodeAttentionParams p;
            p.q = in->q.data(), p.pages = in->lists.data(), p.length = in->length.data();
            p.batch = Caches::kBatch, p.num_heads = Caches::kHeads;
            p.num_kv_heads = Caches::kKvHeads, p.head_dim = Caches::kDim;
            p.scale = 0.088f;
            kernels::DecodeAttention(kCpu, p, in->out.data(), nullptr);
          }};
}

// A prompt of 2,048 rows.
struct Prompt {
  static constexpr int kRows = 2048, kHeads = 4, kKvHeads = 2, kDim = 64, kProbes = 128;
  std::vector<float> q = Values(int64_t{kRows} * kHeads * kDim, 5), out = q;
  std::vector<float> k = Values(int64_t{kRows} * kKvHeads * kDim, 6), v = k;
  std::vector<float> lse = std::vector<float>(int64_t{kRows} * kHeads);
  std::vector<int32_t> position = std::vector<int32_t>(kRows), limit;
  std::vector<int32_t> end = std::vector<int32_t>(kRows, std::numeric_limits<int32_t>::max());
  std::vector<int32_t> offsets = {0, kRows};
  std::vector<int64_t> mass = std::vector<int64_t>(kRows);

  Prompt() : limit(kProbes) {
    std::iota(position.begin(), position.end(), 0);
    std::iota(limit.begin(), limit.end(), kRows - kProbes + 1);
  }
};

Case RaggedAttentionCase() {
  auto in = std::make_shared<Prompt>();
  const double pairs = 0.5 * Prompt::kRows * Prompt::kRows * Prompt::kHeads;
  return {"ragged_attention", pairs * (2 * Prompt::kDim + kExp), 0, [in] {
            kernels::RaggedAttentionParams p;
            p.q = in->q.data(), p.k = in->k.data(), p.v = in->v.data();
            p.q_pos = p.k_pos = in->position.data(), p.k_end = in->end.data();
            p.q_offsets = p.k_offsets = in->offsets.data(), p.num_segments = 1;
            p.num_heads = Prompt::kHeads, p.num_kv_heads = Prompt::kKvHeads;
            p.head_dim = Prompt::kDim, p.scale = 0.125f;
            kernels::RaggedAttention(kCpu, p, in->out.data(), in->lse.data(), 0, p.num_kv_heads,
                                     nullptr);
          }};
}

Case ProbeMassCase() {
  auto in = std::make_shared<Prompt>();
  const double keys = Prompt::kRows - (Prompt::kProbes - 1) / 2.0;  // that a probe sees
  const double pairs = keys * Prompt::kProbes * Prompt::kHeads;
  return {"probe_mass", pairs * (Prompt::kDim + kExp), 0, [in] {
            kernels::ProbeMassParams p;
            p.q = in->q.data() + (Prompt::kRows - Prompt::kProbes) * Prompt::kHeads * Prompt::kDim;
            p.k = in->k.data(), p.limit = in->limit.data();
            p.q_stride = Prompt::kHeads * Prompt::kDim;
            p.k_stride = Prompt::kKvHeads * Prompt::kDim;
            p.num_probes = Prompt::kProbes, p.num_keys = Prompt::kRows;
            p.num_heads = Prompt::kHeads, p.num_kv_heads = Prompt::kKvHeads;
            p.head_dim = Prompt::kDim, p.scale = 0.125f;
            kernels::ProbeMass(kCpu, p, in->mass.data(), nullptr, nullptr);
          }};
}

// 64 rows of a large vocabulary.
struct Logits {
  static constexpr int64_t kRows = 64, kVocab = 151936;
  std::vector<float> logits = Values(kRows * kVocab, 7);
  std::vector<int32_t> token = std::vector<int32_t>(kRows, 77);
  std::vector<float> logprob = std::vector<float>(kRows), lse = logprob;
  std::vector<kernels::LogprobState> state = std::vector<kernels::LogprobState>(kRows);
  std::vector<double> uniform = std::vector<double>(kRows, 0.5);
};

Case TokenLogprobCase(const std::shared_ptr<Logits>& in) {
  const double size = 1.0 * Logits::kRows * Logits::kVocab;
  return {"token_logprob", size * kExp, size * 4, [in] {
            kernels::TokenLogprobParams p;
            p.logits = in->logits.data(), p.rows = Logits::kRows;
            p.columns = p.vocab = Logits::kVocab, p.target = in->token.data();
            kernels::TokenLogprob(kCpu, p, in->state.data(), in->logprob.data(), in->lse.data(),
                                  nullptr, nullptr);
          }};
}

Case SampleTokenCase(const std::shared_ptr<Logits>& in) {
  const double size = 1.0 * Logits::kRows * Logits::kVocab;
  return {"sample_token", size * kExp, size * 4, [in] {
            kernels::SampleTokenParams p;
            p.logits = in->logits.data(), p.rows = Logits::kRows, p.vocab = Logits::kVocab;
            p.uniform = in->uniform.data(), p.temperature = 0.9f;
            kernels::SampleToken(kCpu, p, in->token.data(), in->logprob.data(), nullptr);
          }};
}

// Four arrays beyond the cache: what works element by element.
struct Arrays {
  static constexpr int64_t kSize = 8'000'000, kColumns = 1000;
  std::vector<float> a = Values(kSize, 8), b = Values(kSize, 9);
  std::vector<float> c = std::vector<float>(kSize), d = std::vector<float>(kSize, 0.1f);
  std::vector<int64_t> index;

  Arrays() {
    for (int64_t row = 0; row < kSize / kColumns; row += 2) index.push_back(row);
  }
};

// Bytes come from memory: what is read, and lines that are written to without having been read.
std::vector<Case> ArrayCases() {
  auto in = std::make_shared<Arrays>();
  const double size = Arrays::kSize, rows = size / Arrays::kColumns;
  return {
      {"adamw", 8 * size, 4 * 4 * size,
       [in] {
         kernels::AdamWParams p;
         p.lr = 1e-6f;
         kernels::AdamW(kCpu, p, in->a.data(), in->b.data(), in->c.data(), in->d.data(),
                        Arrays::kSize, nullptr);
       }},
      {"gather_rows", 0, 4 * 2 * size / 2,
       [in] {
         kernels::GatherRows(kCpu, in->b.data(), in->index.data(),
                             static_cast<int64_t>(in->index.size()), Arrays::kColumns * 4,
                             in->c.data(), nullptr);
       }},
      {"rms_norm", 3 * size, 4 * 2 * size,
       [in, rows] {
         RmsNormRows(in->a.data(), in->b.data(), 1e-6f, static_cast<int64_t>(rows),
                     Arrays::kColumns, in->c.data(), in->d.data());
       }},
      {"swiglu", (kExp + 3) * size, 4 * 3 * size,
       [in] { SwiGluRows(in->a.data(), in->b.data(), Arrays::kSize, in->c.data()); }},
  };
}

std::vector<Case> AllCases() {
  std::vector<Case> cases = {
      RowGemmCase("row_gemm_1", 1, 8192, 4096),
      RowGemmCase("row_gemm_8", 8, 8192, 4096),
      RowGemmCase("row_gemm_128", 128, 2048, 2048),
      NarrowRowGemmCase(8192, 4096),
      DecodeAttentionCase(),
      RaggedAttentionCase(),
      ProbeMassCase(),
  };
  const auto logits = std::make_shared<Logits>();
  cases.push_back(TokenLogprobCase(logits));
  cases.push_back(SampleTokenCase(logits));
  for (Case& one : ArrayCases()) cases.push_back(std::move(one));
  return cases;
}

}  // namespace
}  // namespace ziprl

int main() {
  const std::vector<float> memory = ziprl::Values(64'000'000, 10);
  std::vector<double> fma_rates, read_rates;
  std::vector<ziprl::Case> cases = ziprl::AllCases();
  for (ziprl::Case& one : cases) one.run();
  for (int round = 0; round < ziprl::kRounds; ++round) {
    fma_rates.push_back(ziprl::FmaRate());
    read_rates.push_back(ziprl::ReadRate(memory));
    for (ziprl::Case& one : cases) {
      one.seconds.push_back(ziprl::Seconds(one.run));
      const double least = std::max(one.fmas / fma_rates.back(), one.bytes / read_rates.back());
      one.ratios.push_back(least / one.seconds.back());
    }
  }
  const double fma = ziprl::Median(fma_rates), read = ziprl::Median(read_rates);
  ziprl::Report({"roofline_fma", 2 * fma / 1e9, {}, 2 * fma / 1e9, {}, {}, "GFLOP/s"});
  ziprl::Report({"roofline_read", read / 1e9, {}, read / 1e9, {}, {}, "GB/s"});
  for (const ziprl::Case& one : cases) {
    const bool memory_bound = one.bytes / read > one.fmas / fma;
    ziprl::Report({"roofline_" + one.name, ziprl::Median(one.seconds),
                   std::max(one.fmas / fma, one.bytes / read), ziprl::Median(one.ratios),
                   std::nullopt, 1,
                   absl::StrFormat("s; the roof is %s", memory_bound ? "memory" : "arithmetic")});
  }
}
