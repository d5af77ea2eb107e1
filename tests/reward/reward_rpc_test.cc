#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "proto/convert.h"
#include "proto/reward.pb.h"
#include "reward/reward_client.h"
#include "reward/reward_server.h"
#include "tests/proto/mutate.h"
#include "tests/proto/raw_call.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

constexpr char kScore[] = "/ziprl.v1.Reward/Score";
const RpcSecurity kSecurity{"secret"};

std::vector<Completion> Texts(const std::vector<std::string>& texts) {
  std::vector<Completion> completions(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) completions[i].text = texts[i];
  return completions;
}

Prompt Question() {
  Prompt prompt;
  prompt.answer = "red";
  return prompt;
}

// A server over `scorer`, with what it was asked counted.
struct Served {
  explicit Served(GroupScorer scorer, const std::string& address = "127.0.0.1:0")
      : service(
            [this, scorer](const Prompt& prompt, const std::vector<Completion>& completions) {
              samples += static_cast<int>(completions.size());
              return scorer(prompt, completions);
            },
            RewardService::Config()) {
    auto started = RewardServer::Start(address, kSecurity, service);
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
  }
  std::string address() const { return server->address(); }

  std::atomic<int> samples = 0;
  RewardService service;
  std::unique_ptr<RewardServer> server;
};

GroupScorer Configured(const std::vector<std::string>& functions) {
  RewardConfig config;
  config.functions = functions;
  return *MakeScorer(config);
}

GroupScorer Giving(const Score& score) {
  return [score](const Prompt&, const std::vector<Completion>& completions) {
    return std::vector<Score>(completions.size(), score);
  };
}

