// The engine against its teacher-forced twin and against itself in other company.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/rollout/engine_case.h"

namespace ziprl {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

Completion MustScore(const EngineConfig& config, const Model& model, const GroupLease& lease,
                     const Completion& sample) {
  VisualFeatures features;
  GroupLease one = lease;
  one.samples = {{sample.index, sample.p, sample.seed}};
  auto scored = ScoreResponse(config, model, features, one, sample.token_ids, nullptr);
  EXPECT_TRUE(scored.ok()) << scored.status();
  return *scored;
}

double LargestGap(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t t = 0; t < std::min(a.size(), b.size()); ++t) {
    largest = std::max(largest, std::abs(static_cast<double>(a[t]) - b[t]));
  }
  return largest;
}

// Bit for bit.
void ExpectSame(const Completion& a, const Completion& b) {
  EXPECT_EQ(a.token_ids, b.token_ids);
  EXPECT_EQ(a.logprobs, b.logprobs);
  EXPECT_EQ(a.digest, b.digest);
  EXPECT_EQ(a.kept.events, b.kept.events);
}

class EngineTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { model = TinyModel(GetParam()); }
  GroupLease Lease(int length, const std::vector<double>& thresholds, uint64_t seed,
                   int images = 1) {
    return TinyLease(TinyPrompt(*model, length, images, seed), thresholds, seed);
  }
  std::shared_ptr<Model> model;
};

INSTANTIATE_TEST_SUITE_P(Models, EngineTest, ::testing::Values("base", "odd"),
                         [](const auto& info) { return info.param; });

TEST_P(EngineTest, GeneratedLogprobsAndSetsAreTheTeacherForcedOnes) {
  for (bool stochastic : {false, true}) {
    EngineConfig config = Settings(40, 8);
    config.stochastic = stochastic;
    const GroupLease lease = Lease(140, {0.975, 0.9, 0.6, 0.6, 1.0}, 3, 2);
    for (const Completion& sample : MustGenerate(config, model, lease)) {
      ASSERT_EQ(sample.token_ids.size(), 40u);
      ASSERT_EQ(sample.kept.events.size(), 5u) << "re-compressions after tokens 8, 16, 24, 32";
      const Completion scored = MustScore(config, *model, lease, sample);
      EXPECT_LT(LargestGap(sample.logprobs, scored.logprobs), 1e-4);
      EXPECT_EQ(sample.digest, scored.digest);
      EXPECT_EQ(sample.kv_kept_ratio, scored.kv_kept_ratio);
    }
  }
}

TEST_P(EngineTest, TauIsThatOfTheRecordedBitmaps) {
  const GroupLease lease = Lease(120, {0.95, 0.5}, 4);
  for (const Completion& sample : MustGenerate(Settings(12, 8), model, lease)) {
    double tau = 0;
    for (const Bitmap& layer : sample.kept.events[0]) tau += layer.Count() / 120.0;
    tau /= model->arch.layers;
    EXPECT_EQ(sample.kept_ratio, sample.kept.KeptRatio());
    EXPECT_NEAR(sample.kept_ratio, tau, 1e-12);
    EXPECT_EQ(sample.digest, sample.kept.Digest());
    EXPECT_LT(sample.kept_ratio, 1.0);
    EXPECT_LT(sample.kv_kept_ratio, 1.0);
  }
}

TEST_P(EngineTest, FirstLayerKeepsNoFewerTokensWhenPRises) {
  const std::vector<double> thresholds = {0.1, 0.3, 0.5, 0.7, 0.9, 0.94, 0.975, 0.999, 1.0};
  const auto samples = MustGenerate(Settings(1, 8), model, Lease(200, thresholds, 5));
  uint32_t before = 0;
  for (const Completion& sample : samples) {
    const uint32_t kept = sample.kept.events[0][0].Count();
    EXPECT_GE(kept, before);
    before = kept;
  }
  EXPECT_EQ(before, 200u);
  EXPECT_LT(samples[0].kept.events[0][0].Count(), 100u);
}

