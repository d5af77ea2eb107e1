#include "trainer/batch.h"

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/model.h"
#include "model/mrope.h"
#include "trainer/advantage.h"

namespace ziprl {
namespace {

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
                         SequencePositions(model, prompt.token_ids, prompt.media, length - 1));
  out.media = prompt.media;
  return out;
}

}  // namespace

absl::StatusOr<std::array<std::vector<int32_t>, 3>> SequencePositions(
    const Model& model, const std::vector<int32_t>& prompt_ids, const std::vector<MediaRef>& media,
    int generated) {
  std::vector<Grid> grids;
  for (const MediaRef& medium : media) {
    ZIPRL_ASSIGN_OR_RETURN(const Grid grid, model.processor->GridOf(medium));
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
  std::vector<SequenceSize> sizes;
  for (const TrainSequence& s : sequences) sizes.push_back({s.group, s.num_rows()});
  return MakeUnits(sizes, limits);
}

}  // namespace ziprl
