// Who attends to whom in one decoder layer of one teacher-forced sequence: the prompt rows the
// layer kept, every generated row, and the row from which an evicted entry is no longer seen.
// SPARSE_GRPO sections 1.7 and 2 (Consistency). Pure, no torch.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/types.h"

namespace ziprl {

struct LayerPlan {
  // Rows of the sequence that attend and are attended to, ascending; row r of the prompt is token
  // r, generated token t (1-based, as input) is row prompt_length + t - 1.
  std::vector<int32_t> rows;
  std::vector<int32_t>
      end;                // first row that does not see rows[i]; INT32_MAX if every later one does
  bool all_rows = false;  // rows is 0, 1, ..., num_rows - 1

  // A key that rows before `from` no longer saw, seen again by rows [from, end).
  struct Again {
    int32_t row, from, end;
  };
  std::vector<Again> again;  // ascending by from, then row
};

// Builds a plan event by event, as the engine's cache went.
class LayerPlanBuilder {
 public:
  // Event 0: `keep` over the prompt's tokens; then rows [keep.size, num_rows) are generated.
  LayerPlanBuilder(const Bitmap& keep, int num_rows);

  // Entries of the cache when `generated` generated tokens have passed, before a re-compression
  // then; as row numbers, ascending.
  std::vector<int32_t> CacheRows(int generated) const;

  // A re-compression after `generated` tokens: entries of CacheRows(generated) whose bit is not set
  // are evicted. InvalidArgument when the bitmap's size is not the cache's.
  absl::Status Evict(int generated, const Bitmap& keep);

  LayerPlan Finish() &&;

 private:
  int prompt_length_;
  int num_rows_;
  LayerPlan plan_;
};

// Every row sees all before it.
LayerPlan DensePlan(int num_rows);

// How many re-compressions a sequence of `num_rows` input rows went through.
int NumRescores(int prompt_length, int num_rows, int rescore_interval);

// The plan the engine's bitmaps say. Events that only later rows would see may be present or not.
// InvalidArgument names event, layer and sizes that do not fit.
absl::StatusOr<LayerPlan> ReplayPlan(const KeptSets& kept, int layer, int prompt_length,
                                     int num_rows, int rescore_interval);

// Plans of sequences that share their first `prefix` rows, as one plan of branches behind these
// (shared_prefix.h): a branch sees the prefix as long as its own plan says. InvalidArgument: the
// plans do not agree on the prefix's rows.
absl::StatusOr<LayerPlan> JoinBranches(const std::vector<LayerPlan>& plans,
                                       const std::vector<int>& num_rows, int prefix);

// |A and B| / |A or B|; 1 for two empty sets, 0 for sets over different sizes.
double Jaccard(const Bitmap& a, const Bitmap& b);

}  // namespace ziprl