TEST_P(EngineTest, PairsOfEqualPShareTheirSetsUnlessSelectionIsSampled) {
  EngineConfig config = Settings(3, 8);
  const GroupLease lease = Lease(150, {0.8, 0.8}, 6);
  auto samples = MustGenerate(config, model, lease);
  EXPECT_EQ(samples[0].kept.events[0], samples[1].kept.events[0]);
  config.stochastic = true;
  samples = MustGenerate(config, model, lease);
  EXPECT_NE(samples[0].kept.events[0], samples[1].kept.events[0]);
}

TEST_P(EngineTest, DenseThresholdKeepsEverythingInEveryRecipe) {
  const GroupLease lease = Lease(100, {1.0}, 7);
  EngineConfig config = Settings(40, 0);
  const Completion dense = MustGenerate(config, model, lease)[0];
  EXPECT_EQ(dense.kept_ratio, 1.0);
  EXPECT_EQ(dense.kv_kept_ratio, 1.0);
  EXPECT_EQ(dense.kept_mass, 1.0);
  config.rescore_interval = 8;
  config.stochastic = true;
  const Completion recompressed = MustGenerate(config, model, lease)[0];
  EXPECT_EQ(recompressed.token_ids, dense.token_ids);
  EXPECT_EQ(recompressed.logprobs, dense.logprobs);
  ASSERT_EQ(recompressed.kept.events.size(), 5u);
  for (const auto& layers : recompressed.kept.events) {
    for (const Bitmap& layer : layers) EXPECT_EQ(layer.Count(), layer.size);
  }
  EXPECT_EQ(recompressed.kept.events[2][0].size, 116u);
}

class DeterministicTest : public EngineTest {
 protected:
  EngineConfig Config(bool stochastic, int threads) {
    EngineConfig config = Settings(30, 8);
    config.deterministic = true;
    config.stochastic = stochastic;
    config.threads = threads;
    return config;
  }
  void ExpectSameBitsInAnyCompany();
};

class DeterministicBf16Test : public DeterministicTest {
 protected:
  void SetUp() override { model = TinyModel(GetParam(), "bf16"); }
};

INSTANTIATE_TEST_SUITE_P(Models, DeterministicTest, ::testing::Values("base", "odd"),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Models, DeterministicBf16Test, ::testing::Values("base", "odd"),
                         [](const auto& info) { return info.param; });

TEST_P(DeterministicTest, SameRequestSameBitsInAnyCompanyAndThreadCount) {
  ExpectSameBitsInAnyCompany();
}

TEST_P(DeterministicBf16Test, SameRequestSameBitsInAnyCompanyAndThreadCount) {
  ExpectSameBitsInAnyCompany();
}

void DeterministicTest::ExpectSameBitsInAnyCompany() {
  for (bool stochastic : {false, true}) {
    std::vector<GroupLease> leases;
    for (uint64_t seed = 20; seed < 25; ++seed) {
      const int length = 90 + 7 * static_cast<int>(seed - 20);
      leases.push_back(Lease(length, {0.95, 0.95, 0.7, 0.9, 0.5, 0.8, 0.6, 0.95, 0.4}, seed));
    }
    const auto together = MustGenerate(Config(stochastic, 1), model, leases);
    const auto two_threads = MustGenerate(Config(stochastic, 2), model, leases);
    for (size_t g = 0; g < leases.size(); ++g) {
      const auto alone = MustGenerate(Config(stochastic, 1), model, leases[g]);
      for (size_t i = 0; i < together[g].size(); ++i) {
        ExpectSame(together[g][i], alone[i]);
        ExpectSame(together[g][i], two_threads[g][i]);
      }
    }
    GroupLease single = leases[1];
    single.samples = {leases[1].samples[4]};
    ExpectSame(MustGenerate(Config(stochastic, 1), model, single)[0], together[1][4]);
  }
}

