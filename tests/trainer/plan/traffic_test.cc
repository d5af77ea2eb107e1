// What a plan says of the learner's collectives is what the communicator counts, to the byte.
#include "trainer/plan/traffic.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <ostream>
#include <thread>

#include "kernels/comm/local.h"
#include "model/visual_features.h"
#include "tests/rollout/engine_case.h"
#include "tests/trainer/learner_case.h"

namespace ziprl {
namespace {

struct Row {
  const char* model;  // "base" is tied, "odd" is not
  const char* recipe;
  int ranks, zero;
  bool freeze;
  bool single;         // a pack for each sequence
  bool share = false;  // samples of a group share their prompt
  friend void PrintTo(const Row& r, std::ostream* out) {
    *out << r.model << " " << r.recipe << " ranks " << r.ranks << " zero " << r.zero;
  }
};

class TrafficTest : public ::testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    const Row& row = GetParam();
    at::set_num_threads(1);
    config_ = TinyRun(row.recipe);
    config_.actor.zero = row.zero;
    config_.actor.freeze_vision_tower = row.freeze;
    config_.trainer.deterministic = row.single;
    groups_ =
        TinyGroups(config_, TinyModel(row.model), 3, 90,
                   row.share ? std::vector<double>{0.7} : std::vector<double>{0.9, 0.6, 0.8, 0.5});
    advantages_ = TinyAdvantages(config_, groups_);
  }

  // Bytes that each rank's communicator counts in the second step: the first one also measures the
  // norm of the selection's gradient where the recipe has one.
  std::vector<int64_t> CountedBytes() {
    std::vector<int64_t> counted(GetParam().ranks);
    const auto group = comm::MakeLocalGroup(GetParam().ranks, {});
    std::vector<std::thread> threads;
    for (int r = 0; r < GetParam().ranks; ++r) {
      threads.emplace_back([&, r] { counted[r] = CountRank(group[r].get()); });
    }
    for (std::thread& thread : threads) thread.join();
    return counted;
  }

  int64_t CountRank(comm::Communicator* communicator) {
    at::set_num_threads(1);
    const auto model = TinyModel(GetParam().model);
    auto learner = MustValue(Learner::Create(config_, model, std::make_shared<VisualFeatures>(),
                                             nullptr, 10, communicator));
    MustValue(learner->Step(groups_, advantages_));
    model->version = 0;  // the groups are of version 0 in every step
    const int64_t before = communicator->stats().bytes;
    MustValue(learner->Step(groups_, advantages_));
    step_ = communicator->stats().bytes - before;
    MustOk(learner->GatherParams());
    gather_ = communicator->stats().bytes - before - step_;
    learner->ReleaseParams(/*changed=*/false);
    return step_;
  }

  RunConfig config_;
  std::vector<ScoredGroup> groups_;
  StepAdvantages advantages_;
  std::atomic<int64_t> step_ = 0, gather_ = 0;
};

TEST_P(TrafficTest, EqualsWhatTheCommunicatorCounts) {
  const Row& row = GetParam();
  std::vector<SampleSize> samples;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto prompt = static_cast<int>(groups_[g].prompt.token_ids.size());
    for (const Completion& completion : groups_[g].completions) {
      samples.push_back({static_cast<int>(g), row.share ? 0 : completion.index, prompt - 1,
                         prompt + static_cast<int>(completion.token_ids.size()) - 1});
    }
  }
  UnitLimits limits;
  limits.workers = row.ranks;
  limits.pack_tokens = config_.actor.max_tokens_per_micro_batch;
  limits.single = row.single;
  std::vector<SequenceSize> sizes;
  for (const std::vector<int>& bundle : ShareBundles(samples, limits)) {
    sizes.push_back({samples[bundle[0]].group, BundleRows(samples, bundle)});
  }
  LearnerTraffic learner;
  learner.ranks = row.ranks;
  learner.zero = row.zero;
  learner.samples = static_cast<int64_t>(samples.size());
  learner.train_vision = !row.freeze;
  const ModelShape shape = ShapeOf(TinyModel(row.model)->arch, row.freeze);
  int64_t planned = 0;
  for (const TrafficPart& part : StepTraffic(shape, learner, MakeUnits(sizes, limits))) {
    planned += part.bytes;
  }
  for (int64_t counted : CountedBytes()) EXPECT_EQ(counted, planned);
  EXPECT_EQ(gather_, GatherTraffic(shape, learner));
}

INSTANTIATE_TEST_SUITE_P(Rows, TrafficTest,
                         ::testing::Values(Row{"base", "paper", 2, 0, false, false},
                                           Row{"base", "stochastic", 2, 1, true, true},
                                           Row{"odd", "paper", 2, 2, false, true},
                                           Row{"base", "stochastic", 2, 3, false, true},
                                           Row{"odd", "paper", 2, 3, true, false},
                                           Row{"odd", "stochastic", 3, 3, false, false},
                                           Row{"base", "paper", 2, 3, false, true, true},
                                           Row{"odd", "paper", 3, 1, false, false, true}));

}  // namespace
}  // namespace ziprl
