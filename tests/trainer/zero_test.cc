// The learner over ranks, which here are threads: loss, gradients and weights do not depend on how
// many there are, nor on who holds what between steps; checkpoints are of any number of ranks.
#include "trainer/zero.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <thread>
#include <utility>

#include "kernels/comm/local.h"
#include "model/visual_features.h"
#include "tests/rollout/engine_case.h"
#include "tests/trainer/data/scratch.h"
#include "tests/trainer/learner_case.h"
#include "trainer/optimizer_files.h"

namespace ziprl {
namespace {

constexpr double kBeta1 = 0.9;

std::string MakeDir(const Scratch& scratch, const std::string& name) {
  std::filesystem::create_directory(scratch.Path(name));
  return scratch.Path(name);
}

struct RankState {
  StepStats stats;  // of the last step
  std::vector<at::Tensor> weights;
  Learner::MemoryUse memory;
};

class ZeroTest : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    config_ = TinyRun("stochastic");
    config_.actor.max_grad_norm = 0;  // so that the first moments tell the gradient
    config_.actor.recompute = "none";
  }

  // Groups of unequal lengths, the second without an image.
  void Generate(int groups) {
    const auto model = TinyModel(name_);
    if (config_.algorithm.sparsity == "budget") {
      model->budget_head = ZeroBudgetHead(model->arch.hidden, model->device);
    }
    groups_ = TinyGroups(config_, model, groups, 90, {0.9, 0.6, 0.8, 0.5});
    if (groups > 1) groups_[1] = TextGroup(model);
    advantages_ = TinyAdvantages(config_, groups_);
  }

  ScoredGroup TextGroup(const std::shared_ptr<Model>& model) {
    ScoredGroup group = groups_[1];
    group.prompt = TinyPrompt(*model, 40, 0, 77);
    group.group_seed = 5;
    GroupLease lease = TinyLease(group.prompt, {0.9, 0.6, 0.8, 0.5}, 5);
    const EngineConfig engine = TrainingEngineConfig(config_);
    group.completions = MustGenerate(engine, model, lease);
    return group;
  }

  // `steps` steps on `ranks` ranks, from a checkpoint if `from` is given, saved into `to` if given.
  std::vector<RankState> Train(int ranks, int level, int steps, const std::string& to = "",
                               const std::string& from = "") {
    RunConfig config = config_;
    config.actor.zero = level;
    std::vector<RankState> states(ranks);
    std::vector<std::unique_ptr<comm::Communicator>> group = comm::MakeLocalGroup(ranks, {});
    std::vector<std::thread> threads;
    for (int r = 0; r < ranks; ++r) {
      threads.emplace_back([&, r] {
        at::set_num_threads(1);
        states[r] = TrainRank(config, group[r].get(), steps, to, from);
      });
    }
    for (std::thread& thread : threads) thread.join();
    return states;
  }

  RankState TrainRank(const RunConfig& config, comm::Communicator* communicator, int steps,
                      const std::string& to, const std::string& from) {
    const auto model = TinyModel(name_);
    auto learner = MustValue(Learner::Create(config, model, std::make_shared<VisualFeatures>(),
                                             nullptr, 10, communicator));
    if (!from.empty()) {
      MustOk(learner->GatherParams());
      for (size_t i = 0; i < saved_.size(); ++i) model->params.tensor(i).copy_(saved_[i]);
      learner->ReleaseParams(/*changed=*/true);
      MustOk(learner->LoadState(from));
    }
    RankState state;
    for (int step = 0; step < steps; ++step) {
      model->version = 0;  // the groups are of version 0 in every step
      state.stats = MustValue(learner->Step(groups_, advantages_));
    }
    state.memory = learner->memory();
    MustOk(learner->GatherParams());
    for (size_t i = 0; i < model->params.size(); ++i) {
      state.weights.push_back(model->params.tensor(i).clone());
    }
    learner->ReleaseParams(/*changed=*/false);
    if (!to.empty()) MustOk(learner->SaveState(to));
    return state;
  }

