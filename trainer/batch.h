// Types -> tensors, the one crossing: scored groups become teacher-forced sequences, sequences
// become units of work (train_units.h). No torch in this header.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/types.h"
#include "trainer/train_units.h"

namespace ziprl {

struct Model;
struct StepAdvantages;

// One teacher-forced sequence. Row r is token r; the last token is predicted but never an input.
struct TrainSequence {
  int group = 0, sample = 0;                      // where it comes from
  std::vector<int32_t> ids;                       // input rows [N]
  int prompt_length = 0;                          // n; rows from n on are generated tokens
  std::array<std::vector<int32_t>, 3> positions;  // rotary positions, [N] each
  std::vector<int32_t> target_rows;               // rows whose next token counts, ascending [T]
  std::vector<int32_t> target_ids;                // those tokens [T]
  // First row that does not see row r [N]; empty = every later row does. Branches that share a
  // prefix end where the next one begins.
  std::vector<int32_t> row_ends;
  std::vector<int32_t> branches;  // first row of each branch (shared_prefix.h); none: one sequence
  std::vector<MediaRef> media;    // images and videos in order of appearance
  int num_rows() const { return static_cast<int>(ids.size()); }
};

// The used samples of a step in order, group by group. InvalidArgument names the row and what is
// wrong with the sample (empty response, ids out of range, placeholders that do not fit the
// images).
absl::StatusOr<std::vector<TrainSequence>> SequencesOf(const Model& model,
                                                       const std::vector<ScoredGroup>& groups,
                                                       const StepAdvantages& advantages);

// Rotary positions of a prompt that is followed by `generated` text tokens.
absl::StatusOr<std::array<std::vector<int32_t>, 3>> SequencePositions(
    const Model& model, const std::vector<int32_t>& prompt_ids, const std::vector<MediaRef>& media,
    int generated);

// Units of these sequences; see train_units.h.
std::vector<TrainUnit> MakeUnits(const std::vector<TrainSequence>& sequences,
                                 const UnitLimits& limits);

}  // namespace ziprl
