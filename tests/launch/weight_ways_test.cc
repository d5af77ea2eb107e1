// From a learner's WeightSender to a rollout's WeightReceiver by each way but the broadcast's own
// (weight_broadcast_test.cc), and what happens when shared memory is not to be had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/comm/local.h"
#include "kernels/comm/tcp.h"
#include "launch/weight_receiver.h"
#include "launch/weight_route.h"
#include "launch/weight_sender.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

// Shared-memory objects of this process.
std::vector<std::string> Segments() {
  std::vector<std::string> found;
  const std::string prefix = absl::StrCat("ziprl.", getpid(), "-");
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    const std::string name = entry.path().filename();
    if (absl::StartsWith(name, prefix)) found.push_back(name);
  }
  return found;
}

std::unique_ptr<WeightSender> Sender(WeightWay way, bool one_host = true) {
  WeightSender::Config config;
  config.route.way = way;
  config.route.one_host = one_host;
  config.listen = "127.0.0.1:0";
  auto sender = WeightSender::Start(config);
  EXPECT_EQ(sender.status(), absl::OkStatus());
  return *std::move(sender);
}

GroupLease Lease(const std::string& weights, PolicyVersion version) {
  GroupLease lease;
  lease.weights = weights;
  lease.version = version;
  return lease;
}

// `text` without its first place.
std::string WithoutFirst(const std::string& text) { return text.substr(text.find(' ') + 1); }

const WeightLayout::Ptr& Layout() {
  static const auto* const layout = new WeightLayout::Ptr(CaseLayout(1000));  // 2 MB
  return *layout;
}

void ExpectReceived(const absl::StatusOr<WeightSnapshot::Ptr>& received,
                    const WeightSnapshot::Ptr& sent) {
  ASSERT_EQ(received.status(), absl::OkStatus());
  EXPECT_EQ((*received)->id(), sent->id());
  EXPECT_TRUE((*received)->bytes() == sent->bytes());
}

TEST(WeightWaysTest, BothServeEveryVersion) {
  for (WeightWay way : {WeightWay::kSharedMemory, WeightWay::kGrpc}) {
    const auto sender = Sender(way);
    WeightReceiver receiver({});
    WeightSnapshot::Ptr live = RandomWeights(Layout(), 1, 1);
    for (PolicyVersion version = 1; version <= 4; ++version) {
      if (version > 1) live = WithVersion(*SmallStep(*live, 0.01, version), version);
      ASSERT_EQ(sender->Publish(live).status(), absl::OkStatus());
      ExpectReceived(receiver.Receive(Lease(sender->places(), version)), live);
    }
  }
}

// The snapshot in shared memory is the segment itself; the one of gRPC is a copy that stays.
TEST(WeightWaysTest, SharedMemoryIsUsedOnTheSameHostAlone) {
  const auto sender = Sender(WeightWay::kSharedMemory);
  EXPECT_EQ(Segments().size(), 1u);  // the header
  ASSERT_THAT(sender->places(), HasSubstr(absl::StrCat("@", comm::HostName(), " 127.0.0.1:")));
  const auto sent = RandomWeights(Layout(), 1, 1);
  ASSERT_EQ(sender->Publish(sent).status(), absl::OkStatus());
  const std::string grpc = WithoutFirst(sender->places());
  WeightReceiver here({}), elsewhere({});
  const std::string shm = sender->places().substr(0, sender->places().find(' '));
  ExpectReceived(here.Receive(Lease(shm, 1)), sent);  // nothing else to fall back on
  ExpectReceived(elsewhere.Receive(Lease(absl::StrCat("shm:job@another-host ", grpc), 1)), sent);
  const auto nowhere = elsewhere.Receive(Lease("shm:job@another-host", 1));
  EXPECT_TRUE(absl::IsInvalidArgument(nowhere.status())) << nowhere.status();
  EXPECT_THAT(std::string(nowhere.status().message()), HasSubstr("another-host"));
}

TEST(WeightWaysTest, AVersionThatIsPastIsNotWaitedFor) {
  const auto sender = Sender(WeightWay::kSharedMemory);
  WeightReceiver receiver({});
  ASSERT_EQ(sender->Publish(UniformWeights(Layout(), 1)).status(), absl::OkStatus());
  ASSERT_EQ(sender->Publish(UniformWeights(Layout(), 2)).status(), absl::OkStatus());
  const auto past = receiver.Receive(Lease(sender->places(), 1));
  EXPECT_TRUE(absl::IsFailedPrecondition(past.status())) << past.status();
  ExpectReceived(receiver.Receive(Lease(sender->places(), 2)), UniformWeights(Layout(), 2));
}