// A client of the endpoints that does not wait long.
std::unique_ptr<RewardClient> ClientOf(const std::vector<std::string>& endpoints) {
  RewardClient::Config config;
  config.endpoints = endpoints;
  config.security = kSecurity;
  config.timeout = absl::Seconds(20);
  config.give_up = absl::Seconds(40);
  config.first_backoff = absl::Milliseconds(1);
  config.components = {"accuracy"};
  auto client = RewardClient::Create(config);
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

// A port where nobody listens.
std::string DeadAddress() {
  Served served(Giving(Score()));
  const std::string address = served.address();
  return address;
}

TEST(RewardRpcTest, RemoteScoresAreThoseOfTheProcessBitForBit) {
  const std::vector<std::string> functions = {"exact_match", "format:.*", "token_reduction"};
  const GroupScorer local = Configured(functions);
  Served served(local);
  RewardConfig config;
  config.functions = functions;
  config.endpoints = {served.address()};
  const auto remote = MakeRemoteScorer(config, kSecurity);
  ASSERT_TRUE(remote.ok()) << remote.status();
  std::vector<Completion> completions = Texts({"red", "blue", "gr\xc3"});
  completions[1].kept_ratio = 1.0 / 3;
  const std::vector<Score> here = local(Question(), completions);
  const std::vector<Score> there = (*remote)(Question(), completions);
  ASSERT_EQ(there.size(), here.size());
  for (size_t i = 0; i < here.size(); ++i) {
    EXPECT_EQ(there[i].status, here[i].status);
    EXPECT_EQ(there[i].components, here[i].components);
  }
}

TEST(RewardRpcTest, FailuresStayWhatTheyAre) {
  for (ScoreStatus status : {ScoreStatus::kInvalid, ScoreStatus::kFailed, ScoreStatus::kTimeout}) {
    Score score;
    score.status = status;
    score.error = "because \xff";
    Served served(Giving(score));
    const std::vector<Score> scores =
        ClientOf({served.address()})->ScoreAll(Question(), Texts({"a"}));
    EXPECT_EQ(scores[0].status, status);
    EXPECT_EQ(scores[0].error, "because ?");
  }
}

TEST(RewardRpcTest, AScoreWithoutItsComponentIsAFailure) {
  Score score;
  score.status = ScoreStatus::kScored;
  score.components["other"] = 1;
  Served served(Giving(score));
  const auto scores = ClientOf({served.address()})->ScoreAll(Question(), Texts({"a"}));
  EXPECT_EQ(scores[0].status, ScoreStatus::kFailed);
  EXPECT_THAT(scores[0].error, HasSubstr("no component 'accuracy'"));
}

TEST(RewardRpcTest, ADeadEndpointIsPassedOver) {
  Served served(Configured({"exact_match"}));
  const auto client = ClientOf({DeadAddress(), served.address()});
  for (int i = 0; i < 8; ++i) {
    const auto scores = client->ScoreAll(Question(), Texts({"red"}));
    EXPECT_EQ(scores[0].status, ScoreStatus::kScored) << scores[0].error;
  }
  EXPECT_EQ(served.samples, 8);
}

TEST(RewardRpcTest, WithoutAnyServiceSamplesFailAndAreNoZeros) {
  RewardClient::Config config;
  config.endpoints = {DeadAddress()};
  config.give_up = absl::Milliseconds(300);
  const auto client = RewardClient::Create(config);
  ASSERT_TRUE(client.ok());
  for (const Score& score : (*client)->ScoreAll(Question(), Texts({"red", "blue"}))) {
    EXPECT_EQ(score.status, ScoreStatus::kFailed);
    EXPECT_TRUE(score.components.empty());
    EXPECT_THAT(score.error, HasSubstr(config.endpoints[0]));
  }
}

TEST(RewardRpcTest, AHangingServiceIsATimeout) {
  Mutex mutex;
  CondVar changed;
  bool open = false;
  Served served([&](const Prompt&, const std::vector<Completion>& completions) {
    MutexLock lock(&mutex);
    while (!open) changed.WaitWithTimeout(&mutex, absl::Seconds(1));
    return std::vector<Score>(completions.size());
  });
  RewardClient::Config config;
  config.endpoints = {served.address()};
  config.security = kSecurity;
  config.timeout = absl::Milliseconds(300);
  config.give_up = absl::Milliseconds(800);
  const auto client = RewardClient::Create(config);
  ASSERT_TRUE(client.ok());
  const auto scores = (*client)->ScoreAll(Question(), Texts({"red"}));
  EXPECT_EQ(scores[0].status, ScoreStatus::kTimeout) << scores[0].error;
  EXPECT_EQ(served.samples, 1);  // its repetitions joined it
  MutexLock lock(&mutex);
  open = true;
  changed.NotifyAll();
}

TEST(RewardRpcTest, AWrongTokenFailsAtOnceAndSaysSo) {
  Served served(Configured({"exact_match"}));
  RewardClient::Config config;
  config.endpoints = {served.address()};
  config.security.token = "other";
  const auto client = RewardClient::Create(config);
  const auto scores = (*client)->ScoreAll(Question(), Texts({"red"}));
  EXPECT_EQ(scores[0].status, ScoreStatus::kFailed);
  EXPECT_THAT(scores[0].error, HasSubstr("job token"));
}

TEST(RewardRpcTest, ConfigMistakesAreNamed) {
  RewardConfig config;
  EXPECT_TRUE(absl::IsInvalidArgument(MakeRemoteScorer(config, kSecurity).status()));
  config.endpoints = {"nowhere"};
  EXPECT_TRUE(absl::IsInvalidArgument(MakeRemoteScorer(config, kSecurity).status()));
  config.endpoints = {"127.0.0.1:1"};
  config.functions = {"format:.*"};
  EXPECT_THAT(std::string(MakeRemoteScorer(config, kSecurity).status().message()),
              HasSubstr("none judges the answer"));
}

TEST(RewardRpcTest, TenThousandDamagedMessagesLeaveItServing) {
  Served served(Configured({"exact_match"}));
  const auto channel = OpenChannel(served.address(), kSecurity);
  ASSERT_TRUE(channel.ok());
  v1::ScoreRequest request;
  request.set_request_id("some-id");
  ToPb(Question(), request.mutable_prompt());
  for (Completion completion : Texts({"red", "blue"})) {
    completion.token_ids = {1, 2, 3};
    completion.logprobs = {-1, -2, -3};
    ToPb(completion, Kept::kWithout, request.add_completions());
  }
  const std::string valid = request.SerializeAsString();
  ASSERT_TRUE(RawCall(*channel, kSecurity, kScore, valid).ok());
  Mutator mutator(1);
  int refused = 0;
  for (int i = 0; i < 10000; ++i) {
    refused += !RawCall(*channel, kSecurity, kScore, mutator.Mutate(valid)).ok();
  }
  EXPECT_GT(refused, 1000);
  const auto scores = ClientOf({served.address()})->ScoreAll(Question(), Texts({"red"}));
  EXPECT_EQ(scores[0].status, ScoreStatus::kScored);
}

}  // namespace
}  // namespace ziprl
