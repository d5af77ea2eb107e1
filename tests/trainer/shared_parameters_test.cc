// An engine on a learner's parameters: what it generates, what it leaves behind for the update, and
// where the parameters of actor.zero = 3 are in between.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "kernels/comm/local.h"
#include "model/visual_features.h"
#include "tests/rollout/engine_case.h"
#include "tests/trainer/learner_case.h"
#include "trainer/colocated_learner.h"

namespace ziprl {
namespace {

// Counts the bytes of every tensor on the CPU. Each block follows its size.
class CountingAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* block = std::aligned_alloc(kHeader, (bytes / kHeader + 2) * kHeader);
    *static_cast<int64_t*>(block) = static_cast<int64_t>(bytes);
    const int64_t now = live += static_cast<int64_t>(bytes);
    int64_t seen = peak;
    while (seen < now && !peak.compare_exchange_weak(seen, now)) {
    }
    void* data = static_cast<char*>(block) + kHeader;
    return {data, data, &Release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  static inline std::atomic<int64_t> live = 0, peak = 0;

 private:
  static constexpr size_t kHeader = 64;
  static void Release(void* data) {
    void* block = static_cast<char*>(data) - kHeader;
    live -= *static_cast<int64_t*>(block);
    std::free(block);
  }
};

// Looks around when the update begins.
class WatchedLearner : public Learner {
 public:
  WatchedLearner(Learner& learner, std::function<void()> look)
      : learner_(learner), look_(std::move(look)) {}
  absl::StatusOr<StepStats> Step(const std::vector<ScoredGroup>& groups,
                                 const StepAdvantages& advantages) override {
    look_();
    return learner_.Step(groups, advantages);
  }
  absl::Status GatherParams() override { return learner_.GatherParams(); }
  void ReleaseParams(bool changed) override { learner_.ReleaseParams(changed); }
  absl::Status SaveState(const std::string& dir) const override { return learner_.SaveState(dir); }
  absl::Status LoadState(const std::string& dir) override { return learner_.LoadState(dir); }
  int64_t step() const override { return learner_.step(); }

 private:
  Learner& learner_;
  const std::function<void()> look_;
};

// Bytes of parameters that are there, whole or in part.
int64_t HeldBytes(const Model& model) {
  int64_t bytes = 0;
  for (size_t i = 0; i < model.params.size(); ++i) {
    const at::Tensor& tensor = model.params.tensor(i);
    if (tensor.storage().nbytes() > 0) bytes += static_cast<int64_t>(tensor.nbytes());
  }
  return bytes;
}

class SharedParametersTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    static CountingAllocator allocator;
    c10::SetCPUAllocator(&allocator, /*priority=*/1);
  }
  void SetUp() override {
    at::set_num_threads(1);
    config_ = TinyRun("stochastic");
    const auto model = TinyModel("base");
    groups_ = TinyGroups(config_, model, 2, 90, {0.9, 0.6, 0.8, 0.5});
    advantages_ = TinyAdvantages(config_, groups_);
    for (const ScoredGroup& group : groups_) {
      GroupLease lease;
      lease.prompt = group.prompt;
      lease.group_seed = group.group_seed;
      for (const Completion& sample : group.completions) {
        lease.samples.push_back({sample.index, sample.p, sample.seed});
      }
      leases_.push_back(std::move(lease));
    }
    engine_config_ = TrainingEngineConfig(config_);
  }

  int64_t PixelBytes(const Model& model) const {
    VisualFeatures features;
    for (const ScoredGroup& group : groups_) {
      for (const MediaRef& image : group.prompt.media) {
        MustOk(features.Patches(model, image).status());
      }
    }
    return features.held_bytes();
  }

  // The same prompts under the model's live version.
  std::vector<GroupLease> Leases(const Model& model) const {
    std::vector<GroupLease> out = leases_;
    for (GroupLease& lease : out) lease.version = model.version;
    return out;
  }

  RunConfig config_;
  EngineConfig engine_config_;
  std::vector<ScoredGroup> groups_;
  std::vector<GroupLease> leases_;
  StepAdvantages advantages_;
};

