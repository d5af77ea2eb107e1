// Every CUDA kernel on the host shim against the CPU op, in three thread orders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "kernels/cuda_table.h"
#include "kernels/selftest.h"
#include "tests/host_shim/cuda_host_shim.h"
#include "tests/host_shim/host_table.h"

namespace ziprl::kernels {
namespace {

using ::testing::HasSubstr;

class CudaKernelsTest : public testing::TestWithParam<std::tuple<int, cuhost::Order>> {
 protected:
  CudaKernelsTest() { cuhost::ThreadOrder() = std::get<1>(GetParam()); }
  ~CudaKernelsTest() override { cuhost::ThreadOrder() = cuhost::Order::kForward; }
};

TEST_P(CudaKernelsTest, AgreesWithTheCpu) {
  const SelfTestCase test = SelfTestCases()[std::get<0>(GetParam())];
  const SelfTestResult result = test.run(HostShimTable());
  EXPECT_LE(result.error, result.tolerance) << test.name;
}

std::string CaseName(const testing::TestParamInfo<std::tuple<int, cuhost::Order>>& info) {
  return SelfTestCases()[std::get<0>(info.param)].name + "_" +
         testing::PrintToString(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(HostShim, CudaKernelsTest,
                         testing::Combine(testing::Range(0, int(SelfTestCases().size())),
                                          testing::Values(cuhost::Order::kForward,
                                                          cuhost::Order::kReverse,
                                                          cuhost::Order::kRandom)),
                         CaseName);

// The judge notices a kernel that is wrong: here one that scales AdamW's update.
TEST(SelfTestTest, ReportsAWrongKernel) {
  CudaTable table = HostShimTable();
  table.adamw = [](const AdamWParams& params, float* param, const float* grad, float* m, float* v,
                   int64_t n, Stream stream) {
    AdamWParams wrong = params;
    wrong.lr *= 1.01f;
    HostShimTable().adamw(wrong, param, grad, m, v, n, stream);
  };
  std::ostringstream out;
  EXPECT_EQ(RunSelfTest(table, out), 2);
  EXPECT_THAT(out.str(), HasSubstr("FAILED AdamW_1000"));
  EXPECT_THAT(out.str(), HasSubstr("ok     TopPSelect_ties"));
}

}  // namespace
}  // namespace ziprl::kernels
