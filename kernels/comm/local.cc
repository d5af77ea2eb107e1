#include "kernels/comm/local.h"

#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/comm/local_hub.h"
#include "kernels/comm/op_board.h"
#include "kernels/comm/pairwise.h"

namespace ziprl::comm {
namespace {

// What each rank of a group does, for the error texts of the others.
class GroupBoard {
 public:
  explicit GroupBoard(int ranks) : boards_(ranks) {
    for (int r = 0; r < ranks; ++r) monitors_.push_back(std::make_unique<Monitor>(this, r));
  }

  OpMonitor* monitor(int rank) { return monitors_[rank].get(); }

 private:
  class Monitor : public OpMonitor {
   public:
    Monitor(GroupBoard* group, int rank) : group_(group), rank_(rank) {}
    void Begin(const Operation& operation) override { group_->boards_[rank_].Begin(operation); }
    void End(const Operation& operation, const absl::Status& status) override {
      group_->boards_[rank_].End(operation, status);
    }
    std::string Describe(int world_rank) const override {
      return absl::StrCat("rank ", world_rank, ": ",
                          group_->boards_[world_rank].Snapshot().ToString());
    }

   private:
    GroupBoard* const group_;
    const int rank_;
  };

  std::vector<OpBoard> boards_;
  std::vector<std::unique_ptr<Monitor>> monitors_;
};

class LocalCommunicator : public PairwiseCommunicator {
 public:
  LocalCommunicator(Membership membership, const Config& config, std::shared_ptr<LocalHub> hub,
                    std::shared_ptr<GroupBoard> board)
      : PairwiseCommunicator(Backend::kLocal, membership, config,
                             hub->MakeTransport(membership.rank)),
        hub_(std::move(hub)),
        board_(std::move(board)) {}
  ~LocalCommunicator() override { StopProgress(); }

  static std::vector<std::unique_ptr<Communicator>> MakeGroup(int ranks, const Config& config) {
    auto hub = std::make_shared<LocalHub>();
    std::shared_ptr<GroupBoard> board;
    if (config.monitor == nullptr) board = std::make_shared<GroupBoard>(ranks);
    std::vector<std::unique_ptr<Communicator>> group;
    for (int r = 0; r < ranks; ++r) {
      Membership membership{r, std::vector<int>(ranks)};
      std::iota(membership.world_ranks.begin(), membership.world_ranks.end(), 0);
      Config own = config;
      if (board != nullptr) own.monitor = board->monitor(r);
      group.push_back(std::make_unique<LocalCommunicator>(std::move(membership), own, hub, board));
    }
    return group;
  }

 protected:
  absl::StatusOr<std::unique_ptr<Communicator>> DoSplit(const Operation& op, int color,
                                                        Membership membership,
                                                        const std::vector<int>& members,
                                                        Config config) override {
    if (members.empty()) return nullptr;
    auto hub = hub_->Child(op.sequence, color, static_cast<int>(members.size()));
    return std::make_unique<LocalCommunicator>(std::move(membership), config, std::move(hub),
                                               board_);
  }

 private:
  // The transport of the base points into the hub and lives a moment longer than this member, but
  // does nothing in that moment.
  const std::shared_ptr<LocalHub> hub_;
  const std::shared_ptr<GroupBoard> board_;  // outlives its monitors' users; nullptr: not ours
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> MakeLocalGroup(int ranks,
                                                          const Communicator::Config& config) {
  return LocalCommunicator::MakeGroup(ranks, config);
}

std::unique_ptr<Communicator> MakeSelfCommunicator(const Communicator::Config& config) {
  return std::move(LocalCommunicator::MakeGroup(1, config)[0]);
}

}  // namespace ziprl::comm