TEST_F(SharedParametersTest, TheUpdateFindsNothingOfTheEngineButPixels) {
  const auto model = TinyModel("base");
  const auto features = std::make_shared<VisualFeatures>();
  auto learner = MustValue(Learner::Create(config_, model, features, nullptr, 10));
  auto engine = MustValue(MakeSparseEngine(engine_config_, model, features));
  int64_t at_update = -1;
  WatchedLearner watched(*learner, [&] { at_update = CountingAllocator::live; });
  ColocatedLearner turns(watched, *engine);
  MustOk(turns.BeginGeneration());

  const int64_t pixels = PixelBytes(*model);
  const int64_t before = CountingAllocator::live;
  CountingAllocator::peak = before;
  const auto completions = MustValue(turns.engine().Generate(Leases(*model)));
  // At least the kept tokens' keys and values of one group were there, in fp32.
  int64_t cache = 0;
  for (const Completion& sample : completions[0]) {
    for (const Bitmap& layer : sample.kept.events[0]) {
      cache += 2 * layer.Count() * model->arch.kv_heads * model->arch.head_dim * 4;
    }
  }
  EXPECT_GT(CountingAllocator::peak - before, cache);

  EXPECT_GT(features->held_bytes(), pixels) << "the tower's outputs are kept for other groups";
  EXPECT_EQ(CountingAllocator::live - before, features->held_bytes());
  MustOk(turns.Step(groups_, advantages_).status());
  EXPECT_EQ(at_update - before, pixels);
}

TEST_F(SharedParametersTest, ZeroThreeIsWholeWhileRanksGenerateAndSpreadWhileTheyLearn) {
  constexpr int kRanks = 2;
  config_.actor.zero = 3;
  const auto alone = MustGenerate(engine_config_, TinyModel("base"), leases_);
  std::vector<std::unique_ptr<comm::Communicator>> ranks = comm::MakeLocalGroup(kRanks, {});
  std::vector<std::vector<std::vector<Completion>>> first(kRanks), second(kRanks);
  std::vector<int64_t> whole(kRanks), at_update(kRanks, -1), after(kRanks), part(kRanks);
  std::vector<std::thread> threads;
  for (int r = 0; r < kRanks; ++r) {
    threads.emplace_back([&, r] {
      at::set_num_threads(1);
      const auto model = TinyModel("base");
      const auto features = std::make_shared<VisualFeatures>();
      auto learner =
          MustValue(Learner::Create(config_, model, features, nullptr, 10, ranks[r].get()));
      auto engine = MustValue(MakeSparseEngine(engine_config_, model, features));
      WatchedLearner watched(*learner, [&] { at_update[r] = HeldBytes(*model); });
      ColocatedLearner turns(watched, *engine);
      MustOk(turns.BeginGeneration());
      whole[r] = HeldBytes(*model);
      first[r] = MustValue(turns.engine().Generate(Leases(*model)));
      MustOk(turns.Step(groups_, advantages_).status());
      after[r] = HeldBytes(*model);
      part[r] = learner->memory().params;
      MustOk(turns.BeginGeneration());
      second[r] = MustValue(turns.engine().Generate(Leases(*model)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto model = TinyModel("base");
  const int64_t all = model->params.NumElements() * 4;
  for (int r = 0; r < kRanks; ++r) {
    EXPECT_EQ(whole[r], all);
    EXPECT_EQ(at_update[r], 0);
    EXPECT_EQ(after[r], 0);
    EXPECT_LT(part[r], all * 2 / 3);
    for (size_t g = 0; g < alone.size(); ++g) {
      for (size_t i = 0; i < alone[g].size(); ++i) {
        EXPECT_EQ(first[r][g][i].token_ids, alone[g][i].token_ids);
        EXPECT_EQ(first[r][g][i].logprobs, alone[g][i].logprobs);
        EXPECT_EQ(second[r][g][i].logprobs, second[0][g][i].logprobs);
      }
    }
  }
  EXPECT_NE(second[0][0][0].logprobs, first[0][0][0].logprobs) << "the update changed the weights";
}

}  // namespace
}  // namespace ziprl
