// Watchdogs whose ranks are threads, and the parts that need no socket.
#include "kernels/comm/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <random>
#include <thread>

#include "kernels/comm/local.h"

namespace ziprl::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Operation MakeOperation(const std::string& what, int64_t step, int64_t sequence) {
  Operation op;
  op.kind = "AllGather";
  op.label = {what, step};
  op.communicator = "learner";
  op.sequence = sequence;
  op.bytes = 64;
  op.expires = std::chrono::steady_clock::now() + std::chrono::hours(1);
  return op;
}

TEST(OpBoardTest, LastFinishedAndOldestRunning) {
  OpBoard board;
  EXPECT_EQ(board.Snapshot().ToString(), "nothing finished yet, now outside of any operation");
  const Operation first = MakeOperation("parts", 3, 0), second = MakeOperation("more", -1, 1);
  board.Begin(first);
  board.Begin(second);
  EXPECT_THAT(board.Snapshot().current, HasSubstr("AllGather 'parts' #0 of 'learner', step 3"));
  board.End(first, absl::OkStatus());
  board.End(second, absl::InternalError("failed"));
  EXPECT_THAT(board.Snapshot().ToString(), AllOf(HasSubstr("last finished AllGather 'parts' #0"),
                                                 HasSubstr("now outside of any operation")));
  EXPECT_EQ(board.Snapshot().step, 3);
}

TEST(OpBoardTest, OverdueOnlyAfterTheGrace) {
  OpBoard board;
  const Operation op = MakeOperation("parts", 3, 0);
  board.Begin(op);
  EXPECT_EQ(board.Overdue(op.expires + std::chrono::seconds(1), absl::Seconds(2)), "");
  EXPECT_THAT(board.Overdue(op.expires + std::chrono::seconds(3), absl::Seconds(2)),
              HasSubstr("'parts'"));
}

Heartbeat MakeHeartbeat(int rank) {
  Heartbeat heartbeat;
  heartbeat.rank = rank;
  heartbeat.pid = 4711;
  heartbeat.host = "n7";
  heartbeat.activity = {"AllGather 'parts' #4", "Barrier 'fence' #5", 12};
  heartbeat.text = "text";
  return heartbeat;
}

std::string Body(const Heartbeat& heartbeat) { return EncodeFrame(heartbeat).substr(4); }

TEST(HeartbeatTest, FramesAreReadBack) {
  const auto read = DecodeFrame(Body(MakeHeartbeat(3)));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->kind, Heartbeat::kAlive);
  EXPECT_EQ(read->rank, 3);
  EXPECT_EQ(read->pid, 4711);
  EXPECT_EQ(read->host, "n7");
  EXPECT_EQ(read->activity.current, "Barrier 'fence' #5");
  EXPECT_EQ(read->activity.step, 12);
  EXPECT_EQ(read->text, "text");
}

TEST(HeartbeatTest, LongTextsAreCutAndStayOneLine) {
  Heartbeat heartbeat = MakeHeartbeat(0);
  heartbeat.text = "two\nlines " + std::string(1 << 20, 'x');
  const std::string frame = EncodeFrame(heartbeat);
  EXPECT_LE(frame.size(), kMaxFrameBytes + 4);
  const auto read = DecodeFrame(frame.substr(4));
  ASSERT_TRUE(read.ok());
  EXPECT_THAT(read->text, testing::StartsWith("two lines xxx"));
}

// Whatever arrives is a heartbeat or an error, never a crash (the sanitizers watch).
TEST(HeartbeatTest, MutatedFrames) {
  std::mt19937 random(7);
  const std::string whole = Body(MakeHeartbeat(1));
  for (int i = 0; i < 10'000; ++i) {
    std::string frame = whole.substr(0, random() % (whole.size() + 1));
    for (int k = 0; k < 3 && !frame.empty(); ++k) {
      frame[random() % frame.size()] = static_cast<char>(random());
    }
    const auto read = DecodeFrame(frame);
    EXPECT_TRUE(!read.ok() || read->rank >= 0);
  }
  EXPECT_FALSE(DecodeFrame(whole + "x").ok());
}

