// FloatLayers against the tensor operations that learner and GPU use, in both types, on prompts and
// on decode steps.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "rollout/decoder.h"
#include "rollout/group.h"
#include "tests/rollout/engine_case.h"

namespace ziprl {
namespace {

enum class Path { kFloats, kFloatsBehindTensors, kTensors };

constexpr int kSteps = 6;

EngineConfig Settings() {
  EngineConfig config;
  config.max_response_length = kSteps + 1;
  return config;
}

// Logits behind the prompt and behind each of kSteps given tokens, of three samples: [S, G * V].
at::Tensor LogitsOf(const std::string& name, const std::string& dtype, Path path) {
  const EngineConfig config = Settings();
  const std::shared_ptr<Model> model = TinyModel(name, dtype);
  EngineContext context = *MakeEngineContext(config, *model);
  context.float_prompts = path == Path::kFloats;
  if (path == Path::kTensors) context.floats = nullptr;
  const std::vector<double> dense(3, 1.0);  // kept sets would differ where masses nearly tie
  VisualFeatures features;
  std::vector<at::Tensor> logits;
  const auto keep = [&](const float* rows) {
    const int64_t size = static_cast<int64_t>(dense.size()) * model->arch.vocab;
    logits.push_back(at::from_blob(const_cast<float*>(rows), {size}).clone());
  };
  const absl::Status status = GuardTorch(1, [&] {
    PrefilledGroup group =
        *StartGroup(context, features, TinyLease(TinyPrompt(*model, 90, 1, 3), dense, 3));
    const std::unique_ptr<Decoder> decoder = MakeDecoder(context);
    keep(decoder->Logits(group.last_rows));
    Rows rows;
    for (Sequence& sequence : group.sequences) rows.push_back(&sequence);
    for (int step = 0; step < kSteps; ++step) {
      for (size_t s = 0; s < rows.size(); ++s) {
        rows[s]->out.token_ids.push_back(static_cast<int32_t>(17 * step + 5 * s));
      }
      keep(decoder->Step(rows));
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return at::stack(logits);
}

double Apart(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().mean().item<double>();
}

class LayersTest : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Models, LayersTest, ::testing::Values("base", "odd"),
                         [](const auto& info) { return info.param; });

TEST_P(LayersTest, Fp32IsTheTensorPaths) {
  const at::Tensor tensors = LogitsOf(GetParam(), "fp32", Path::kTensors);
  EXPECT_LT((LogitsOf(GetParam(), "fp32", Path::kFloats) - tensors).abs().max().item<double>(),
            1e-4);
}

// Both round at the same places: what is left is products summed in another order, which now and
// then round to the neighbour. Without it they would be as far apart as bf16 is from fp32.
TEST_P(LayersTest, Bf16IsNearerToTheTensorPathThanToFp32) {
  const at::Tensor tensors = LogitsOf(GetParam(), "bf16", Path::kTensors);
  const double own = Apart(tensors, LogitsOf(GetParam(), "fp32", Path::kTensors));
  ASSERT_GT(own, 1e-4);  // it is bf16 that runs
  for (const Path path : {Path::kFloats, Path::kFloatsBehindTensors}) {
    const double apart = Apart(LogitsOf(GetParam(), "bf16", path), tensors);
    RecordProperty(path == Path::kFloats ? "floats" : "behind_tensors",
                   std::to_string(apart / own));
    EXPECT_LT(apart, own / 2);
  }
}

// A response scored at once against the same one generated token by token.
TEST_P(LayersTest, ScoresAreThoseOfGenerationInBf16) {
  const std::shared_ptr<Model> model = TinyModel(GetParam(), "bf16");
  EngineConfig config = Settings();
  config.ignore_eos = true;
  const GroupLease lease = TinyLease(TinyPrompt(*model, 90, 1, 4), {1.0}, 4);
  const Completion sample = MustGenerate(config, model, lease)[0];
  VisualFeatures features;
  for (size_t length : {size_t{1}, sample.token_ids.size()}) {
    const std::vector<int32_t> response(sample.token_ids.begin(),
                                        sample.token_ids.begin() + length);
    const auto scored = ScoreResponse(config, *model, features, lease, response, nullptr);
    ASSERT_TRUE(scored.ok()) << scored.status();
    ASSERT_EQ(scored->logprobs.size(), length);
    double apart = 0.0;
    for (size_t t = 0; t < length; ++t) {
      apart += std::abs(scored->logprobs[t] - sample.logprobs[t]) / static_cast<double>(length);
    }
    EXPECT_LE(apart, 5e-3);
  }
}

}  // namespace
}  // namespace ziprl
