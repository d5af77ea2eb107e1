// Who plays which role, and what a job of another size is told.
#include "launch/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace ziprl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// "learner-0" and so on, by rank.
std::vector<std::string> Roles(const ClusterConfig& cluster, int ranks) {
  std::vector<std::string> out;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto role = AssignRole(cluster, rank, ranks);
    out.push_back(role.ok() ? absl::StrCat(RoleName(role->role), "-", role->index)
                            : role.status().ToString());
  }
  return out;
}

ClusterConfig Cluster(const std::string& placement, int learner, int rollout, int reward,
                      int coordinator) {
  ClusterConfig cluster;
  cluster.placement = placement;
  cluster.learner = learner;
  cluster.rollout = rollout;
  cluster.reward = reward;
  cluster.coordinator = coordinator;
  return cluster;
}

TEST(ClusterTest, RanksAreInTheOrderOfTheRoles) {
  EXPECT_THAT(Roles(Cluster("separate", 1, 2, 0, 0), 3),
              ElementsAre("learner-0", "rollout-0", "rollout-1"));
  EXPECT_THAT(Roles(Cluster("separate", 2, 1, 1, 1), 5),
              ElementsAre("learner-0", "learner-1", "rollout-0", "reward-0", "coordinator-0"));
}

TEST(ClusterTest, ColocatedHasNoRolloutRanksWhateverTheirNumber) {
  for (int rollout : {1, 2}) {
    EXPECT_THAT(Roles(Cluster("colocated", 2, rollout, 0, 0), 2),
                ElementsAre("learner-0", "learner-1"));
    EXPECT_THAT(Roles(Cluster("colocated", 2, rollout, 1, 1), 4),
                ElementsAre("learner-0", "learner-1", "reward-0", "coordinator-0"));
  }
}

TEST(ClusterTest, AJobOfAnotherSizeIsShownTheTable) {
  const absl::Status status = AssignRole(Cluster("separate", 1, 4, 0, 0), 0, 3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr("the job has 3 ranks, the config's roles need 5"));
  EXPECT_THAT(text, HasSubstr("1 to 4"));
}

TEST(ClusterTest, TheTableSaysThatColocatedLearnersGenerate) {
  const absl::Status status = AssignRole(Cluster("colocated", 2, 1, 0, 0), 0, 3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr("the job has 3 ranks, the config's roles need 2"));
  EXPECT_THAT(text, HasSubstr("every learner (cluster.placement = colocated)"));
  EXPECT_THAT(RoleTable(Cluster("separate", 2, 1, 0, 0)), Not(HasSubstr("colocated")));
}

}  // namespace
}  // namespace ziprl
