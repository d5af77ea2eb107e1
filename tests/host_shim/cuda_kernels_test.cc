// Every CUDA kernel on the host shim against the CPU op, in several orders of threads and blocks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "kernels/cuda_table.h"
#include "kernels/selftest.h"
#include "tests/host_shim/cuda_host_shim.h"
#include "tests/host_shim/host_table.h"

namespace ziprl::kernels {
namespace {

using ::testing::HasSubstr;

// Fibers are slow under AddressSanitizer, which looks for errors that rarely depend on the order:
// one there.
#if defined(__SANITIZE_ADDRESS__)
#define ZIPRL_ONE_ORDER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZIPRL_ONE_ORDER
#endif
#endif
#ifdef ZIPRL_ONE_ORDER
constexpr cuhost::Order kOrders[] = {cuhost::Order::kRandom};
#else
constexpr cuhost::Order kOrders[] = {cuhost::Order::kForward, cuhost::Order::kReverse,
                                     cuhost::Order::kRandom};
#endif

class CudaKernelsTest : public testing::TestWithParam<int> {
 protected:
  ~CudaKernelsTest() override { cuhost::ThreadOrder() = cuhost::Order::kForward; }
};

// Equal deviations mean equal results: what depends on the order of threads or blocks would show.
TEST_P(CudaKernelsTest, AgreesWithTheCpuInEveryOrderOfThreads) {
  const SelfTestCase test = SelfTestCases()[GetParam()];
  double first = 0.0;
  for (cuhost::Order order : kOrders) {
    cuhost::ThreadOrder() = order;
    const SelfTestResult result = test.run(HostShimTable());
    EXPECT_LE(result.error, result.tolerance) << testing::PrintToString(order);
    if (order == kOrders[0]) first = result.error;
    EXPECT_EQ(result.error, first) << testing::PrintToString(order);
  }
}

INSTANTIATE_TEST_SUITE_P(HostShim, CudaKernelsTest,
                         testing::Range(0, static_cast<int>(SelfTestCases().size())),
                         [](const auto& info) { return SelfTestCases()[info.param].name; });

// The judge notices a kernel that is wrong: here one that scales AdamW's update.
TEST(SelfTestTest, ReportsAWrongKernel) {
  CudaTable table = HostShimTable();
  table.adamw = [](const AdamWParams& params, float* param, const float* grad, float* m, float* v,
                   int64_t n, Stream stream) {
    AdamWParams wrong = params;
    wrong.lr *= 1.01f;
    HostShimTable().adamw(wrong, param, grad, m, v, n, stream);
  };
  std::vector<SelfTestCase> cases = SelfTestCases();
  std::erase_if(cases, [](const SelfTestCase& test) {
    return !test.name.starts_with("AdamW_") && !test.name.starts_with("TopPSelect_");
  });
  std::ostringstream out;
  EXPECT_EQ(RunSelfTest(table, cases, out), 2);
  EXPECT_THAT(out.str(), HasSubstr("FAILED AdamW_1000"));
  EXPECT_THAT(out.str(), HasSubstr("ok     TopPSelect_ties"));
}

}  // namespace
}  // namespace ziprl::kernels
