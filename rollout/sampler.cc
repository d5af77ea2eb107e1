#include "rollout/sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "configs/base/counter_rng.h"
#include "kernels/sample_token.h"
#include "rollout/host_tensor.h"

namespace ziprl {
namespace {

// A stop string may begin inside a token and end inside the newest; it spans at most its bytes in
// tokens.
bool HoldsStopString(const EngineContext& context, const std::vector<int32_t>& ids) {
  size_t longest = 0;
  for (const std::string& stop : context.config->stop) longest = std::max(longest, stop.size());
  if (longest == 0) return false;
  const size_t tail = std::min(ids.size(), longest + 1);
  const std::string text = context.model->processor->tokenizer().Decode(
      std::vector<int32_t>(ids.end() - tail, ids.end()), /*skip_special=*/true);
  return std::any_of(context.config->stop.begin(), context.config->stop.end(),
                     [&](const std::string& stop) {
                       return !stop.empty() && text.find(stop) != std::string::npos;
                     });
}

void Append(const EngineContext& context, int32_t token, float logprob, Sequence* sequence) {
  const EngineConfig& config = *context.config;
  Completion& out = sequence->out;
  out.token_ids.push_back(token);
  out.logprobs.push_back(logprob);
  const auto& ends = context.arch().eos_tokens;
  const bool ended = std::find(ends.begin(), ends.end(), token) != ends.end();
  const bool stopped = !config.ignore_eos && (ended || HoldsStopString(context, out.token_ids));
  if (stopped) out.finish_reason = FinishReason::kStop;
  sequence->done = stopped || static_cast<int>(out.token_ids.size()) >= config.max_response_length;
}

}  // namespace

void SampleNext(const EngineContext& context, const at::Tensor& logits,
                const std::vector<Sequence*>& rows) {
  std::vector<int64_t> active;
  std::vector<double> uniform;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] == nullptr) continue;
    active.push_back(static_cast<int64_t>(r));
    const Completion& out = rows[r]->out;
    uniform.push_back(PhiloxUniform53(out.seed, static_cast<uint32_t>(out.token_ids.size()), 0, 0,
                                      RngStream::kToken));
  }
  const Device& device = context.device();
  const int64_t count = static_cast<int64_t>(active.size());
  const at::Tensor drawn =
      (active.size() == rows.size() ? logits : logits.index_select(0, ToDevice(active, device)))
          .to(at::kFloat)
          .contiguous();
  const at::Tensor uniforms = ToDevice(uniform, device);
  const at::Tensor tokens = at::empty({count}, device.Int());
  const at::Tensor logprobs = at::empty({count}, device.Float());
  kernels::SampleTokenParams params;
  params.logits = drawn.data_ptr<float>();
  params.rows = count;
  params.vocab = drawn.size(1);
  if (context.suppressed.defined()) params.suppressed = context.suppressed.data_ptr<uint8_t>();
  params.uniform = uniforms.data_ptr<double>();
  params.temperature = static_cast<float>(context.config->temperature);
  params.top_k = context.config->top_k;
  params.top_p = static_cast<float>(context.config->top_p);
  kernels::SampleToken(device.backend(), params, tokens.data_ptr<int32_t>(),
                       logprobs.data_ptr<float>(), CurrentStream(device.device));
  const at::Tensor tokens_host = tokens.cpu(), logprobs_host = logprobs.cpu();
  for (int64_t i = 0; i < count; ++i) {
    Append(context, tokens_host.data_ptr<int32_t>()[i], logprobs_host.data_ptr<float>()[i],
           rows[active[i]]);
  }
}

}  // namespace ziprl
