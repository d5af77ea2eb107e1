// Conformance: the reductions, and the operations that overlap.
#include <gmock/gmock.h>

#include <algorithm>

#include "kernels/comm/shards.h"
#include "tests/kernels/comm/conformance.h"

namespace ziprl::comm {
namespace {

const int64_t kSizes[] = {1, 3, 1000, 4097, 150'001};

// Unequal shards of n elements with a zero among them (when there are at least two ranks).
std::vector<int64_t> UnequalCounts(int64_t n, int ranks) {
  std::vector<int64_t> counts(ranks);
  int64_t left = n;
  for (int r = ranks - 1; r > 0; --r) {
    if (r == 1) continue;
    counts[r] = left / 2;
    left -= counts[r];
  }
  counts[0] = left;
  return counts;
}

template <typename T>
void ExpectFixedOrder(Communicator& comm, Memory& memory) {
  for (int64_t n : kSizes) {
    Buffer<T> data(memory, RankValues<T>(comm.rank(), n));
    ASSERT_EQ(comm.AllReduceSum({"values", n}, data.data(), n), absl::OkStatus());
    EXPECT_TRUE(SameBits(data.Read(), SumInOrder<T>(RankOrder(comm.size()), n))) << n;
  }
}

}  // namespace

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CommunicatorTest);

TEST_P(CommunicatorTest, AllReduceSumsInTheOrderOfRanks) {
  Run(ExpectFixedOrder<float>);
  Run(ExpectFixedOrder<double>);
}

template <typename T>
void ExpectOrderToMatter(const std::vector<int>& order) {
  const std::vector<T> expected = SumInOrder<T>(RankOrder(static_cast<int>(order.size())), 1000);
  EXPECT_FALSE(SameBits(SumInOrder<T>(order, 1000), expected));
}

TEST(ConformanceValuesTest, AnotherOrderHasOtherBits) {
  ExpectOrderToMatter<float>({2, 1, 0});
  ExpectOrderToMatter<float>({1, 2, 3, 0});
  ExpectOrderToMatter<float>({0, 1, 3, 2});
  ExpectOrderToMatter<double>({0, 2, 1});
}

TEST_P(CommunicatorTest, AnyPartitionGivesTheSameBits) {
  Run([](Communicator& comm, Memory& memory) {
    for (int64_t n : kSizes) {
      for (const auto& counts : {UnequalCounts(n, comm.size()), EvenCounts(n, comm.size())}) {
        const std::vector<float> values = RankValues<float>(comm.rank(), n);
        const int64_t mine = counts[comm.rank()];
        Buffer<float> in(memory, values), shard(memory, std::vector<float>(mine)),
            out(memory, std::vector<float>(n));
        ASSERT_EQ(comm.ReduceScatterSum("gradients", in.data(), shard.data(), counts),
                  absl::OkStatus());
        EXPECT_TRUE(SameBits(in.Read(), values));
        std::vector<int64_t> byte_counts = counts;
        for (int64_t& count : byte_counts) count *= sizeof(float);
        ASSERT_EQ(comm.AllGather("sums", shard.data(), out.data(), byte_counts), absl::OkStatus());
        EXPECT_TRUE(SameBits(out.Read(), SumInOrder<float>(RankOrder(comm.size()), n))) << n;
      }
    }
  });
}

TEST_P(CommunicatorTest, InPlace) {
  Run([](Communicator& comm, Memory& memory) {
    const int64_t n = 70'003;
    const std::vector<int64_t> counts = UnequalCounts(n, comm.size());
    std::vector<int64_t> byte_counts = counts;
    for (int64_t& count : byte_counts) count *= sizeof(float);
    Buffer<float> data(memory, RankValues<float>(comm.rank(), n));
    float* const mine = data.data() + Offsets(counts)[comm.rank()];
    ASSERT_EQ(comm.ReduceScatterSum("gradients", data.data(), mine, counts), absl::OkStatus());
    ASSERT_EQ(comm.AllGather("sums", mine, data.data(), byte_counts), absl::OkStatus());
    EXPECT_TRUE(SameBits(data.Read(), SumInOrder<float>(RankOrder(comm.size()), n)));
  });
}

TEST_P(CommunicatorTest, AsyncOperationsAreDoneInTheOrderOfIssue) {
  Run([](Communicator& comm, Memory& memory) {
    const int64_t n = 40'000;
    const int kRounds = 5;
    const std::vector<int64_t> counts = EvenCounts(n, comm.size());
    std::vector<int64_t> byte_counts = counts;
    for (int64_t& count : byte_counts) count *= sizeof(float);
    float* shards[kRounds];
    std::vector<std::unique_ptr<Buffer<float>>> buffers;
    std::vector<std::unique_ptr<Pending>> pending;
    for (int k = 0; k < kRounds; ++k) {  // each gather reads what the reduction before it wrote
      buffers.push_back(std::make_unique<Buffer<float>>(memory, RankValues<float>(comm.rank(), n)));
      shards[k] = buffers[k]->data() + Offsets(counts)[comm.rank()];
      pending.push_back(
          comm.ReduceScatterSumAsync({"gradients", k}, buffers[k]->data(), shards[k], counts));
      pending.push_back(
          comm.AllGatherAsync({"sums", k}, shards[k], buffers[k]->data(), byte_counts));
    }
    // A blocking call waits for those before it; nobody has waited for them yet.
    Buffer<float> after(memory, std::vector<float>(1, 1.0f));
    ASSERT_EQ(comm.AllReduceSum("after", after.data(), 1), absl::OkStatus());
    EXPECT_EQ(after.Read()[0], comm.size());
    const std::vector<float> expected = SumInOrder<float>(RankOrder(comm.size()), n);
    for (int k = 0; k < kRounds; ++k) EXPECT_TRUE(SameBits(buffers[k]->Read(), expected));
    for (auto one = pending.rbegin(); one != pending.rend(); ++one) {
      EXPECT_EQ((*one)->Wait(), absl::OkStatus());
      EXPECT_EQ((*one)->Wait(), absl::OkStatus());
    }
  });
}

// What the caller's stream still holds when the operation is issued belongs to its input: Buffer
// does not wait for its copy. And the result is there for what the caller's stream gets next.
TEST_P(CommunicatorTest, OperationsFollowTheCallersStream) {
  Run([](Communicator& comm, Memory& memory) {
    for (int k = 0; k < 20; ++k) {
      const int64_t n = 5000 + k;
      const std::vector<int64_t> counts = EvenCounts(n, comm.size());
      Buffer<float> in(memory, RankValues<float>(comm.rank() + k, n));
      Buffer<float> out(memory, std::vector<float>(counts[comm.rank()]));
      const auto pending =
          comm.ReduceScatterSumAsync({"gradients", k}, in.data(), out.data(), counts);
      Buffer<float> broadcast(memory, std::vector<float>(100, comm.rank() == 0 ? k : -1.0f));
      ASSERT_EQ(comm.Broadcast("values", broadcast.data(), broadcast.bytes(), 0), absl::OkStatus());
      EXPECT_EQ(broadcast.Read(), std::vector<float>(100, k));
      ASSERT_EQ(pending->Wait(), absl::OkStatus());
      std::vector<int> order = RankOrder(comm.size());
      for (int& rank : order) rank += k;
      const std::vector<float> sum = SumInOrder<float>(order, n);
      const int64_t begin = Offsets(counts)[comm.rank()];
      EXPECT_TRUE(
          SameBits(out.Read(), {sum.begin() + begin, sum.begin() + begin + counts[comm.rank()]}));
    }
  });
}

}  // namespace ziprl::comm
