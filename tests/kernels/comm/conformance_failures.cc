// Conformance: arguments that cannot be right, ranks that disagree, ranks that are late.
#include <gmock/gmock.h>

#include <cstdint>
#include <thread>

#include "absl/time/clock.h"
#include "tests/kernels/comm/conformance.h"

namespace ziprl::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A communicator of all ranks that a case may break.
std::unique_ptr<Communicator> Fragile(Communicator& comm) {
  auto made = comm.Split("to be broken", 0, comm.rank(), "fragile");
  EXPECT_EQ(made.status(), absl::OkStatus());
  return made.ok() ? *std::move(made) : nullptr;
}

}  // namespace

TEST_P(CommunicatorTest, ImpossibleArgumentsBreakNothing) {
  Run([](Communicator& comm, Memory& memory) {
    Buffer<float> data(memory, std::vector<float>(4));
    const std::vector<int64_t> few(comm.size() + 1, 1), negative(comm.size(), -1);
    const absl::Status counts = comm.AllGather("parts", data.data(), data.data(), few);
    EXPECT_TRUE(absl::IsInvalidArgument(counts)) << counts;
    EXPECT_THAT(std::string(counts.message()),
                AllOf(HasSubstr("AllGather 'parts'"), HasSubstr("[1, 1")));
    EXPECT_TRUE(absl::IsInvalidArgument(
        comm.ReduceScatterSumAsync("x", data.data(), data.data(), negative)->Wait()));
    EXPECT_TRUE(absl::IsInvalidArgument(comm.AllReduceSum("x", data.data(), -1)));
    const absl::Status root = comm.Broadcast("x", data.data(), 4, comm.size());
    EXPECT_TRUE(absl::IsInvalidArgument(root));
    EXPECT_THAT(std::string(root.message()), HasSubstr("was given root"));
    std::string text;
    EXPECT_TRUE(absl::IsInvalidArgument(comm.BroadcastBytes("x", &text, -1)));
    EXPECT_TRUE(absl::IsInvalidArgument(comm.GatherBytes("x", text, -1).status()));
    EXPECT_EQ(comm.Barrier("still whole"), absl::OkStatus());
  });
}

TEST_P(CommunicatorTest, TheDeadlineNamesTheLateRank) {
  Run([](Communicator& comm, Memory& memory) {
    if (comm.size() == 1) return;
    const std::unique_ptr<Communicator> fragile = Fragile(comm);
    ASSERT_NE(fragile, nullptr);
    Buffer<float> data(memory, std::vector<float>(8, 1.0f));
    ASSERT_EQ(fragile->AllReduceSum({"first", 6}, data.data(), 8), absl::OkStatus());
    fragile->SetDeadline(absl::Seconds(2));
    const int late = comm.size() - 1;
    if (comm.rank() != late) {
      const absl::Status status = fragile->AllReduceSum({"gradients", 7}, data.data(), 8);
      EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
      EXPECT_THAT(
          std::string(status.message()),
          AllOf(HasSubstr("AllReduceSum 'gradients' #1 of 'fragile', step 7, 32 bytes"),
                HasSubstr("did not arrive: rank " + std::to_string(late)), HasSubstr("waited 2s")));
      EXPECT_THAT(std::string(status.message()), Not(HasSubstr("arrive: rank 0")));
      const absl::Status next = fragile->Barrier("next");
      EXPECT_TRUE(absl::IsFailedPrecondition(next)) << next;
      EXPECT_THAT(std::string(next.message()),
                  AllOf(HasSubstr("Barrier 'next'"), HasSubstr("step 7, 32 bytes")));
      EXPECT_TRUE(absl::IsFailedPrecondition(
          fragile->AllGatherAsync("next", nullptr, nullptr, std::vector<int64_t>(comm.size()))
              ->Wait()));
    }
    EXPECT_EQ(comm.Barrier("the world is whole"), absl::OkStatus());
  });
}

// A rank that waits for an hour on a thread of its own, and shall not.
TEST_P(CommunicatorTest, CancelEndsAWait) {
  Run([](Communicator& comm, Memory&) {
    if (comm.size() == 1) return;
    const std::unique_ptr<Communicator> fragile = Fragile(comm);
    ASSERT_NE(fragile, nullptr);
    fragile->SetDeadline(absl::Hours(1));
    if (comm.rank() != 0) {
      absl::Status status;
      std::thread waits([&] {
        std::string text;
        status = fragile->BroadcastBytes("what never comes", &text, 0);
      });
      absl::SleepFor(absl::Milliseconds(100));
      fragile->Cancel();
      waits.join();
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr("'what never comes'"), HasSubstr("cancelled")));
      EXPECT_FALSE(fragile->Barrier("next").ok());
    }
    EXPECT_EQ(comm.Barrier("the world is whole"), absl::OkStatus());
  });
}

TEST_P(CommunicatorTest, RanksThatDisagreeAboutTheOperationDoNotHang) {
  Run([](Communicator& comm, Memory&) {
    if (comm.size() == 1) return;
    const std::unique_ptr<Communicator> fragile = Fragile(comm);
    ASSERT_NE(fragile, nullptr);
    fragile->SetDeadline(absl::Seconds(1));
    std::string text = "text";
    const absl::Status status =
        comm.rank() == 0 ? fragile->Barrier("fence") : fragile->BroadcastBytes("text", &text, 0);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(comm.Barrier("the world is whole"), absl::OkStatus());
  });
}

// NCCL leaves this undefined.
TEST_P(CommunicatorTest, RanksThatDisagreeAboutSizesHearOfIt) {
  if (GetParam().name.find("Nccl") == 0) GTEST_SKIP() << "NCCL cannot tell";
  Run([](Communicator& comm, Memory& memory) {
    if (comm.size() == 1) return;
    const std::unique_ptr<Communicator> fragile = Fragile(comm);
    ASSERT_NE(fragile, nullptr);
    fragile->SetDeadline(absl::Seconds(5));
    std::vector<int64_t> counts(comm.size(), 16);
    if (comm.rank() == 0) counts[1] = 8;
    Buffer<uint8_t> in(memory, std::vector<uint8_t>(16)),
        out(memory, std::vector<uint8_t>(16 * comm.size()));
    const absl::Status status = fragile->AllGather("parts", in.data(), out.data(), counts);
    if (comm.rank() == 0) {
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("AllGather 'parts' #0 of 'fragile'"));
      EXPECT_THAT(std::string(status.message()), HasSubstr("disagree"));
    }
    EXPECT_EQ(comm.Barrier("the world is whole"), absl::OkStatus());
  });
}

}  // namespace ziprl::comm