TEST_P(DeterministicTest, NeighboursThatFinishEarlyChangeNothing) {
  EngineConfig config = Config(false, 1);
  config.ignore_eos = false;
  const GroupLease lease = Lease(110, std::vector<double>(8, 0.9), 30);
  const auto full = MustGenerate(config, model, lease);
  // An end token for one sample only: the fourth token that sample 2 draws.
  const int32_t end = full[2].token_ids[3];
  model->arch.eos_tokens.push_back(end);
  const auto ended = MustGenerate(config, model, lease);
  EXPECT_EQ(ended[2].finish_reason, FinishReason::kStop);
  EXPECT_EQ(ended[2].token_ids.back(), end);
  EXPECT_LE(ended[2].token_ids.size(), 4u);
  int unchanged = 0;
  for (size_t i = 0; i < full.size(); ++i) {
    const auto& ids = full[i].token_ids;
    if (std::find(ids.begin(), ids.end(), end) != ids.end()) continue;
    ExpectSame(full[i], ended[i]);
    ++unchanged;
  }
  EXPECT_GT(unchanged, 0);
}

TEST_P(EngineTest, SamplingFollowsSeedsNotCompany) {
  const GroupLease lease = Lease(80, {0.9, 0.9}, 8);
  EngineConfig config = Settings(20, 100);
  const auto samples = MustGenerate(config, model, lease);
  EXPECT_NE(samples[0].token_ids, samples[1].token_ids);
  config.temperature = 0;
  const auto greedy = MustGenerate(config, model, lease);
  EXPECT_EQ(greedy[0].token_ids, greedy[1].token_ids);
}

TEST_P(EngineTest, SuppressedIdsAreNeverSampled) {
  EngineConfig config = Settings(1, 100);
  config.temperature = 20.0;  // close to uniform over the vocabulary
  const auto mask = model->processor->SuppressedIds();
  const GroupLease lease = Lease(90, std::vector<double>(200, 1.0), 9);
  for (const Completion& sample : MustGenerate(config, model, lease)) {
    for (int32_t id : sample.token_ids) EXPECT_EQ(mask[id], 0) << id;
  }
  config.suppress_ids = false;
  int suppressed = 0;
  for (const Completion& sample : MustGenerate(config, model, lease)) {
    for (int32_t id : sample.token_ids) suppressed += mask[id];
  }
  EXPECT_GT(suppressed, 0) << "the test has no teeth without ids that the mask removes";
}

TEST_P(EngineTest, ManySmallLeasesShareImagesAndBatches) {
  std::vector<GroupLease> leases;
  for (uint64_t seed = 40; seed < 80; ++seed) leases.push_back(Lease(80, {0.9}, seed));
  EngineConfig config = Settings(5, 100);
  config.temperature = 0;
  auto features = std::make_shared<VisualFeatures>();
  auto engine = MakeSparseEngine(config, model, features);
  ASSERT_TRUE(engine.ok());
  const auto all = (*engine)->Generate(leases);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(features->decoded_images(), 1);
  for (size_t i = 0; i < leases.size(); i += 9) {
    const Completion alone = MustGenerate(config, model, leases[i])[0];
    EXPECT_EQ((*all)[i][0].token_ids, alone.token_ids);
    EXPECT_LT(LargestGap((*all)[i][0].logprobs, alone.logprobs), 1e-4);
  }
}

TEST_P(EngineTest, PixelsExistOnceOverGroupsAndEpochs) {
  auto features = std::make_shared<VisualFeatures>();
  auto engine = MakeSparseEngine(Settings(2, 100), model, features);
  ASSERT_TRUE(engine.ok());
  const std::vector<double> group_of_8 = {0.9, 0.9, 0.95, 0.95, 0.975, 0.975, 1.0, 1.0};
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (uint64_t step = 0; step < 2; ++step) {  // prompts with one image, two, and the same again
      std::vector<GroupLease> leases = {Lease(80, group_of_8, step, 1),
                                        Lease(150, group_of_8, step + 10, 2),
                                        Lease(150, group_of_8, step + 20, 2)};
      for (GroupLease& lease : leases) lease.version = model->version;
      const auto out = (*engine)->Generate(leases);
      ASSERT_TRUE(out.ok()) << out.status();
      ASSERT_EQ((*out)[2].size(), 8);
    }
    EXPECT_EQ(features->decoded_images(), 2);
    ++model->version;  // the tower's outputs are new, the pixels are not
  }
}

