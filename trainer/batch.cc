#include "trainer/batch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/model.h"
#include "model/mrope.h"
#include "trainer/advantage.h"

namespace ziprl {
namespace {

constexpr int kUnitsPerWorker = 2;  // so that uneven units even out

absl::Status CheckIds(const Architecture& arch, const std::vector<int32_t>& ids) {
  for (size_t t = 0; t < ids.size(); ++t) {
    if (ids[t] < 0 || ids[t] >= arch.vocab) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", t, " has id ", ids[t], "; 0 to ", arch.vocab - 1, " is allowed"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TrainSequence> MakeSequence(const Model& model, const Prompt& prompt,
                                           const Completion& completion) {
  const auto length = static_cast<int>(completion.token_ids.size());
  if (length == 0) return absl::InvalidArgumentError("the response is empty");
  if (completion.logprobs.size() != completion.token_ids.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the response has ", length, " tokens and ",
                                                   completion.logprobs.size(), " log-probs"));
  }
  if (completion.kept.Digest() != completion.digest) {
    return absl::DataLossError("the digest does not match the recorded kept sets");
  }
  TrainSequence out;
  out.prompt_length = static_cast<int>(prompt.token_ids.size());
  out.ids = prompt.token_ids;
  out.ids.insert(out.ids.end(), completion.token_ids.begin(), completion.token_ids.end() - 1);
  out.target_ids = completion.token_ids;
  for (int t = 0; t < length; ++t) out.target_rows.push_back(out.prompt_length - 1 + t);
  ZIPRL_RETURN_IF_ERROR(CheckIds(model.arch, out.ids));
  ZIPRL_RETURN_IF_ERROR(CheckIds(model.arch, out.target_ids));
  ZIPRL_ASSIGN_OR_RETURN(out.positions,
                         SequencePositions(model, prompt.token_ids, prompt.images, length - 1));
  out.images = prompt.images;
  return out;
}

// Runs of sequences that stay in one unit.
std::vector<std::vector<int>> Runs(const std::vector<TrainSequence>& sequences, int min_runs) {
  std::vector<std::vector<int>> runs;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const bool same = i > 0 && sequences[i].group == sequences[i - 1].group;
    if (!same) runs.emplace_back();
    runs.back().push_back(static_cast<int>(i));
  }
  if (static_cast<int>(runs.size()) >= min_runs) return runs;
  runs.clear();
  for (size_t i = 0; i < sequences.size(); ++i) runs.push_back({static_cast<int>(i)});
  return runs;
}

int64_t Rows(const std::vector<TrainSequence>& sequences, const std::vector<int>& indices) {
  int64_t rows = 0;
  for (int i : indices) rows += sequences[i].num_rows();
  return rows;
}

TrainUnit PackUnit(const std::vector<TrainSequence>& sequences, const std::vector<int>& indices,
                   const UnitLimits& limits) {
  TrainUnit unit;
  int64_t rows = 0;
  for (int i : indices) {
    const int64_t more = sequences[i].num_rows();
    if (unit.packs.empty() || limits.single || rows + more > limits.pack_tokens) {
      unit.packs.emplace_back();
      rows = 0;
    }
    unit.packs.back().push_back(i);
    rows += more;
  }
  return unit;
}

}  // namespace

absl::StatusOr<std::array<std::vector<int32_t>, 3>> SequencePositions(
    const Model& model, const std::vector<int32_t>& prompt_ids, const std::vector<MediaRef>& images,
    int generated) {
  std::vector<Grid> grids;
  for (const MediaRef& image : images) {
    ZIPRL_ASSIGN_OR_RETURN(const Grid grid, model.processor->GridOf(image));
    grids.push_back(grid);
  }
  ZIPRL_ASSIGN_OR_RETURN(RopePositions positions, MropePositions(model.arch, prompt_ids, grids));
  for (std::vector<int32_t>& axis : positions.axes) {
    for (int t = 0; t < generated; ++t) axis.push_back(positions.next + t);
  }
  return positions.axes;
}

absl::StatusOr<std::vector<TrainSequence>> SequencesOf(const Model& model,
                                                       const std::vector<ScoredGroup>& groups,
                                                       const StepAdvantages& advantages) {
  std::vector<TrainSequence> sequences;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t i = 0; i < groups[g].completions.size(); ++i) {
      if (!advantages.groups[g][i].used) continue;
      absl::StatusOr<TrainSequence> sequence =
          MakeSequence(model, groups[g].prompt, groups[g].completions[i]);
      if (!sequence.ok()) {
        return absl::Status(sequence.status().code(),
                            absl::StrCat("row ", groups[g].prompt.row + 1, ", sample ", i, ": ",
                                         sequence.status().message()));
      }
      sequence->group = static_cast<int>(g);
      sequence->sample = static_cast<int>(i);
      sequences.push_back(*std::move(sequence));
    }
  }
  return sequences;
}

std::vector<TrainUnit> MakeUnits(const std::vector<TrainSequence>& sequences,
                                 const UnitLimits& limits) {
  const int wanted = limits.workers * kUnitsPerWorker;
  int64_t total = 0;
  for (const TrainSequence& s : sequences) total += s.num_rows();
  const int64_t unit_rows =
      std::min<int64_t>((total + wanted - 1) / wanted, std::max(limits.pack_tokens, 1));
  std::vector<TrainUnit> units;
  std::vector<int> current;
  for (const std::vector<int>& run : Runs(sequences, wanted)) {
    if (!current.empty() && Rows(sequences, current) + Rows(sequences, run) / 2 > unit_rows) {
      units.push_back(PackUnit(sequences, current, limits));
      current.clear();
    }
    current.insert(current.end(), run.begin(), run.end());
  }
  if (!current.empty()) units.push_back(PackUnit(sequences, current, limits));
  return units;
}

std::vector<std::vector<TrainUnit>> ShareUnits(const std::vector<TrainUnit>& units, int ranks) {
  std::vector<std::vector<TrainUnit>> shares(ranks);
  for (size_t u = 0; u < units.size(); ++u) shares[u % shares.size()].push_back(units[u]);
  return shares;
}

std::vector<int> RoundsOf(const std::vector<std::vector<TrainUnit>>& shares) {
  std::vector<int> rounds;
  for (const std::vector<TrainUnit>& units : shares) {
    rounds.resize(std::max(rounds.size(), units.size()));
    for (size_t u = 0; u < units.size(); ++u) {
      rounds[u] = std::max(rounds[u], static_cast<int>(units[u].packs.size()));
    }
  }
  return rounds;
}

std::vector<int> SequencesOfUnits(const std::vector<TrainUnit>& units) {
  std::vector<int> sequences;
  for (const TrainUnit& unit : units) {
    for (const std::vector<int>& pack : unit.packs) {
      sequences.insert(sequences.end(), pack.begin(), pack.end());
    }
  }
  return sequences;
}

}  // namespace ziprl
