// The shim itself: it runs correct kernels and stops on the bugs it is there to find.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/host_shim/cuda_host_shim.h"
#include "tests/host_shim/host_launch.h"

namespace {

// Sum of 64 numbers by shuffles and shared memory.
void BlockSum(const float* x, float* out) {
  __shared__ float part[2];
  float sum = x[threadIdx.x];
  for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) *out = part[0] + part[1];
}

// Reverses 64 numbers through shared memory; the barrier can be left out.
void Reverse(float* x, bool barrier) {
  __shared__ float copy[64];
  copy[threadIdx.x] = x[threadIdx.x];
  if (barrier) __syncthreads();
  x[threadIdx.x] = copy[63 - threadIdx.x];
}

void DivergentBarrier() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

void LaneOutsideTheMask(float* x) {
  if (threadIdx.x < 16) *x = __shfl_xor_sync(0xffffu, *x, 16);
}

void ExitedLane(float* x) {
  if (threadIdx.x == 5) return;
  *x = __shfl_xor_sync(0xffffffffu, *x, 1);
}

class HostShimTest : public testing::TestWithParam<cuhost::Order> {
 protected:
  HostShimTest() : x(64) {
    cuhost::ThreadOrder() = GetParam();
    std::iota(x.begin(), x.end(), 0.0f);
  }
  ~HostShimTest() override { cuhost::ThreadOrder() = cuhost::Order::kForward; }
  std::vector<float> x;
};

TEST_P(HostShimTest, ShufflesAndBarriers) {
  float sum = 0;
  CUDA_LAUNCH(BlockSum, 1, 64, nullptr, x.data(), &sum);
  EXPECT_EQ(sum, 63 * 32);
}

TEST_P(HostShimTest, AMissingBarrierShows) {
  CUDA_LAUNCH(Reverse, 1, 64, nullptr, x.data(), true);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(x[i], 63 - i);
  std::vector<float> racy(64);
  std::iota(racy.begin(), racy.end(), 100.0f);
  CUDA_LAUNCH(Reverse, 1, 64, nullptr, racy.data(), false);
  int wrong = 0;
  for (int i = 0; i < 64; ++i) wrong += racy[i] != 163 - i;
  EXPECT_GT(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Orders, HostShimTest,
                         testing::Values(cuhost::Order::kForward, cuhost::Order::kReverse,
                                         cuhost::Order::kRandom));

TEST(HostShimDeathTest, StopsOnBugs) {
  float x = 0;
  EXPECT_DEATH(CUDA_LAUNCH(DivergentBarrier, 1, 64, nullptr), "divergent __syncthreads");
  EXPECT_DEATH(CUDA_LAUNCH(LaneOutsideTheMask, 1, 32, nullptr, &x), "outside the mask");
  EXPECT_DEATH(CUDA_LAUNCH(ExitedLane, 1, 32, nullptr, &x), "exited or missing lane");
}

}  // namespace
