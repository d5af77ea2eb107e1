// The operations on strings, and Split, from the ones on memory.
#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/communicator.h"

namespace ziprl::comm {
namespace {

// all: the strings of the given lengths, one after the other.
std::vector<std::string> Cut(const std::string& all, const std::vector<int64_t>& lengths) {
  std::vector<std::string> parts;
  int64_t begin = 0;
  for (int64_t length : lengths) {
    parts.push_back(all.substr(begin, length));
    begin += length;
  }
  return parts;
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> Communicator::GatherLengths(const OpLabel& label,
                                                                 int64_t mine) {
  std::vector<int64_t> lengths(size());
  const std::vector<int64_t> each(size(), sizeof(int64_t));
  ZIPRL_RETURN_IF_ERROR(
      Run("AllGatherLengths", label, 8 * size(), [&](const Operation& op) -> absl::Status {
        if (size() > 1) return DoAllGatherHost(op, &mine, lengths.data(), each);
        lengths[0] = mine;
        return absl::OkStatus();
      }));
  return lengths;
}

absl::StatusOr<std::vector<std::string>> Communicator::AllGatherBytes(const OpLabel& label,
                                                                      std::string_view mine) {
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<int64_t> lengths, GatherLengths(label, mine.size()));
  std::string all(std::accumulate(lengths.begin(), lengths.end(), int64_t{0}), '\0');
  ZIPRL_RETURN_IF_ERROR(
      Run("AllGatherBytes", label, all.size(), [&](const Operation& op) -> absl::Status {
        if (size() > 1) return DoAllGatherHost(op, mine.data(), all.data(), lengths);
        all = std::string(mine);
        return absl::OkStatus();
      }));
  return Cut(all, lengths);
}

absl::StatusOr<std::vector<std::string>> Communicator::GatherBytes(const OpLabel& label,
                                                                   std::string_view mine,
                                                                   int root) {
  ZIPRL_RETURN_IF_ERROR(CheckRoot("GatherBytes", label, root, mine.size()));
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<int64_t> lengths, GatherLengths(label, mine.size()));
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  std::string all(rank() == root ? total : 0, '\0');
  ZIPRL_RETURN_IF_ERROR(Run("GatherBytes", label, total, [&](const Operation& op) -> absl::Status {
    if (size() > 1) return DoGatherHost(op, mine.data(), all.data(), lengths, root);
    all = std::string(mine);
    return absl::OkStatus();
  }));
  if (rank() != root) return std::vector<std::string>();
  return Cut(all, lengths);
}

absl::Status Communicator::BroadcastBytes(const OpLabel& label, std::string* bytes, int root) {
  ZIPRL_RETURN_IF_ERROR(CheckRoot("BroadcastBytes", label, root, bytes->size()));
  int64_t length = bytes->size();
  ZIPRL_RETURN_IF_ERROR(
      Run("BroadcastLength", label, sizeof(length), [&](const Operation& op) -> absl::Status {
        return size() == 1 ? absl::OkStatus() : DoBroadcastHost(op, &length, sizeof(length), root);
      }));
  if (rank() != root) bytes->resize(length);
  return Run("BroadcastBytes", label, length, [&](const Operation& op) -> absl::Status {
    if (size() == 1 || length == 0) return absl::OkStatus();
    return DoBroadcastHost(op, bytes->data(), length, root);
  });
}

absl::StatusOr<std::unique_ptr<Communicator>> Communicator::Split(const OpLabel& label, int color,
                                                                  int key,
                                                                  const std::string& name) {
  const int mine[2] = {color, key};
  std::vector<int> all(2 * size());
  const std::vector<int64_t> each(size(), sizeof(mine));
  std::unique_ptr<Communicator> made;
  ZIPRL_RETURN_IF_ERROR(
      Run("Split", label, sizeof(mine) * size(), [&](const Operation& op) -> absl::Status {
        if (size() == 1) std::copy(mine, mine + 2, all.begin());
        if (size() > 1) ZIPRL_RETURN_IF_ERROR(DoAllGatherHost(op, mine, all.data(), each));
        std::vector<std::pair<int, int>> order;  // (key, rank) of the members
        for (int r = 0; r < size(); ++r) {
          if (color >= 0 && all[2 * r] == color) order.emplace_back(all[2 * r + 1], r);
        }
        std::sort(order.begin(), order.end());
        std::vector<int> members;
        Membership membership;
        for (const auto& [_, r] : order) {
          if (r == rank()) membership.rank = static_cast<int>(members.size());
          members.push_back(r);
          membership.world_ranks.push_back(world_rank(r));
        }
        Config config = config_;
        config.name = name;
        ZIPRL_ASSIGN_OR_RETURN(made, DoSplit(op, color, std::move(membership), members, config));
        return absl::OkStatus();
      }));
  return made;
}

}  // namespace ziprl::comm
