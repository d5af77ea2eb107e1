// The ordered sum on the host and, as device code on the host shim, for the GPU: the same bits.
#include "kernels/comm/ordered_sum.h"

#include <gtest/gtest.h>

#include "tests/host_shim/host_launch.h"
// The kernel, in the shim's vocabulary.
#include "kernels/comm/ordered_sum.cuh"
#include "tests/kernels/comm/conformance.h"

namespace ziprl::comm {
namespace {

template <typename T>
void ExpectSameBits(int ranks, int rank, int64_t n) {
  const int64_t stride = n + 3;
  std::vector<T> staging(ranks * stride, -1);
  for (int r = 0; r < ranks; ++r) {
    const std::vector<T> values = RankValues<T>(r, n);
    if (r != rank) std::copy(values.begin(), values.end(), staging.begin() + r * stride);
  }
  std::vector<T> own = RankValues<T>(rank, n);
  std::vector<const T*> sources;
  for (int r = 0; r < ranks; ++r) sources.push_back(r == rank ? own.data() : &staging[r * stride]);
  std::vector<T> host(n);
  OrderedSum(sources, n, host.data());
  EXPECT_TRUE(SameBits(host, SumInOrder<T>(RankOrder(ranks), n)));

  OrderedSumParams params = {
      staging.data(), own.data(), own.data(), stride, n, rank, ranks, sizeof(T) == sizeof(double)};
  cuda::OrderedSum(params, nullptr);  // in place
  EXPECT_TRUE(SameBits(own, host));
}

TEST(OrderedSumTest, HostAndDeviceCode) {
  for (cuhost::Order order : {cuhost::Order::kForward, cuhost::Order::kReverse}) {
    cuhost::ThreadOrder() = order;
    for (int ranks : {1, 2, 4}) {
      for (int rank = 0; rank < ranks; ++rank) {
        ExpectSameBits<float>(ranks, rank, 1500);
        ExpectSameBits<double>(ranks, rank, 257);
      }
    }
  }
}

}  // namespace
}  // namespace ziprl::comm
