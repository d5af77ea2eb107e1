#include "configs/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace ziprl {
namespace {

using ::testing::HasSubstr;

TEST(RunConfigTest, DefaultsAreValid) { EXPECT_TRUE(RunConfig().Validate().ok()); }

TEST(RunConfigTest, ColocatedLearnersNeedNoRolloutsNamed) {
  RunConfig config;
  config.cluster.placement = "colocated";
  config.cluster.learner = 8;
  EXPECT_TRUE(config.Validate().ok()) << config.Validate();
  EXPECT_EQ(config.cluster.rollout_ranks(), 0);
  config.cluster.rollout = 8;
  EXPECT_TRUE(config.Validate().ok()) << config.Validate();
  config.cluster.placement = "separate";
  EXPECT_EQ(config.cluster.rollout_ranks(), 8);
}

TEST(RunConfigTest, SelectionLogitsAreRecordedForAsynchronousStochasticRunsOnly) {
  RunConfig config;
  for (const char* recipe : {"paper", "stochastic", "surrogate", "budget"}) {
    for (int staleness : {0, 1, 3}) {
      config.algorithm.sparsity = recipe;
      config.rollout.max_staleness = staleness;
      EXPECT_TRUE(config.Validate().ok()) << config.Validate();
      EXPECT_EQ(RecordsSelectionLogits(config),
                std::string(recipe) == "stochastic" && staleness > 0);
    }
  }
}

struct BadValue {
  std::string name;
  std::function<void(RunConfig&)> spoil;
  std::string message;
};

class RunConfigBadValueTest : public ::testing::TestWithParam<BadValue> {};

TEST_P(RunConfigBadValueTest, IsNamedWithItsValueAndWhatIsAllowed) {
  RunConfig config;
  GetParam().spoil(config);
  const absl::Status status = config.Validate();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, RunConfigBadValueTest,
    ::testing::Values(
        BadValue{"ZeroP",
                 [](RunConfig& c) {
                   c.rollout.thresholds = {.9, 0};
                 },
                 "rollout.thresholds[1] = 0: must be in (0, 1]"},
        BadValue{"PAboveOne", [](RunConfig& c) { c.eval.thresholds = {1.01}; },
                 "eval.thresholds[0] = 1.01: must be in (0, 1]"},
        BadValue{
            "NanP",
            [](RunConfig& c) { c.eval.thresholds = {std::numeric_limits<double>::quiet_NaN()}; },
            "must be a finite number"},
        BadValue{"NoP", [](RunConfig& c) { c.rollout.thresholds.clear(); },
                 "rollout.thresholds = []: needs at least one p"},
        BadValue{"GroupSizeOne", [](RunConfig& c) { c.rollout.n = 1; },
                 "rollout.n = 1: must be at least 2 (samples per prompt (group size"},
        BadValue{"ZeroTemperature", [](RunConfig& c) { c.rollout.temperature = 0; },
                 "rollout.temperature = 0: must be above 0"},
        BadValue{"InfiniteRate",
                 [](RunConfig& c) { c.actor.optim.lr = std::numeric_limits<double>::infinity(); },
                 "actor.optim.lr = inf: must be a finite number"},
        BadValue{"MisspeltChoice", [](RunConfig& c) { c.algorithm.sparsity = "stohastic"; },
                 "algorithm.sparsity = stohastic: must be paper | stochastic | surrogate | "
                 "budget; nearest is 'stochastic'"},
        BadValue{"MisspeltListItem",
                 [](RunConfig& c) {
                   c.rollout.force_keep = {"last", "txt"};
                 },
                 "rollout.force_keep[1] = txt: must be last | text | first; nearest is 'text'"},
        BadValue{"StochasticNeedsReplay",
                 [](RunConfig& c) {
                   c.algorithm.sparsity = "stochastic";
                   c.algorithm.selection = "recompute";
                 },
                 "algorithm.selection = recompute: algorithm.sparsity = stochastic needs replay"},
        BadValue{"OneBeta", [](RunConfig& c) { c.sft.optim.betas = {.9}; },
                 "sft.optim.betas = [0.9]: must hold two numbers"},
        BadValue{"BetaOne",
                 [](RunConfig& c) {
                   c.actor.optim.betas = {.9, 1};
                 },
                 "actor.optim.betas = 1: must be below 1"},
        BadValue{"WeightsOfNothing",
                 [](RunConfig& c) {
                   c.reward.weights = {1, 2};
                 },
                 "reward.weights holds 2 numbers, but reward.functions holds 1"},
        BadValue{"NoScorer", [](RunConfig& c) { c.reward.functions.clear(); },
                 "reward.functions = []: needs at least one scorer"},
        BadValue{"NoProbes",
                 [](RunConfig& c) { c.rollout.probe_recent = c.rollout.probe_random = 0; },
                 "no token would score the prompt"},
        BadValue{"PixelsUpsideDown",
                 [](RunConfig& c) {
                   c.data.min_pixels = 100;
                   c.data.max_pixels = 50;
                 },
                 "data.max_pixels = 50: below data.min_pixels = 100"},
        BadValue{"VideoPixelsUpsideDown",
                 [](RunConfig& c) {
                   c.data.video_min_pixels = 100;
                   c.data.video_max_pixels = 50;
                 },
                 "data.video_max_pixels = 50: below data.video_min_pixels = 100"},
        BadValue{"FramesUpsideDown",
                 [](RunConfig& c) {
                   c.data.video_min_frames = 9;
                   c.data.video_max_frames = 8;
                 },
                 "data.video_max_frames = 8: below data.video_min_frames = 9"},
        BadValue{"ColocatedAndStale",
                 [](RunConfig& c) {
                   c.cluster.placement = "colocated";
                   c.rollout.max_staleness = 1;
                 },
                 "rollout.max_staleness = 1: cluster.placement = colocated needs 0"},
        BadValue{"ColocatedAndRollouts",
                 [](RunConfig& c) {
                   c.cluster.placement = "colocated";
                   c.cluster.learner = 2;
                   c.cluster.rollout = 4;
                 },
                 "cluster.rollout = 4: with cluster.placement = colocated the learner's ranks "
                 "generate (cluster.learner = 2)"},
        BadValue{"NoLearner", [](RunConfig& c) { c.cluster.learner = 0; },
                 "cluster.learner = 0: must be in [1, 65536]"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ziprl
