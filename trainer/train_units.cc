#include "trainer/train_units.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

namespace ziprl {
namespace {

// Of several workers each gets two units, so that uneven ones even out.
int WantedUnits(int workers) { return workers == 1 ? 1 : 2 * workers; }

// Runs of sequences that stay in one unit.
std::vector<std::vector<int>> Runs(const std::vector<SequenceSize>& sequences, int min_runs) {
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

int64_t Rows(const std::vector<SequenceSize>& sequences, const std::vector<int>& indices) {
  int64_t rows = 0;
  for (int i : indices) rows += sequences[i].rows;
  return rows;
}

TrainUnit PackUnit(const std::vector<SequenceSize>& sequences, const std::vector<int>& indices,
                   const UnitLimits& limits) {
  TrainUnit unit;
  int64_t rows = 0;
  for (int i : indices) {
    const int64_t more = sequences[i].rows;
    if (unit.packs.empty() || limits.single || rows + more > limits.pack_tokens) {
      unit.packs.emplace_back();
      rows = 0;
    }
    unit.packs.back().push_back(i);
    rows += more;
  }
  return unit;
}

// Samples whose prompts are the same rows, in order of the first of each.
std::vector<std::vector<int>> SamePrompts(const std::vector<SampleSize>& samples) {
  std::map<std::pair<int, int>, size_t> place;
  std::vector<std::vector<int>> same;
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto [it, added] = place.try_emplace({samples[i].group, samples[i].prompt}, same.size());
    if (added) same.emplace_back();
    same[it->second].push_back(static_cast<int>(i));
  }
  return same;
}

}  // namespace

std::vector<std::vector<int>> ShareBundles(const std::vector<SampleSize>& samples,
                                           const UnitLimits& limits) {
  if (samples.empty()) return {};
  std::vector<std::vector<int>> bundles;
  const std::vector<std::vector<int>> same = SamePrompts(samples);
  const size_t pieces = (limits.workers + same.size() - 1) / same.size();
  for (const std::vector<int>& members : same) {
    const size_t most = (members.size() + pieces - 1) / pieces;
    int64_t rows = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      const SampleSize& sample = samples[members[i]];
      const int64_t more = sample.rows - sample.prefix;
      if (i == 0 || bundles.back().size() == most || rows + more > limits.pack_tokens) {
        bundles.emplace_back();
        rows = sample.prefix;
      }
      bundles.back().push_back(members[i]);
      rows += more;
    }
  }
  return bundles;
}

int BundleRows(const std::vector<SampleSize>& samples, const std::vector<int>& bundle) {
  int rows = 0;
  for (int i : bundle) rows += samples[i].rows - samples[i].prefix;
  return rows + samples[bundle.front()].prefix;
}

std::vector<TrainUnit> MakeUnits(const std::vector<SequenceSize>& sequences,
                                 const UnitLimits& limits) {
  const int wanted = WantedUnits(limits.workers);
  int64_t total = 0;
  for (const SequenceSize& s : sequences) total += s.rows;
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