  // The gradient of the first step, from the moments that were saved after it.
  std::vector<at::Tensor> SavedGradients(const std::string& dir) {
    const OptimizerFiles files = MustValue(OptimizerFiles::Open(dir));
    const auto model = TinyModel(name_);
    std::vector<at::Tensor> grads;
    for (size_t i = 0; i < model->params.size(); ++i) {
      const at::Tensor& param = model->params.tensor(i);
      at::Tensor moment = at::empty(param.sizes(), at::TensorOptions().dtype(at::kFloat));
      MustOk(
          files.Read("exp_avg", model->params.name(i), 0, param.numel(), moment.data_ptr<float>()));
      grads.push_back(moment / (1 - kBeta1));
    }
    return grads;
  }

  void ExpectSameBits(const std::vector<RankState>& states, const RankState& expected) {
    for (const RankState& state : states) {
      EXPECT_EQ(state.stats.metrics, expected.stats.metrics);
      for (size_t i = 0; i < state.weights.size(); ++i) {
        EXPECT_TRUE(at::equal(state.weights[i], expected.weights[i])) << i;
      }
    }
  }

  const char* name_ = "base";
  RunConfig config_;
  std::vector<ScoredGroup> groups_;
  StepAdvantages advantages_;
  std::vector<at::Tensor> saved_;  // weights that Train starts from when it resumes
};

TEST_F(ZeroTest, AnyNumberOfRanksGivesTheSameStep) {
  Generate(3);
  const Scratch scratch;
  const RankState alone = Train(1, 0, 1, MakeDir(scratch, "alone"))[0];
  const std::vector<at::Tensor> grads = SavedGradients(scratch.Path("alone"));
  for (int ranks : {2, 3, 4}) {
    const std::string dir = MakeDir(scratch, std::to_string(ranks));
    for (const RankState& state : Train(ranks, 2, 1, dir)) {
      const double loss = alone.stats.metrics.at("actor/loss");
      EXPECT_NEAR(state.stats.metrics.at("actor/loss"), loss, 1e-6 * std::abs(loss));
      EXPECT_EQ(state.stats.metrics.at("mismatch/digest_equal_frac"), 1.0);
      for (size_t i = 0; i < state.weights.size(); ++i) {
        // Adam divides a first gradient by itself: only where it is more than rounding noise.
        const at::Tensor counts = grads[i].abs() > 1e-5 * grads[i].norm();
        const at::Tensor gap = (state.weights[i] - alone.weights[i]).abs() * counts;
        EXPECT_LE(gap.max().item<double>(), 1e-5) << ranks << " ranks, parameter " << i;
      }
    }
    const auto model = TinyModel(name_);
    EXPECT_LE(RelativeDifference(*model, SavedGradients(dir), grads), 1e-5) << ranks << " ranks";
  }
}

TEST_F(ZeroTest, EveryLevelGivesTheSameBits) {
  Generate(3);
  const RankState expected = Train(3, 0, 2)[0];
  for (int level : {0, 1, 2, 3}) ExpectSameBits(Train(3, level, 2), expected);
}

TEST_F(ZeroTest, RecomputedLayersGiveTheSameBits) {
  Generate(2);
  const RankState expected = Train(2, 3, 1)[0];
  config_.actor.recompute = "layer";
  ExpectSameBits(Train(2, 3, 1), expected);
}

TEST_F(ZeroTest, MoreRanksThanSamplesStayInStep) {
  config_.rollout.n = 2;
  Generate(1);
  const auto states = Train(4, 3, 1);
  ExpectSameBits(states, states[0]);
}

