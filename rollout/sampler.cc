#include "rollout/sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "configs/base/counter_rng.h"
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

void Sampler::Draw(kernels::SampleTokenParams params) {
  const Device& device = context_.device();
  if (device.device.is_cpu()) {
    params.uniform = uniform_.data();
    return kernels::SampleToken(device.backend(), params, token_.data(), logprob_.data(), nullptr);
  }
  const at::Tensor uniform = ToDevice(uniform_, device);
  const at::Tensor token = at::empty({params.rows}, device.Int());
  const at::Tensor logprob = at::empty({params.rows}, device.Float());
  params.uniform = uniform.data_ptr<double>();
  kernels::SampleToken(device.backend(), params, token.data_ptr<int32_t>(),
                       logprob.data_ptr<float>(), CurrentStream(device.device));
  const at::Tensor token_host = token.cpu(), logprob_host = logprob.cpu();
  std::copy_n(token_host.data_ptr<int32_t>(), params.rows, token_.begin());
  std::copy_n(logprob_host.data_ptr<float>(), params.rows, logprob_.begin());
}

void Sampler::Next(const float* logits, const std::vector<Sequence*>& rows) {
  uniform_.assign(rows.size(), 0.0);
  token_.resize(rows.size());
  logprob_.resize(rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] == nullptr) continue;
    const Completion& out = rows[r]->out;
    uniform_[r] = PhiloxUniform53(out.seed, static_cast<uint32_t>(out.token_ids.size()), 0, 0,
                                  RngStream::kToken);
  }
  kernels::SampleTokenParams params;
  params.logits = logits;
  params.rows = static_cast<int64_t>(rows.size());
  params.vocab = context_.arch().vocab;
  if (context_.suppressed.defined()) params.suppressed = context_.suppressed.data_ptr<uint8_t>();
  params.temperature = static_cast<float>(context_.config->temperature);
  params.top_k = context_.config->top_k;
  params.top_p = static_cast<float>(context_.config->top_p);
  Draw(params);
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] != nullptr) Append(context_, token_[r], logprob_[r], rows[r]);
  }
}

}  // namespace ziprl
