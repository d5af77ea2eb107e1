// The order of an epoch over files of which some give their rows in units only (row groups of
// Parquet). Where all units fit into the window it is EpochOrder's, whatever the files are.
// Otherwise the units are shuffled, cut into windows, and the rows shuffled within each window, so
// that the units of a window (or two, at its end) are all that must be held. A function of its
// arguments, computed place by place. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "trainer/data/epoch_order.h"
#include "trainer/data/row_file.h"

namespace ziprl {

class RowOrder {
 public:
  // A window closes before its units would hold more than `window_bytes`; it has one unit at least.
  RowOrder(const std::vector<RowFile::Unit>& units, int64_t window_bytes, int64_t seed,
           int64_t epoch);

  // Row at `place`, 0 <= place < rows. Distinct places give distinct rows.
  int64_t RowAt(int64_t place) const;

 private:
  struct Run {  // a unit in its shuffled place
    int64_t place = 0, row = 0;
  };
  struct Window {
    int64_t place = 0;
    EpochOrder order;
  };
  void CutWindows(const std::vector<RowFile::Unit>& units, int64_t window_bytes, int64_t seed,
                  int64_t epoch);

  EpochOrder whole_;
  std::vector<Run> runs_;        // by place; empty where whole_ is the order
  std::vector<Window> windows_;  // by place
};

}  // namespace ziprl