TEST_F(ZeroTest, MemoryFallsWithTheRanks) {
  Generate(1);
  const Learner::MemoryUse whole = Train(1, 0, 1)[0].memory;
  const auto model = TinyModel(name_);
  const int64_t params = model->params.NumElements() * 4;
  EXPECT_EQ(whole.optimizer, 2 * params);
  // A block's part is rounded up, by less than an element a block.
  const auto share = [&](int64_t bytes, int ranks) {
    return bytes / ranks + 8 * 4 * (model->arch.layers + 3);
  };
  for (int ranks : {2, 4}) {
    for (const RankState& state : Train(ranks, 1, 1)) {
      EXPECT_LE(state.memory.optimizer, share(2 * params, ranks));
      EXPECT_EQ(state.memory.params, params);
    }
    for (const RankState& state : Train(ranks, 2, 1)) {
      EXPECT_LE(state.memory.gradients, share(params, ranks));
    }
    for (const RankState& state : Train(ranks, 3, 1)) {
      EXPECT_LE(state.memory.optimizer, share(2 * params, ranks));
      EXPECT_LE(state.memory.gradients, share(params, ranks));
      EXPECT_LE(state.memory.params, share(params, ranks));
    }
  }
}

TEST_F(ZeroTest, BudgetHeadLearnsOverRanks) {
  config_ = TinyRun("budget");
  Generate(2);
  const double alone = Train(1, 0, 1)[0].stats.metrics.at("actor/grad_norm");
  const auto states = Train(2, 1, 1);
  ExpectSameBits(states, states[0]);
  EXPECT_NEAR(states[0].stats.metrics.at("actor/grad_norm"), alone, 1e-5 * alone);
}

// The storage of a rank's parameters, behind shards and model that have ended; `alone`: after the
// other rank did not come.
c10::weak_intrusive_ptr<c10::StorageImpl> StorageAfterTheEnd(const std::string& name, bool alone) {
  comm::Communicator::Config config;
  if (alone) config.deadline = absl::Milliseconds(50);
  const auto group = comm::MakeLocalGroup(2, config);
  const auto share = [&](int rank) {
    const auto model = TinyModel(name);
    ZeroShards shards(*model, *group[rank], {1, /*freeze_vision=*/false});
    EXPECT_EQ(shards.ShareParams().ok(), !alone);
    return model->params.tensor(0).storage().getWeakStorageImpl();
  };
  if (alone) return share(0);
  std::thread other([&] { share(1); });
  auto storage = share(0);
  other.join();
  return storage;
}

TEST_F(ZeroTest, WhatAFailedOperationWasGivenLivesOn) {
  EXPECT_TRUE(StorageAfterTheEnd(name_, /*alone=*/false).expired());
  EXPECT_FALSE(StorageAfterTheEnd(name_, /*alone=*/true).expired());
}

struct Move {
  int from, from_level, to, to_level;
};

class ResumeOnOtherRanks : public ZeroTest, public ::testing::WithParamInterface<Move> {};

TEST_P(ResumeOnOtherRanks, GoesOnAsBefore) {
  const Move& move = GetParam();
  Generate(2);
  const Scratch scratch;
  const std::string dir = MakeDir(scratch, "state");
  saved_ = Train(move.from, move.from_level, 1, dir)[0].weights;
  const RankState straight = Train(move.from, move.from_level, 2)[0];
  const auto resumed = Train(move.to, move.to_level, 1, "", dir);
  if (move.from == move.to) {
    for (const RankState& state : resumed) {
      for (size_t i = 0; i < state.weights.size(); ++i) {
        EXPECT_TRUE(at::equal(state.weights[i], straight.weights[i])) << i;
      }
    }
    return;
  }
  ExpectSameBits(resumed, resumed[0]);
  for (size_t i = 0; i < straight.weights.size(); ++i) {
    const at::Tensor gap = (resumed[0].weights[i] - straight.weights[i]).abs();
    // Noise gradients move a weight by up to the learning rate either way: nearly all must agree.
    EXPECT_GE((gap <= 1e-5).to(at::kFloat).mean().item<double>(), 0.99) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Moves, ResumeOnOtherRanks,
                         ::testing::Values(Move{4, 1, 2, 2}, Move{2, 2, 3, 1}, Move{1, 0, 4, 3},
                                           Move{3, 3, 1, 0}, Move{2, 3, 2, 3}, Move{2, 1, 2, 3}),
                         [](const auto& info) {
                           const Move& m = info.param;
                           return std::to_string(m.from) + "z" + std::to_string(m.from_level) +
                                  "_to_" + std::to_string(m.to) + "z" + std::to_string(m.to_level);
                         });

}  // namespace
}  // namespace ziprl