TEST(RankTableTest, SilenceGoodbyeAndVerdict) {
  const SteadyTime start{};
  RankTable table(3, start);
  const SteadyTime later = start + std::chrono::seconds(10);
  EXPECT_EQ(table.Silence(1, later), absl::Seconds(10));
  table.Heard(MakeHeartbeat(1), later);
  EXPECT_EQ(table.Silence(1, later), absl::ZeroDuration());
  EXPECT_THAT(table.Verdict(1, "is gone"),
              HasSubstr("watchdog: rank 1 (host n7, pid 4711) is gone; step 12, last finished "
                        "AllGather 'parts' #4, now in Barrier 'fence' #5"));
  EXPECT_THAT(table.Describe(2), HasSubstr("rank 2 (never heard of)"));
  Heartbeat goodbye = MakeHeartbeat(1);
  goodbye.kind = Heartbeat::kGoodbye;
  table.Heard(goodbye, later);
  EXPECT_TRUE(table.left(1));
  table.Heard(MakeHeartbeat(99), later);  // of no rank
  table.Forgive(later + std::chrono::seconds(5));
  EXPECT_EQ(table.Silence(2, later + std::chrono::seconds(5)), absl::ZeroDuration());
}

// Ranks that are threads, each with its watchdog.
class WatchdogTest : public testing::Test {
 protected:
  static constexpr int kRanks = 3;

  struct Rank {
    Communicator* comm;
    std::unique_ptr<Watchdog> watchdog;
    std::vector<std::string> lines;  // of on_failure
    std::promise<void> failed;
  };

  void Run(const std::function<void(Rank&)>& body) {
    Communicator::Config config;
    config.deadline = absl::Seconds(60);
    const auto group = MakeLocalGroup(kRanks, config);
    std::vector<std::thread> threads;
    for (const auto& comm : group) {
      threads.emplace_back([&body, comm = comm.get()] {
        Rank rank{comm, nullptr, {}, {}};
        Watchdog::Config config;
        config.deadline = absl::Seconds(30);
        config.on_failure = [&rank](const std::string& line) {
          rank.lines.push_back(line);
          rank.failed.set_value();
        };
        auto watchdog = Watchdog::Start(*comm, config);
        ASSERT_TRUE(watchdog.ok()) << watchdog.status();
        rank.watchdog = *std::move(watchdog);
        comm->SetMonitor(rank.watchdog.get());
        body(rank);
        rank.watchdog = nullptr;
        comm->SetMonitor(nullptr);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

TEST_F(WatchdogTest, ARunThatEndsFailsNobody) {
  Run([](Rank& rank) {
    EXPECT_EQ(rank.comm->Barrier({"fence", 1}), absl::OkStatus());
    rank.watchdog = nullptr;
    EXPECT_THAT(rank.lines, testing::IsEmpty());
  });
}

TEST_F(WatchdogTest, AFailingRankIsNamedOnTheOthers) {
  for (int failing : {0, 2}) {
    Run([failing](Rank& rank) {
      ASSERT_EQ(rank.comm->Barrier({"fence", 1}), absl::OkStatus());
      const int self = rank.comm->rank();
      if (self == failing) rank.watchdog->Fail("the disk is full");
      if (self != failing) rank.failed.get_future().wait_for(std::chrono::seconds(60));
      rank.watchdog = nullptr;
      if (self == failing) {
        EXPECT_THAT(rank.lines, testing::IsEmpty());
      } else {
        EXPECT_THAT(rank.lines, testing::ElementsAre(AllOf(
                                    HasSubstr("watchdog: rank " + std::to_string(failing)),
                                    HasSubstr("failed: the disk is full"), Not(HasSubstr("\n")))));
      }
    });
  }
}

TEST(WatchdogAloneTest, AWorldOfOneNeedsNone) {
  const auto self = MakeSelfCommunicator({});
  auto watchdog = Watchdog::Start(*self, {});
  ASSERT_TRUE(watchdog.ok()) << watchdog.status();
  self->SetMonitor(watchdog->get());
  EXPECT_EQ(self->Barrier("fence"), absl::OkStatus());
  (*watchdog)->Fail("nobody hears it");
}

}  // namespace
}  // namespace ziprl::comm
