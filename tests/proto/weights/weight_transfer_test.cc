// Weights over real connections, which break.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/weights.grpc.pb.h"
#include "proto/weights/checksum.h"
#include "proto/weights/weight_client.h"
#include "proto/weights/weight_server.h"
#include "tests/proto/weights/flaky_proxy.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Minutes(2);
constexpr uint64_t kMiB = kWeightChunkBytes;
constexpr int64_t kRows = 3200;  // 6.25 MiB

// A publisher in this process.
struct Publisher {
  explicit Publisher(const std::string& token = "") {
    security.token = token;
    Start();
  }
  void Start() {
    auto started = RpcServer::Start("127.0.0.1:0", security, {weights.grpc_service()});
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
  }

  RpcSecurity security;
  WeightStore store;
  WeightService service{&store, {}};
  WeightServer weights{&service};
  std::unique_ptr<RpcServer> server;
};

std::unique_ptr<WeightClient> Client(const std::string& address,
                                     absl::Duration stall = absl::Minutes(1)) {
  WeightClient::Config config;
  config.address = address;
  config.stall = stall;
  config.min_backoff = absl::Milliseconds(1);
  auto client = WeightClient::Create(config);
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

TEST(WeightTransferTest, FullThenDeltaThenNothingToDo) {
  Publisher publisher;
  auto client = Client(publisher.server->address());
  WeightStore store;
  WeightClient::Stats stats;
  const auto first = RandomWeights(CaseLayout(kRows), 1, 1);
  publisher.service.Publish(first);
  ASSERT_TRUE(client->Sync(1, kLong, &store, &stats).ok());
  EXPECT_EQ(stats.encoding, WeightEncoding::kFull);
  EXPECT_EQ(stats.received_bytes, first->bytes().size());
  EXPECT_EQ(store.Live()->bytes(), first->bytes());
  EXPECT_EQ(store.Live()->layout().tensors(), first->layout().tensors());

  const auto second = SmallStep(*first, 0.01, 2);
  const auto published = publisher.service.Publish(second);
  ASSERT_TRUE(client->Sync(2, kLong, &store, &stats).ok());
  EXPECT_EQ(stats.encoding, WeightEncoding::kDelta);
  EXPECT_EQ(stats.received_bytes, published.delta_bytes);
  EXPECT_EQ(stats.full_bytes, second->bytes().size());
  EXPECT_EQ(store.Live()->bytes(), second->bytes());
  EXPECT_EQ(store.Previous()->bytes(), first->bytes());

  ASSERT_TRUE(client->Sync(std::nullopt, kLong, &store, &stats).ok());
  EXPECT_EQ(stats.encoding, WeightEncoding::kUnchanged);
  EXPECT_EQ(stats.received_bytes, 0u);
}

TEST(WeightTransferTest, AReceiverThatMissedAVersionGetsTheFullWeights) {
  Publisher publisher;
  auto client = Client(publisher.server->address());
  WeightStore store;
  WeightSnapshot::Ptr weights = RandomWeights(CaseLayout(100), 1, 1);
  for (int version = 1; version <= 3; ++version) {
    publisher.service.Publish(weights);
    ASSERT_TRUE(version == 2 || client->Sync(version, kLong, &store).ok());
    weights = SmallStep(*weights, 0.01, version);
  }
  EXPECT_EQ(store.version(), 3);
  EXPECT_EQ(store.Live()->id(), publisher.store.Live()->id());
}

TEST(WeightTransferTest, AfterCutsItGoesOnWhereTheLastGoodChunkEnded) {
  Publisher publisher;
  publisher.service.Publish(RandomWeights(CaseLayout(kRows), 1, 1));
  FlakyProxy proxy(publisher.server->port(), {{Fault::kCut, 2 * kMiB + 1000},
                                              {Fault::kCut, kMiB + 500000},
                                              {Fault::kCut, 100},
                                              {Fault::kCut, 1200000}});
  auto client = Client(proxy.address());
  WeightClient::Stats stats;
  const auto weights = client->Fetch(1, nullptr, kLong, &stats);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->bytes(), publisher.store.Live()->bytes());
  EXPECT_GE(proxy.connections(), 5);
  EXPECT_GE(stats.resumed, 3);
  EXPECT_EQ(stats.received_bytes, stats.payload_bytes);  // no chunk twice
}

TEST(WeightTransferTest, FlippedBitsNeverGetThrough) {
  Publisher publisher;
  publisher.service.Publish(RandomWeights(CaseLayout(kRows), 1, 1));
  for (uint64_t at : {60, 300, 5000, 700000, 3000003, 5999999}) {
    FlakyProxy proxy(publisher.server->port(),
                     {{Fault::kFlip, at}, {Fault::kFlip, at + 70001}, {Fault::kFlip, at / 2}});
    // A bit of a frame's length can make a connection wait for what never comes.
    auto client = Client(proxy.address(), absl::Seconds(2));
    const auto weights = client->Fetch(1, nullptr, kLong);
    ASSERT_TRUE(weights.ok()) << weights.status();
    ASSERT_EQ((*weights)->bytes(), publisher.store.Live()->bytes());
  }
}

