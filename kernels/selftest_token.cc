#include "kernels/device_buffer.h"
#include "kernels/selftest_cases.h"

namespace ziprl::kernels {
namespace {

struct TokenShape {
  const char* name;
  int rows, vocab;
  float temperature;
  bool suppress;
  int top_k = 0;
  float top_p = 1.0f;
};

// Columns [first, first + columns) of rows of `vocab`.
std::vector<float> Part(const std::vector<float>& rows, int vocab, int first, int columns) {
  std::vector<float> part;
  for (auto row = rows.begin(); row != rows.end(); row += vocab) {
    part.insert(part.end(), row + first, row + first + columns);
  }
  return part;
}

struct TokenInputs {
  explicit TokenInputs(const TokenShape& s) : suppressed(s.vocab) {
    std::mt19937 rng(127);
    logits = Normal(rng, int64_t{s.rows} * s.vocab, 2.0f);
    dlogprob = Normal(rng, s.rows);
    for (uint8_t& id : suppressed) id = s.suppress && rng() % 4 == 0;
    suppressed[s.vocab / 2] = 0;
    for (int r = 0; r < s.rows; ++r) {
      const int32_t id = static_cast<int32_t>(rng() % s.vocab);
      target.push_back(suppressed[id] != 0 ? s.vocab / 2 : id);
      uniform.push_back(rng() / 4294967296.0);
    }
  }
  std::vector<float> logits, dlogprob;
  std::vector<double> uniform;
  std::vector<int32_t> target;
  std::vector<uint8_t> suppressed;
};

// The vocabulary in blocks of `columns`.
SelfTestResult CompareLogprob(const CudaTable& table, const TokenShape& s, int columns) {
  TokenInputs in(s);
  const DeviceBuffer dlogprob(table, in.dlogprob);
  const DeviceBuffer target(table, in.target);
  const DeviceBuffer suppressed(table, in.suppressed);
  const std::vector<float> rows(s.rows, NAN);
  const DeviceBuffer logprob(table, rows);
  const DeviceBuffer lse(table, rows);
  const DeviceBuffer entropy(table, rows);
  std::vector<LogprobState> states(s.rows);
  const DeviceBuffer state(table, states);
  std::vector<float> want_logprob(s.rows), want_lse(s.rows), want_entropy(s.rows);
  double worst = 0.0;
  for (const bool backward : {false, true}) {
    for (int first = 0; first < s.vocab; first += columns) {
      TokenLogprobParams p;
      p.rows = s.rows, p.vocab = s.vocab, p.inv_temperature = 1.0f / s.temperature;
      p.first = first, p.columns = std::min(columns, s.vocab - first);
      std::vector<float> part = Part(in.logits, s.vocab, first, static_cast<int>(p.columns));
      const DeviceBuffer logits(table, part);
      p.logits = logits.get(), p.target = target.get();
      p.suppressed = s.suppress ? suppressed.get() : nullptr;
      TokenLogprobParams want = p;
      want.logits = part.data(), want.target = in.target.data();
      want.suppressed = s.suppress ? in.suppressed.data() : nullptr;
      if (backward) {
        table.token_logprob_backward(p, lse.get(), dlogprob.get(), nullptr);
        TokenLogprobBackward(Backend::kCpu, want, want_lse.data(), in.dlogprob.data(), nullptr);
        worst = std::max(worst, Deviation(logits.Host(), part));
        continue;
      }
      table.token_logprob(p, state.get(), logprob.get(), lse.get(), entropy.get(), nullptr);
      TokenLogprob(Backend::kCpu, want, states.data(), want_logprob.data(), want_lse.data(),
                   want_entropy.data(), nullptr);
    }
  }
  return {std::max({Deviation(logprob.Host(), want_logprob), Deviation(lse.Host(), want_lse),
                    Deviation(entropy.Host(), want_entropy), worst}),
          1e-5};
}

SelfTestResult CompareSample(const CudaTable& table, const TokenShape& s) {
  const TokenInputs in(s);
  const DeviceBuffer logits(table, in.logits);
  const DeviceBuffer uniform(table, in.uniform);
  const DeviceBuffer suppressed(table, in.suppressed);
  const DeviceBuffer token(table, std::vector<int32_t>(s.rows, -1));
  const DeviceBuffer logprob(table, std::vector<float>(s.rows, NAN));
  SampleTokenParams p;
  p.rows = s.rows, p.vocab = s.vocab, p.temperature = s.temperature;
  p.top_k = s.top_k, p.top_p = s.top_p;
  p.logits = logits.get(), p.uniform = uniform.get();
  p.suppressed = s.suppress ? suppressed.get() : nullptr;
  table.sample_token(p, token.get(), logprob.get(), nullptr);

  std::vector<int32_t> want_token(s.rows);
  std::vector<float> want_logprob(s.rows);
  p.logits = in.logits.data(), p.uniform = in.uniform.data();
  p.suppressed = s.suppress ? in.suppressed.data() : nullptr;
  SampleToken(Backend::kCpu, p, want_token.data(), want_logprob.data(), nullptr);
  if (token.Host() != want_token) return {INFINITY, 1e-5};
  return {Deviation(logprob.Host(), want_logprob), 1e-5};
}

SelfTestResult CompareAdamW(const CudaTable& table, int64_t n) {
  std::mt19937 rng(131);
  std::vector<float> param = Normal(rng, n), grad = Normal(rng, n), m = Normal(rng, n, 0.1f);
  std::vector<float> v(n, 0.02f);
  const DeviceBuffer device_param(table, param);
  const DeviceBuffer device_grad(table, grad);
  const DeviceBuffer device_m(table, m);
  const DeviceBuffer device_v(table, v);
  AdamWParams p;
  p.lr = 1e-2f, p.weight_decay = 0.1f, p.step = 3, p.grad_scale = 0.5f;
  table.adamw(p, device_param.get(), device_grad.get(), device_m.get(), device_v.get(), n, nullptr);
  AdamW(Backend::kCpu, p, param.data(), grad.data(), m.data(), v.data(), n, nullptr);
  return {std::max({Deviation(device_param.Host(), param), Deviation(device_m.Host(), m),
                    Deviation(device_v.Host(), v)}),
          1e-6};
}

}  // namespace

std::vector<SelfTestCase> TokenSelfTests() {
  std::vector<SelfTestCase> cases;
  for (const TokenShape& s : {TokenShape{"TokenLogprob_small", 3, 7, 1.0f, true},
                              TokenShape{"TokenLogprob_vocab_5000", 4, 5000, 0.8f, true}}) {
    const std::string name = s.name;
    cases.push_back(
        {name, [s](const CudaTable& table) { return CompareLogprob(table, s, s.vocab); }});
    cases.push_back({name + "_blocks", [s](const CudaTable& table) {
                       return CompareLogprob(table, s, s.vocab / 3);
                     }});
  }
  for (const TokenShape& s : {TokenShape{"SampleToken_plain", 20, 700, 1.0f, false},
                              TokenShape{"SampleToken_suppressed", 20, 1500, 0.7f, true},
                              TokenShape{"SampleToken_greedy", 5, 700, 0.0f, true},
                              TokenShape{"SampleToken_top_k", 10, 700, 1.0f, true, 5},
                              TokenShape{"SampleToken_top_p", 10, 700, 1.0f, false, 0, 0.6f},
                              TokenShape{"SampleToken_both", 10, 700, 1.2f, true, 30, 0.8f}}) {
    cases.push_back({s.name, [s](const CudaTable& table) { return CompareSample(table, s); }});
  }
  for (int64_t n : {1, 1000}) {
    cases.push_back({"AdamW_" + std::to_string(n),
                     [n](const CudaTable& table) { return CompareAdamW(table, n); }});
  }
  return cases;
}

}  // namespace ziprl::kernels
