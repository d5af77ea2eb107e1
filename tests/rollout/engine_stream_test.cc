// The engine's groups as a stream: they may come while others are under way.
#include <gtest/gtest.h>

#include <map>

#include "tests/rollout/engine_case.h"

namespace ziprl {
namespace {

class EngineStreamTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { model = TinyModel(GetParam()); }
  GroupLease Lease(int length, const std::vector<double>& thresholds, uint64_t seed,
                   int images = 1) {
    return TinyLease(TinyPrompt(*model, length, images, seed), thresholds, seed);
  }
  std::shared_ptr<Model> model;
};

INSTANTIATE_TEST_SUITE_P(Models, EngineStreamTest, ::testing::Values("base", "odd"),
                         [](const auto& info) { return info.param; });

// Gives its second group only once the engine has asked for it a few times.
class LateStream : public GroupStream {
 public:
  explicit LateStream(std::vector<GroupLease> groups) : groups_(std::move(groups)) {}
  const GroupLease* Next(bool) override {
    ++asked_;
    if (given_ == groups_.size() || (given_ > 0 && asked_ < 10)) return nullptr;
    return &groups_[given_++];
  }
  void Done(const GroupLease& group, std::vector<Completion> completions) override {
    given_at_first_done_ = completions_.empty() ? given_ : given_at_first_done_;
    completions_[group.lease_id] = std::move(completions);
  }
  void Close() override { given_ = groups_.size(); }

  size_t given_at_first_done() const { return given_at_first_done_; }
  std::map<uint64_t, std::vector<Completion>>& completions() { return completions_; }

 private:
  const std::vector<GroupLease> groups_;
  size_t given_ = 0, given_at_first_done_ = 0;
  int asked_ = 0;
  std::map<uint64_t, std::vector<Completion>> completions_;
};

TEST_P(EngineStreamTest, AGroupMayJoinOthersThatAreUnderWay) {
  EngineConfig config = Settings(40, 8);
  config.deterministic = true;
  std::vector<GroupLease> leases = {Lease(90, {0.9, 1.0}, 3), Lease(140, {0.95, 0.6}, 4, 1)};
  for (size_t i = 0; i < leases.size(); ++i) leases[i].lease_id = i;
  auto engine = MakeSparseEngine(config, model, std::make_shared<VisualFeatures>());
  ASSERT_TRUE(engine.ok());
  LateStream groups(leases);
  const absl::Status status = (*engine)->GenerateStream(groups);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(groups.given_at_first_done(), 2u);
  for (size_t i = 0; i < leases.size(); ++i) {
    const auto alone = MustGenerate(config, model, leases[i]);
    ASSERT_EQ(groups.completions()[i].size(), alone.size());
    for (size_t s = 0; s < alone.size(); ++s) {
      EXPECT_EQ(groups.completions()[i][s].token_ids, alone[s].token_ids);
      EXPECT_EQ(groups.completions()[i][s].logprobs, alone[s].logprobs);
      EXPECT_EQ(groups.completions()[i][s].kept.events, alone[s].kept.events);
    }
  }
}

// Whoever generates it, the error ends the call and names the row.
TEST_P(EngineStreamTest, AGroupThatCannotBeGeneratedEndsTheCallOnEveryThread) {
  std::vector<GroupLease> leases;
  for (uint64_t seed = 0; seed < 8; ++seed) leases.push_back(Lease(90, {0.9}, seed));
  leases[5].samples[0].p = 0;
  leases[5].prompt.row = 41;
  EngineConfig config = Settings(20, 8);
  for (int threads : {1, 3}) {
    config.threads = threads;
    auto engine = MakeSparseEngine(config, model, std::make_shared<VisualFeatures>());
    const auto out = (*engine)->Generate(leases);
    EXPECT_TRUE(absl::IsInvalidArgument(out.status()));
    EXPECT_NE(out.status().message().find("row 42"), std::string::npos) << out.status();
  }
}

}  // namespace
}  // namespace ziprl
