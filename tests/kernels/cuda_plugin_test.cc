#include "kernels/cuda_plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "kernels/cuda_table.h"
#include "kernels/selftest.h"

namespace ziprl::kernels {
namespace {

using ::testing::HasSubstr;

TEST(CudaPluginTest, TheLibraryLoadsWithoutADriver) {
  const absl::StatusOr<const CudaTable*> table = LoadCudaTable();
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ((*table)->version, kCudaTableVersion);
  EXPECT_GE((*table)->device_count(), 0);
  EXPECT_EQ(*LoadCudaTable(), *table);
  EXPECT_EQ(&RequireCuda("test"), *table);
}

// With a device every case runs there; without one every case is skipped by name, never passed.
TEST(CudaPluginTest, SelfTestOnTheDevice) {
  std::ostringstream out;
  EXPECT_EQ(RunCudaSelfTest(out), 0) << out.str();
  for (const SelfTestCase& test : SelfTestCases()) EXPECT_THAT(out.str(), HasSubstr(test.name));
  if ((*LoadCudaTable())->device_count() > 0) return;
  EXPECT_THAT(out.str(), HasSubstr("SKIPPED AdamW_1: no CUDA device\n"));
  EXPECT_THAT(out.str(), Not(HasSubstr("ok ")));
  GTEST_SKIP() << "no CUDA device";
}

}  // namespace
}  // namespace ziprl::kernels
