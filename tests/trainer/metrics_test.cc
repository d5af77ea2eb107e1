#include "trainer/metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/trainer/data/scratch.h"
#include "trainer/jsonl_log.h"

namespace ziprl {
namespace {

TEST(SampleMetricsTest, CountsEverySample) {
  ScoredGroup group;
  group.version = 3;
  group.prompt.token_ids.resize(10);
  group.completions.resize(2);
  group.completions[0].kept_ratio = 0.5;
  group.completions[0].visual_kept_ratio = 0.25;
  group.completions[0].token_ids.resize(4);
  group.completions[0].finish_reason = FinishReason::kStop;
  group.completions[1].token_ids.resize(8);
  group.times = {2.0, 0.5, 3.0, 1.0};
  const Metrics m = SampleMetrics({group, group}, 5);
  EXPECT_EQ(m.at("tokens/kept_ratio/mean"), 0.75);
  EXPECT_EQ(m.at("tokens/kept_ratio/min"), 0.5);
  EXPECT_EQ(m.at("tokens/kept_ratio/max"), 1.0);
  EXPECT_EQ(m.at("tokens/visual_kept_ratio/mean"), 0.625);
  EXPECT_EQ(m.at("tokens/kv_kept_ratio/mean"), 1.0);
  EXPECT_EQ(m.at("response_length/mean"), 6.0);
  EXPECT_EQ(m.at("response_length/max"), 8.0);
  EXPECT_EQ(m.at("response_length/clip_ratio"), 0.5);
  EXPECT_EQ(m.at("prompt_length/mean"), 10.0);
  EXPECT_EQ(m.at("staleness/max"), 2.0);
  EXPECT_EQ(m.at("perf/total_num_tokens"), 64.0);
  EXPECT_EQ(m.at("timing_s/group_gen/mean"), 2.0);
  EXPECT_EQ(m.at("timing_s/group_reward/max"), 0.5);
  EXPECT_EQ(m.at("rollout/idle_ratio"), 0.25);
}

TEST(SampleMetricsTest, NoGroupsGiveNoMeans) {
  EXPECT_EQ(SampleMetrics({}, 0), (Metrics{{"perf/total_num_tokens", 0.0}}));
}

TEST(MetricsLineTest, IsJsonWithTheStepFirst) {
  EXPECT_EQ(MetricsLine(3, {{"b", 0.5}, {"a", std::nan("")}}), R"({"step":3,"a":null,"b":0.5})");
}

struct KeepCase {
  const char* before;
  int64_t last_step;
  const char* after;
};

class JsonlLogTest : public testing::TestWithParam<KeepCase> {};

TEST_P(JsonlLogTest, GoesOnBehindTheLastStep) {
  const Scratch scratch;
  scratch.Write("m.jsonl", GetParam().before);
  auto log = JsonlLog::Open(scratch.Path("m.jsonl"), GetParam().last_step);
  ASSERT_TRUE(log.ok()) << log.status();
  ASSERT_TRUE((*log)->Write("{\"step\":9}").ok());
  EXPECT_EQ(scratch.Read("m.jsonl"), std::string(GetParam().after) + "{\"step\":9}\n");
}

INSTANTIATE_TEST_SUITE_P(
    Files, JsonlLogTest,
    testing::Values(KeepCase{"", 0, ""},
                    KeepCase{"{\"step\":1}\n{\"step\":2}\n", 2, "{\"step\":1}\n{\"step\":2}\n"},
                    KeepCase{"{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n", 1, "{\"step\":1}\n"},
                    KeepCase{"{\"step\":1}\n{\"st", 5, "{\"step\":1}\n"},
                    KeepCase{"{\"step\":1}\n", -1, ""},
                    KeepCase{"noise\n{\"step\":1}", 1, "{\"step\":1}\n"}));

TEST(JsonlLogTest, ANewFileIsMade) {
  const Scratch scratch;
  EXPECT_TRUE(JsonlLog::Open(scratch.Path("new.jsonl"), 0).ok());
  EXPECT_TRUE(scratch.Exists("new.jsonl"));
  EXPECT_FALSE(JsonlLog::Open(scratch.Path("no/dir.jsonl"), 0).ok());
}

class SinksTest : public testing::TestWithParam<std::vector<std::string>> {};

TEST_P(SinksTest, WritesWhatIsAskedFor) {
  const Scratch scratch;
  auto writer = MetricsWriter::Open(scratch.dir(), GetParam(), 0);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Write(1, {{"a", 1.0}}).ok());
  const auto asked = [](const std::string& name) {
    return std::find(GetParam().begin(), GetParam().end(), name) != GetParam().end();
  };
  EXPECT_EQ(scratch.Exists("metrics.jsonl"), asked("jsonl"));
  int events = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.dir())) {
    events += entry.path().filename().string().find("tfevents") != std::string::npos;
  }
  EXPECT_EQ(events, asked("tensorboard") ? 1 : 0);
}

INSTANTIATE_TEST_SUITE_P(
    Sinks, SinksTest,
    testing::Values(std::vector<std::string>{}, std::vector<std::string>{"jsonl"},
                    std::vector<std::string>{"tensorboard"},
                    std::vector<std::string>{"console", "jsonl", "tensorboard"}));

}  // namespace
}  // namespace ziprl
