// Conformance: gathering, broadcasting, strings and groups.
#include <gmock/gmock.h>

#include <numeric>

#include "kernels/comm/shards.h"
#include "tests/kernels/comm/conformance.h"

namespace ziprl::comm {
namespace {

// Bytes that tell their rank and place.
std::vector<uint8_t> RankBytes(int rank, int64_t bytes) {
  std::vector<uint8_t> values(bytes);
  for (int64_t i = 0; i < bytes; ++i) values[i] = static_cast<uint8_t>(37 * rank + i * i + 1);
  return values;
}

std::string RankText(int rank, int length) { return std::string(length, 'a' + rank); }

}  // namespace

TEST_P(CommunicatorTest, AllGatherUnequalParts) {
  Run([](Communicator& comm, Memory& memory) {
    for (int64_t unit : {1, 7, 90'001}) {
      std::vector<int64_t> counts;
      std::vector<uint8_t> expected;
      for (int r = 0; r < comm.size(); ++r) {
        counts.push_back(r == 1 ? 0 : unit * (r + 1));
        const std::vector<uint8_t> part = RankBytes(r, counts.back());
        expected.insert(expected.end(), part.begin(), part.end());
      }
      Buffer<uint8_t> in(memory, RankBytes(comm.rank(), counts[comm.rank()]));
      Buffer<uint8_t> out(memory, std::vector<uint8_t>(expected.size()));
      ASSERT_EQ(comm.AllGather("parts", in.data(), out.data(), counts), absl::OkStatus());
      EXPECT_EQ(out.Read(), expected) << unit;
    }
  });
}

TEST_P(CommunicatorTest, BroadcastFromEveryRoot) {
  Run([](Communicator& comm, Memory& memory) {
    for (int root = 0; root < comm.size(); ++root) {
      for (int64_t bytes : {0, 1, 1001, 700'001}) {
        Buffer<uint8_t> data(memory, RankBytes(comm.rank(), bytes));
        ASSERT_EQ(comm.Broadcast({"weights", root}, data.data(), bytes, root), absl::OkStatus());
        EXPECT_EQ(data.Read(), RankBytes(root, bytes)) << root << " " << bytes;
      }
      Buffer<uint8_t> data(memory, RankBytes(comm.rank(), 333));
      ASSERT_EQ(comm.BroadcastAsync("more", data.data(), 333, root)->Wait(), absl::OkStatus());
      EXPECT_EQ(data.Read(), RankBytes(root, 333));
    }
  });
}

TEST_P(CommunicatorTest, Strings) {
  Run([](Communicator& comm, Memory&) {
    for (int unit : {0, 1, 50'001}) {
      std::vector<std::string> expected;
      for (int r = 0; r < comm.size(); ++r) expected.push_back(RankText(r, unit * r));
      const auto all = comm.AllGatherBytes("texts", expected[comm.rank()]);
      ASSERT_EQ(all.status(), absl::OkStatus());
      EXPECT_EQ(*all, expected);

      const int root = comm.size() - 1;
      const auto gathered = comm.GatherBytes("texts", expected[comm.rank()], root);
      ASSERT_EQ(gathered.status(), absl::OkStatus());
      EXPECT_EQ(*gathered, comm.rank() == root ? expected : std::vector<std::string>());

      std::string text = RankText(comm.rank(), 5 + comm.rank());
      ASSERT_EQ(comm.BroadcastBytes("text", &text, root), absl::OkStatus());
      EXPECT_EQ(text, RankText(root, 5 + root));
    }
    std::string text = comm.rank() == 0 ? "" : "old";
    ASSERT_EQ(comm.BroadcastBytes("nothing", &text, 0), absl::OkStatus());
    EXPECT_EQ(text, "");
  });
}

TEST_P(CommunicatorTest, SplitByColorOrderedByKey) {
  Run([](Communicator& comm, Memory& memory) {
    const int color = comm.rank() % 2;
    auto group = comm.Split("by parity", color, -comm.rank(), color == 0 ? "even" : "odd");
    ASSERT_EQ(group.status(), absl::OkStatus());
    ASSERT_NE(*group, nullptr);
    EXPECT_EQ((*group)->backend(), comm.backend());
    EXPECT_EQ((*group)->name(), color == 0 ? "even" : "odd");
    std::vector<int> members;  // the highest rank first
    for (int r = comm.size() - 1; r >= 0; --r) {
      if (r % 2 == color) members.push_back(r);
    }
    ASSERT_EQ((*group)->size(), static_cast<int>(members.size()));
    EXPECT_EQ((*group)->world_rank((*group)->rank()), comm.rank());
    Buffer<float> data(memory, RankValues<float>(comm.rank(), 5000));
    ASSERT_EQ((*group)->AllReduceSum("values", data.data(), 5000), absl::OkStatus());
    EXPECT_TRUE(SameBits(data.Read(), SumInOrder<float>(members, 5000)));

    // Only rank 0 joins the second one, which outlives the first.
    auto alone = comm.Split("alone", comm.rank() == 0 ? 3 : -1, 0, "alone");
    ASSERT_EQ(alone.status(), absl::OkStatus());
    EXPECT_EQ(*alone != nullptr, comm.rank() == 0);
    *group = nullptr;
    if (comm.rank() == 0) {
      const auto text = (*alone)->AllGatherBytes("text", "mine");
      ASSERT_EQ(text.status(), absl::OkStatus());
      EXPECT_THAT(*text, testing::ElementsAre("mine"));
      Buffer<float> one(memory, {1.5f}), sum(memory, {0.0f});
      ASSERT_EQ((*alone)->ReduceScatterSum("one", one.data(), sum.data(), {1}), absl::OkStatus());
      EXPECT_EQ(sum.Read()[0], 1.5f);
    }
  });
}

TEST_P(CommunicatorTest, StatsCountOperationsAndBytes) {
  Run([](Communicator& comm, Memory& memory) {
    const Communicator::Stats before = comm.stats();
    Buffer<float> data(memory, std::vector<float>(10, 1.0f));
    ASSERT_EQ(comm.AllReduceSum("values", data.data(), 10), absl::OkStatus());
    ASSERT_EQ(comm.Barrier("fence"), absl::OkStatus());
    EXPECT_EQ(comm.stats().operations - before.operations, 2);
    EXPECT_EQ(comm.stats().bytes - before.bytes, 40);
  });
}

}  // namespace ziprl::comm