TEST(EngineConfigTest, EndTokensAreIgnoredWhenTheRunSaysSo) {
  RunConfig config;
  EXPECT_FALSE(TrainingEngineConfig(config).ignore_eos);
  config.rollout.ignore_eos = true;
  EXPECT_TRUE(TrainingEngineConfig(config).ignore_eos);
  EXPECT_FALSE(EvalEngineConfig(config).ignore_eos);
}

TEST_P(EngineTest, StopsAtEndTokensAndStopStrings) {
  EngineConfig config = Settings(30, 100);
  const GroupLease lease = Lease(90, {1.0}, 10);
  const Completion full = MustGenerate(config, model, lease)[0];
  EXPECT_EQ(full.finish_reason, FinishReason::kLength);
  config.ignore_eos = false;
  const int32_t third = full.token_ids[2];
  config.stop = {model->processor->tokenizer().Decode({third}, true)};
  ASSERT_FALSE(config.stop[0].empty());
  const Completion stopped = MustGenerate(config, model, lease)[0];
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);
  EXPECT_LE(stopped.token_ids.size(), 3u);
  EXPECT_THAT(stopped.text, HasSubstr(config.stop[0]));
}

TEST_P(EngineTest, TheBudgetHeadProposesP) {
  model->budget_head = ZeroBudgetHead(model->arch.hidden, model->device);
  EngineConfig config = Settings(2, 100);
  config.budget_sample = true;
  const GroupLease lease = Lease(80, std::vector<double>(12, 0.9), 11);
  std::vector<int> drawn;
  for (const Completion& sample : MustGenerate(config, model, lease)) {
    ASSERT_GE(sample.budget_action, 0);
    EXPECT_EQ(sample.p, kBudgetGrid[sample.budget_action]);
    EXPECT_NEAR(sample.budget_logprob, -std::log(12.0), 1e-6);
    drawn.push_back(sample.budget_action);
  }
  EXPECT_THAT(drawn, ::testing::Not(Each(drawn[0])));
  model->budget_head.bias[4] = 3.0;
  config.budget_sample = false;
  config.budget_greedy = true;
  for (const Completion& sample : MustGenerate(config, model, lease)) {
    EXPECT_EQ(sample.p, 0.6);
  }
}

TEST_P(EngineTest, BadRequestsNameWhatIsWrong) {
  VisualFeatures features;
  const EngineConfig config = Settings(2, 100);
  const auto error = [&](const GroupLease& lease) {
    return ScoreResponse(config, *model, features, lease, {1, 2}, nullptr).status();
  };
  for (double p : {0.0, -1.0, 1.5, std::nan("")}) {
    const absl::Status status = error(Lease(90, {p}, 12));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("row 13"));
  }
  GroupLease lease = Lease(90, {0.9}, 13);
  lease.version = 7;
  EXPECT_TRUE(absl::IsFailedPrecondition(error(lease)));
  lease = Lease(90, {0.9}, 14);
  lease.prompt.media.push_back(lease.prompt.media[0]);
  EXPECT_THAT(std::string(error(lease).message()), HasSubstr("row 15"));
  lease = Lease(90, {0.9}, 15);
  lease.prompt.media[0] = MediaFromBytes("no image", "broken.png");
  EXPECT_THAT(std::string(error(lease).message()), HasSubstr("broken.png"));
  lease = Lease(90, {0.9}, 16);
  lease.prompt.token_ids[0] = model->arch.vocab;
  EXPECT_THAT(std::string(error(lease).message()), HasSubstr("prompt token 0"));
}

TEST_P(EngineTest, BadSettingsAreRefused) {
  const auto refused = [&](const EngineConfig& config) {
    return MakeSparseEngine(config, model, nullptr).status();
  };
  EngineConfig config = Settings(0, 100);
  EXPECT_THAT(std::string(refused(config).message()), HasSubstr("max_response_length = 0"));
  config = Settings(1, 100);
  config.temperature = -1;
  EXPECT_TRUE(absl::IsInvalidArgument(refused(config)));
  config = Settings(1, 100);
  config.force_keep = {"middle"};
  EXPECT_THAT(std::string(refused(config).message()), HasSubstr("middle"));
  config = Settings(1, 100);
  config.budget_sample = true;
  EXPECT_THAT(std::string(refused(config).message()), HasSubstr("budget head"));
}

}  // namespace
}  // namespace ziprl
