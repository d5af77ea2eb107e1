// Decode steps work in memory that is there: neither operator new nor torch's allocator is asked.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/rollout/engine_case.h"

namespace {
std::atomic<int64_t> allocations = 0;
}  // namespace

// Of this program and the libraries it loads.
void* operator new(size_t bytes) {
  ++allocations;
  if (void* block = std::malloc(bytes)) return block;
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }

namespace ziprl {
namespace {

// Torch's own, counted.
class CountingAllocator : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}
  c10::DataPtr allocate(size_t bytes) override {
    ++allocations;
    return inner_->allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner_->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    inner_->copy_data(to, from, bytes);
  }

 private:
  c10::Allocator* const inner_;
};

// One group; notes at every question of the engine, which comes before each step, how often memory
// was asked for.
class NotingStream : public GroupStream {
 public:
  NotingStream(const GroupLease& group, size_t questions) : group_(group) {
    noted.reserve(2 * questions);
  }
  const GroupLease* Next(bool) override {
    noted.push_back(allocations);
    return noted.size() == 1 ? &group_ : nullptr;
  }
  void Done(const GroupLease&, std::vector<Completion> completions) override {
    tokens = completions[0].token_ids.size();
  }
  void Close() override {}

  std::vector<int64_t> noted;
  size_t tokens = 0;

 private:
  const GroupLease group_;
};

class DecodeAllocationsTest : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    static CountingAllocator counting(c10::GetCPUAllocator());
    c10::SetCPUAllocator(&counting, /*priority=*/1);
    at::set_num_threads(1);
  }
};

// A prompt of 70 rows: its second page ends behind 58 tokens.
TEST_P(DecodeAllocationsTest, StepsAskForNoMemoryBetweenTwoPages) {
  constexpr size_t kTokens = 55, kFirst = 10, kLast = 50;
  const auto model = TinyModel("base", GetParam());
  EngineConfig config = Settings(kTokens, /*rescore_interval=*/0);
  config.top_p = 0.9;
  const GroupLease group = TinyLease(TinyPrompt(*model, 70, 1, 5), {1.0, 1.0, 1.0, 1.0}, 5);
  auto engine = MakeSparseEngine(config, model, std::make_shared<VisualFeatures>());
  ASSERT_TRUE(engine.ok()) << engine.status();
  NotingStream stream(group, kTokens);
  const absl::Status status = (*engine)->GenerateStream(stream);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(stream.tokens, kTokens);
  ASSERT_GT(stream.noted.size(), kLast);
  EXPECT_GT(stream.noted[kFirst], stream.noted[0]) << "the prompt's are counted";
  for (size_t step = kFirst; step < kLast; ++step) {
    EXPECT_EQ(stream.noted[step + 1] - stream.noted[step], 0) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DecodeAllocationsTest, ::testing::Values("fp32", "bf16"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ziprl