TEST(WeightTransferTest, AStalledConnectionIsGivenUp) {
  Publisher publisher;
  publisher.service.Publish(RandomWeights(CaseLayout(kRows), 1, 1));
  FlakyProxy proxy(publisher.server->port(), {{Fault::kStall, 3 * kMiB}});
  auto client = Client(proxy.address(), absl::Milliseconds(500));
  // The channel keeps the stalled connection; a server that is gone ends it.
  std::thread restart([&] {
    ASSERT_TRUE(proxy.WaitForBytes(3 * kMiB));
    publisher.server->Shutdown(absl::ZeroDuration());
    publisher.Start();
    proxy.SetTarget(publisher.server->port());
  });
  const auto weights = client->Fetch(1, nullptr, kLong);
  restart.join();
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->bytes(), publisher.store.Live()->bytes());
}

// A publisher in a process of its own.
class PublisherProcess {
 public:
  PublisherProcess() {
    char self[PATH_MAX] = {};
    EXPECT_GT(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
    const std::string path(self);
    const std::string program = path.substr(0, path.rfind('/')) + "/publish_weights";
    std::string rows = absl::StrCat(kRows);
    char* argv[] = {const_cast<char*>(program.c_str()), rows.data(), nullptr};
    int in[2], out[2];
    EXPECT_EQ(pipe2(in, O_CLOEXEC) + pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    EXPECT_EQ(posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    stdin_ = in[1];
    std::FILE* lines = fdopen(out[0], "r");
    EXPECT_EQ(std::fscanf(lines, "%d", &port_), 1);
    std::fclose(lines);
  }
  ~PublisherProcess() { Kill(); }
  int port() const { return port_; }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(stdin_);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  int stdin_ = -1, port_ = 0;
};

TEST(WeightTransferTest, AKilledPublishersSuccessorIsAskedForTheRest) {
  PublisherProcess first, second;
  FlakyProxy proxy(first.port(), {{Fault::kStall, 3 * kMiB + 12345}});
  auto client = Client(proxy.address());
  std::thread killer([&] {
    ASSERT_TRUE(proxy.WaitForBytes(3 * kMiB));
    proxy.SetTarget(second.port());
    first.Kill();
  });
  WeightClient::Stats stats;
  const auto weights = client->Fetch(std::nullopt, nullptr, kLong, &stats);
  killer.join();
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->bytes(), RandomWeights(CaseLayout(kRows), 1, 1)->bytes());
  EXPECT_GE(stats.resumed, 1);
  EXPECT_EQ(stats.received_bytes, stats.payload_bytes);
}

TEST(WeightTransferTest, VersionsThatArePastOrNotThereAreNamed) {
  Publisher publisher;
  auto client = Client(publisher.server->address());
  const auto none = client->Fetch(std::nullopt, nullptr, absl::Milliseconds(200)).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(none.message()), HasSubstr("no weights are published yet"));
  for (int version : {3, 4, 5}) publisher.service.Publish(UniformWeights(CaseLayout(2), version));
  const auto past = client->Fetch(3, nullptr, kLong).status();
  EXPECT_EQ(past.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(past.message()), HasSubstr("live is version 5"));
  // One that comes in time is waited for.
  std::thread later([&] { publisher.service.Publish(UniformWeights(CaseLayout(2), 6)); });
  const auto awaited = client->Fetch(6, nullptr, kLong);
  later.join();
  ASSERT_TRUE(awaited.ok()) << awaited.status();
  EXPECT_EQ(UniformVersion(**awaited), 6);
}

TEST(WeightTransferTest, NobodyThereIsANamedErrorAtTheDeadline) {
  FlakyProxy proxy(1, {});  // accepts, and finds no server behind it
  const absl::Status status =
      Client(proxy.address())->Fetch(1, nullptr, absl::Milliseconds(300)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr(proxy.address()));
}

TEST(WeightTransferTest, AnotherJobsTokenIsRefusedAtOnce) {
  Publisher publisher("secret");
  publisher.service.Publish(UniformWeights(CaseLayout(2), 1));
  EXPECT_EQ(Client(publisher.server->address())->Fetch(1, nullptr, kLong).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST(WeightTransferTest, CancelEndsAFetch) {
  Publisher publisher;
  publisher.service.Publish(RandomWeights(CaseLayout(kRows), 1, 1));
  FlakyProxy proxy(publisher.server->port(), {{Fault::kStall, kMiB}});
  auto client = Client(proxy.address());
  std::thread cancel([&] {
    ASSERT_TRUE(proxy.WaitForBytes(kMiB));
    client->Cancel();
  });
  EXPECT_EQ(client->Fetch(1, nullptr, kLong).status().code(), absl::StatusCode::kCancelled);
  cancel.join();
  EXPECT_EQ(client->Fetch(1, nullptr, kLong).status().code(), absl::StatusCode::kCancelled);
}

TEST(WeightTransferTest, ReceiversNeverSeeTwoVersionsMixedWhileVersionsGoBy) {
  constexpr PolicyVersion kLast = 25;
  const auto layout = CaseLayout(700);
  Publisher publisher;
  publisher.service.Publish(UniformWeights(layout, 1));
  std::vector<std::thread> receivers;
  for (int r = 0; r < 2; ++r) {
    receivers.emplace_back([&] {
      auto client = Client(publisher.server->address());
      WeightStore store;
      while (store.version() < kLast) {
        const absl::Status status = client->Sync(std::nullopt, kLong, &store);
        ASSERT_TRUE(status.ok()) << status;
        ASSERT_EQ(UniformVersion(*store.Live()), store.version());
      }
    });
  }
  for (PolicyVersion version = 2; version <= kLast; ++version) {
    publisher.service.Publish(UniformWeights(layout, version));
  }
  for (std::thread& receiver : receivers) receiver.join();
}

}  // namespace
}  // namespace ziprl
