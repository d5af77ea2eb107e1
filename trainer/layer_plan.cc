#include "trainer/layer_plan.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr int32_t kNever = std::numeric_limits<int32_t>::max();

size_t PrefixRows(const LayerPlan& plan, int prefix) {
  return std::lower_bound(plan.rows.begin(), plan.rows.end(), prefix) - plan.rows.begin();
}

// When branches see the i-th row of their prefix: from its own row on, until one evicts it; again
// from the next branch on. `begins`: first row of each branch.
void JoinPrefixRow(const std::vector<LayerPlan>& plans, const std::vector<int32_t>& begins,
                   int prefix, size_t i, LayerPlan* out) {
  const int32_t row = plans[0].rows[i];
  int32_t from = row;
  const auto until = [&](int32_t end) {
    if (from == row) {
      out->end.push_back(end);
    } else {
      out->again.push_back({row, from, end});
    }
  };
  bool seen = true;
  for (size_t b = 0; b < plans.size(); ++b) {
    if (!seen) from = begins[b];
    const int32_t end = plans[b].end[i];
    seen = end == kNever;
    if (!seen) until(end - prefix + begins[b]);
  }
  if (seen) until(kNever);
}

}  // namespace

LayerPlanBuilder::LayerPlanBuilder(const Bitmap& keep, int num_rows)
    : prompt_length_(static_cast<int>(keep.size)), num_rows_(num_rows) {
  plan_.rows.reserve(num_rows);
  for (int r = 0; r < num_rows; ++r) {
    if (r >= prompt_length_ || keep.Test(r)) plan_.rows.push_back(r);
  }
  plan_.end.assign(plan_.rows.size(), kNever);
}

std::vector<int32_t> LayerPlanBuilder::CacheRows(int generated) const {
  const int passed = prompt_length_ + generated;
  std::vector<int32_t> rows;
  for (size_t i = 0; i < plan_.rows.size() && plan_.rows[i] < passed; ++i) {
    if (plan_.end[i] >= passed) rows.push_back(plan_.rows[i]);
  }
  return rows;
}

absl::Status LayerPlanBuilder::Evict(int generated, const Bitmap& keep) {
  const int passed = prompt_length_ + generated;
  uint32_t entry = 0;
  for (size_t i = 0; i < plan_.rows.size() && plan_.rows[i] < passed; ++i) {
    if (plan_.end[i] != kNever) continue;
    if (entry < keep.size && !keep.Test(entry)) plan_.end[i] = passed;
    ++entry;
  }
  if (entry != keep.size) {
    return absl::InvalidArgumentError(absl::StrCat("a re-compression after ", generated,
                                                   " generated tokens has a bitmap over ",
                                                   keep.size, " entries; the cache held ", entry));
  }
  return absl::OkStatus();
}

LayerPlan LayerPlanBuilder::Finish() && {
  plan_.all_rows = static_cast<int>(plan_.rows.size()) == num_rows_;
  return std::move(plan_);
}

LayerPlan DensePlan(int num_rows) { return LayerPlanBuilder(Bitmap(0), num_rows).Finish(); }

int NumRescores(int prompt_length, int num_rows, int rescore_interval) {
  return rescore_interval > 0 ? (num_rows - prompt_length) / rescore_interval : 0;
}

absl::StatusOr<LayerPlan> ReplayPlan(const KeptSets& kept, int layer, int prompt_length,
                                     int num_rows, int rescore_interval) {
  const int rescores = NumRescores(prompt_length, num_rows, rescore_interval);
  if (static_cast<int>(kept.events.size()) < 1 + rescores) {
    return absl::InvalidArgumentError(
        absl::StrCat("a completion with ", num_rows - prompt_length,
                     " input tokens and rescore_interval ", rescore_interval, " needs ",
                     1 + rescores, " recorded events; it has ", kept.events.size()));
  }
  for (int event = 0; event <= rescores; ++event) {
    if (layer >= static_cast<int>(kept.events[event].size())) {
      return absl::InvalidArgumentError(absl::StrCat("event ", event, " records ",
                                                     kept.events[event].size(), " layers; layer ",
                                                     layer, " is needed"));
    }
  }
  const Bitmap& prefill = kept.events[0][layer];
  if (static_cast<int>(prefill.size) != prompt_length) {
    return absl::InvalidArgumentError(absl::StrCat("layer ", layer, " records a kept set over ",
                                                   prefill.size, " tokens; the prompt has ",
                                                   prompt_length));
  }
  LayerPlanBuilder builder(prefill, num_rows);
  for (int event = 1; event <= rescores; ++event) {
    ZIPRL_RETURN_IF_ERROR(builder.Evict(event * rescore_interval, kept.events[event][layer]));
  }
  return std::move(builder).Finish();
}

absl::StatusOr<LayerPlan> JoinBranches(const std::vector<LayerPlan>& plans,
                                       const std::vector<int>& num_rows, int prefix) {
  const size_t shared = PrefixRows(plans[0], prefix);
  std::vector<int32_t> begins = {prefix};
  for (size_t b = 0; b < plans.size(); ++b) {
    if (PrefixRows(plans[b], prefix) != shared ||
        !std::equal(plans[b].rows.begin(), plans[b].rows.begin() + shared, plans[0].rows.begin())) {
      return absl::InvalidArgumentError(
          absl::StrCat("branch ", b, " keeps other rows of the first ", prefix, " than branch 0"));
    }
    begins.push_back(begins.back() + num_rows[b] - prefix);
  }
  LayerPlan out;
  out.rows.assign(plans[0].rows.begin(), plans[0].rows.begin() + shared);
  for (size_t i = 0; i < shared; ++i) JoinPrefixRow(plans, begins, prefix, i, &out);
  std::stable_sort(out.again.begin(), out.again.end(),
                   [](const auto& a, const auto& b) { return a.from < b.from; });
  for (size_t b = 0; b < plans.size(); ++b) {
    const int32_t shift = begins[b] - prefix;
    for (size_t i = shared; i < plans[b].rows.size(); ++i) {
      out.rows.push_back(plans[b].rows[i] + shift);
      out.end.push_back(plans[b].end[i] == kNever ? begins[b + 1] : plans[b].end[i] + shift);
    }
  }
  out.all_rows = static_cast<int32_t>(out.rows.size()) == begins.back();
  return out;
}

double Jaccard(const Bitmap& a, const Bitmap& b) {
  if (a.size != b.size) return 0.0;
  int64_t both = 0, either = 0;
  for (size_t w = 0; w < a.words.size(); ++w) {
    both += __builtin_popcountll(a.words[w] & b.words[w]);
    either += __builtin_popcountll(a.words[w] | b.words[w]);
  }
  return either == 0 ? 1.0 : static_cast<double>(both) / static_cast<double>(either);
}

}  // namespace ziprl