TEST(WeightWaysTest, SegmentsThatAreNotThereAreNoError) {
  const auto sender = Sender(WeightWay::kGrpc);
  const auto sent = RandomWeights(Layout(), 1, 1);
  ASSERT_EQ(sender->Publish(sent).status(), absl::OkStatus());
  WeightReceiver receiver({});
  const std::string places =
      absl::StrCat("shm:none-such@", comm::HostName(), " ", sender->places());
  testing::internal::CaptureStderr();
  ExpectReceived(receiver.Receive(Lease(places, 1)), sent);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("weights come over gRPC instead of shared memory: job 'none-such'"));
}

// A shared-memory file system without room, as a limit on the size of files: in a child process,
// which has the limit for itself.
TEST(WeightWaysTest, NoRoomForSegmentsIsNoError) {
  const auto body = [] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {64 << 10, 64 << 10};
    setrlimit(RLIMIT_FSIZE, &limit);
    const auto sender = Sender(WeightWay::kSharedMemory);
    const auto sent = RandomWeights(Layout(), 1, 1);
    ASSERT_EQ(sender->Publish(sent).status(), absl::OkStatus());
    EXPECT_EQ(Segments(), std::vector<std::string>());
    WeightReceiver receiver({});
    ExpectReceived(receiver.Receive(Lease(sender->places(), 1)), sent);
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        body();
        _exit(testing::Test::HasFailure() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "weights go over gRPC instead of shared memory: cannot reserve");
}

TEST(WeightWaysTest, NothingIsLeftAtTheEnd) {
  {
    const auto sender = Sender(WeightWay::kSharedMemory);
    ASSERT_EQ(sender->Publish(UniformWeights(Layout(), 1)).status(), absl::OkStatus());
    ASSERT_EQ(sender->Publish(UniformWeights(Layout(), 2)).status(), absl::OkStatus());
    EXPECT_EQ(Segments().size(), 3u);
  }
  EXPECT_EQ(Segments(), std::vector<std::string>());
}

TEST(WeightWaysTest, ABroadcastNeedsNoServer) {
  comm::Communicator::Config config;
  config.deadline = absl::Minutes(2);
  const auto group = comm::MakeLocalGroup(2, config);
  BroadcastReceiver broadcasts(*group[1], 1);
  WeightSender::Config sending;
  sending.route = {WeightWay::kBroadcast, /*one_host=*/false, group[0].get()};
  const auto sender = *WeightSender::Start(sending);
  EXPECT_EQ(sender->places(), "broadcast");
  const auto sent = RandomWeights(Layout(), 1, 1);
  ASSERT_EQ(sender->Publish(sent).status(), absl::OkStatus());
  WeightReceiver::Config receiving;
  receiving.broadcasts = &broadcasts;
  WeightReceiver receiver(receiving), stranger({});
  ExpectReceived(receiver.Receive(Lease("broadcast", 1)), sent);
  EXPECT_TRUE(absl::IsInvalidArgument(stranger.Receive(Lease("broadcast", 1)).status()));
  ASSERT_EQ(sender->End(), absl::OkStatus());
  EXPECT_EQ(broadcasts.Finish(), absl::OkStatus());
}

// A delta is worth its time where weights cross a network.
TEST(WeightWaysTest, DeltasAreMadeForOtherHosts) {
  const auto base = RandomWeights(Layout(), 1, 1);
  const auto next = WithVersion(*SmallStep(*base, 0.01, 2), 2);
  const auto delta = [&](WeightWay way, bool one_host) {
    const auto sender = Sender(way, one_host);
    EXPECT_EQ(*sender->Publish(base), 0u);
    return *sender->Publish(next);
  };
  EXPECT_GT(delta(WeightWay::kGrpc, true), 0u);
  EXPECT_GT(delta(WeightWay::kSharedMemory, false), 0u);
  EXPECT_EQ(delta(WeightWay::kSharedMemory, true), 0u);
}

TEST(WeightRouteTest, AutoGoesTheShortestWay) {
  const auto way = [](const char* setting, bool one_host, bool one_job) {
    return ChooseWeightRoute(setting, one_host, one_job)->way;
  };
  EXPECT_EQ(way("auto", true, true), WeightWay::kSharedMemory);
  EXPECT_EQ(way("auto", true, false), WeightWay::kSharedMemory);
  EXPECT_EQ(way("auto", false, true), WeightWay::kBroadcast);
  EXPECT_EQ(way("auto", false, false), WeightWay::kGrpc);
  for (bool one_host : {false, true}) {
    EXPECT_EQ(way("shared_memory", one_host, true), WeightWay::kSharedMemory);
    EXPECT_EQ(way("broadcast", one_host, true), WeightWay::kBroadcast);
    EXPECT_EQ(way("grpc", one_host, true), WeightWay::kGrpc);
  }
  const auto refused = ChooseWeightRoute("broadcast", true, false);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("cluster.weights=broadcast"));
}

}  // namespace
}  // namespace ziprl
