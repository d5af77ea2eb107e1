// How the sequences of a step are divided into units and packs, and those over ranks. Depends on
// lengths and limits alone, so that a plan knows it before the run. No torch.
#pragma once

#include <vector>

namespace ziprl {

struct SequenceSize {
  int group = 0;  // consecutive ones of one group share their images
  int rows = 0;
};

// A sample as a sequence of its own.
struct SampleSize {
  int group = 0;
  int prompt = 0;  // the group's samples with the same number have the same prompt rows
  int prefix = 0;  // of these, rows that they can share
  int rows = 0;
};

// What one worker does at a time: the packs of a few sequences that share images.
struct TrainUnit {
  std::vector<std::vector<int>>
      packs;  // indices of sequences; each pack is one forward and backward
};

struct UnitLimits {
  int workers = 1;
  int pack_tokens = 16384;  // rows of a pack, unless one sequence alone is longer
  bool single = false;      // one sequence a pack (deterministic mode)
};

// Samples that go through the learner as branches behind one prefix, ordered by the first of each.
// Those that can share do, unless the rows would exceed a pack or workers would have nothing to do.
std::vector<std::vector<int>> ShareBundles(const std::vector<SampleSize>& samples,
                                           const UnitLimits& limits);

// Rows of samples behind one prefix.
int BundleRows(const std::vector<SampleSize>& samples, const std::vector<int>& bundle);

// Splits sequences (consecutive ones of one group stay together where there are groups enough for
// all workers) into units of about equal rows.
std::vector<TrainUnit> MakeUnits(const std::vector<SequenceSize>& sequences,
                                 const UnitLimits& limits);

// The units of each rank: dealt out in order, so that what a group shares stays together.
std::vector<std::vector<TrainUnit>> ShareUnits(const std::vector<TrainUnit>& units, int ranks);

// Packs of each round's units, on the rank with the most of them (UnitRunner::set_rounds).
std::vector<int> RoundsOf(const std::vector<std::vector<TrainUnit>>& shares);

// Indices of the units' sequences, in the order of their packs.
std::vector<int> SequencesOfUnits(const std::vector<TrainUnit>& units);

}  // namespace ziprl
