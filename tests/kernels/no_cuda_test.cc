// A program built with kernels/no_cuda.cc: CUDA is a clear error, the self-test is skipped by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "kernels/adamw.h"
#include "kernels/cuda_plugin.h"
#include "kernels/selftest.h"

namespace ziprl::kernels {
namespace {

using ::testing::HasSubstr;

TEST(NoCudaTest, LoadingSaysWhatToDo) {
  const auto table = LoadCudaTable();
  EXPECT_EQ(table.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(table.status().message()), HasSubstr("no CUDA backend"));
  EXPECT_THAT(std::string(table.status().message()), HasSubstr("model.device=cpu"));
}

TEST(NoCudaTest, SelfTestIsSkippedByName) {
  std::ostringstream out;
  EXPECT_EQ(RunCudaSelfTest(out), 0);
  EXPECT_THAT(out.str(), HasSubstr("SKIPPED ProbeMass_gqa: this build has no CUDA backend"));
  EXPECT_THAT(out.str(), HasSubstr("selftest: skipped"));
  EXPECT_THAT(out.str(), Not(HasSubstr("ok ")));
}

TEST(NoCudaDeathTest, AnOpOnCudaStopsWithTheReason) {
  float x = 0;
  EXPECT_DEATH(AdamW(Backend::kCuda, AdamWParams{}, &x, &x, &x, &x, 1, nullptr),
               "kernels::AdamW on Backend::kCuda: .*no CUDA backend");
}

}  // namespace
}  // namespace ziprl::kernels
