#include <memory>

#include "kernels/sample_token.h"
#include "kernels/token_logprob.h"
#include "kernels/top_p_select.h"
#include "tests/instructions/loops.h"

namespace ziprl {
namespace {

using kernels::Backend;

// Eight rows of a vocabulary of 20,003, every eighth id suppressed.
struct Logits {
  static constexpr int kRows = 8, kVocab = 20003;
  std::vector<float> logits = UniformFloats(31, int64_t{kRows} * kVocab, 8.0f);
  std::vector<float> logprob = std::vector<float>(kRows), lse = logprob, entropy = logprob;
  std::vector<kernels::LogprobState> state = std::vector<kernels::LogprobState>(kRows);
  std::vector<float> dlogprob = UniformFloats(32, kRows);
  std::vector<uint8_t> suppressed = std::vector<uint8_t>(kVocab);
  std::vector<int32_t> token = std::vector<int32_t>(kRows);
  std::vector<double> uniform = std::vector<double>(kRows);

  Logits() {
    for (int i = 0; i < kVocab; i += 8) suppressed[i] = 1;
    for (int r = 0; r < kRows; ++r) token[r] = 2 * r + 1, uniform[r] = 0.93 - r * 0.1;
  }
  kernels::TokenLogprobParams LogprobParams() {
    kernels::TokenLogprobParams p;
    p.logits = logits.data(), p.rows = kRows, p.target = token.data();
    p.columns = p.vocab = kVocab;
    p.suppressed = suppressed.data(), p.inv_temperature = 1.25f;
    return p;
  }
  void Forward() {
    kernels::TokenLogprob(Backend::kCpu, LogprobParams(), state.data(), logprob.data(), lse.data(),
                          entropy.data(), nullptr);
  }
  void Backward() {
    kernels::TokenLogprobBackward(Backend::kCpu, LogprobParams(), lse.data(), dlogprob.data(),
                                  nullptr);
  }
  void Sample(float top_p, int top_k = 0) {
    kernels::SampleTokenParams p;
    p.logits = logits.data(), p.rows = kRows, p.vocab = kVocab;
    p.suppressed = suppressed.data(), p.uniform = uniform.data();
    p.temperature = 0.8f, p.top_p = top_p, p.top_k = top_k;
    kernels::SampleToken(Backend::kCpu, p, token.data(), logprob.data(), nullptr);
  }
};

// 8,192 keys, every sixteenth forced.
struct MassInput {
  static constexpr int kKeys = 8192;
  std::vector<int64_t> mass;
  std::vector<int32_t> seen;
  std::vector<uint8_t> forced = std::vector<uint8_t>(kKeys), keep = forced;
  std::vector<float> score = std::vector<float>(kKeys);

  MassInput() {
    for (uint32_t m : UniformInts(33, kKeys, 1u << 31)) mass.push_back(int64_t{m} * m >> 20);
    for (uint32_t s : UniformInts(34, kKeys, 100)) seen.push_back(static_cast<int32_t>(s));
    for (int j = 0; j < kKeys; j += 16) forced[j] = 1;
  }
  void Select() {
    kernels::TopPParams p;
    p.mass = mass.data(), p.seen = seen.data(), p.forced = forced.data();
    p.num_keys = kKeys, p.num_heads = 4, p.p = 0.9;
    kernels::TopPResult result;
    kernels::TopPSelect(Backend::kCpu, p, keep.data(), score.data(), &result, nullptr);
  }
};

}  // namespace

std::vector<Loop> TokenLoops() {
  return {
      {"top_p_select",
       [] {
         auto in = std::make_shared<MassInput>();
         return [in] { in->Select(); };
       }},
      {"token_logprob",
       [] {
         auto in = std::make_shared<Logits>();
         return [in] { in->Forward(); };
       }},
      {"token_logprob_backward",
       [] {
         auto in = std::make_shared<Logits>();
         in->Forward();
         return [in] { in->Backward(); };
       }},
      {"sample_token",
       [] {
         auto in = std::make_shared<Logits>();
         return [in] { in->Sample(1.0f); };
       }},
      {"sample_token_top_p",
       [] {
         auto in = std::make_shared<Logits>();
         return [in] { in->Sample(0.9f); };
       }},
      {"sample_token_top_k",
       [] {
         auto in = std::make_shared<Logits>();
         return [in] { in->Sample(1.0f, 50); };
       }},
  };
}

}  // namespace ziprl
