#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/probe_mass.h"
#include "kernels/rank_cut.h"

namespace ziprl::kernels::cpu {
namespace {

std::vector<int32_t> Indices(int n) {
  std::vector<int32_t> indices(n);
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

// The smallest count whose largest masses reach ceil(p * total), and the index of the last of them.
struct Budget {
  int count, last;
};

// At least 1, all when p = 1.
Budget FindBudget(const TopPParams& params) {
  const int n = params.num_keys;
  const Before<int64_t> before{params.mass};
  std::vector<int32_t> by_mass = Indices(n);
  if (params.p >= 1.0) return {n, *std::max_element(by_mass.begin(), by_mass.end(), before)};
  const int64_t total = std::accumulate(params.mass, params.mass + n, int64_t{0});
  const double target = std::ceil(params.p * static_cast<double>(total));
  const int32_t rank = RankReaching(
      before, target, [&](int32_t j) { return params.mass[j]; }, n, by_mass.data());
  return {rank + 1, by_mass[rank]};
}

// Keeps, besides what is kept, the `count` best unkept keys.
void KeepBest(const Before<double>& before, int n, int count, uint8_t* keep) {
  std::vector<int32_t> unkept;
  for (int j = 0; j < n; ++j) {
    if (keep[j] == 0) unkept.push_back(j);
  }
  count = std::clamp(count, 0, static_cast<int>(unkept.size()));
  if (count < static_cast<int>(unkept.size())) {
    std::nth_element(unkept.begin(), unkept.begin() + count, unkept.end(), before);
  }
  for (int i = 0; i < count; ++i) keep[unkept[i]] = 1;
}

// The key of which `rank` others stand before it.
int AtRank(const Before<double>& before, int n, int rank) {
  std::vector<int32_t> indices = Indices(n);
  std::nth_element(indices.begin(), indices.begin() + rank, indices.end(), before);
  return indices[rank];
}

}  // namespace

void TopPSelect(const TopPParams& params, uint8_t* keep, float* score, TopPResult* result) {
  const int n = params.num_keys;
  const double one = params.num_heads * kMassOne;
  std::vector<double> s(n);
  for (int j = 0; j < n; ++j) {
    s[j] = params.seen[j] > 0 ? static_cast<double>(params.mass[j]) / one / params.seen[j] : 0.0;
    if (score != nullptr) score[j] = static_cast<float>(s[j]);
  }
  const Budget budget = FindBudget(params);
  const Before<double> before{s.data()};

  int kept = 0;
  for (int j = 0; j < n; ++j) {
    keep[j] = params.forced != nullptr && params.forced[j] != 0;
    kept += keep[j];
  }
  KeepBest(before, n, budget.count - kept, keep);
  int64_t kept_mass = 0;
  kept = 0;
  for (int j = 0; j < n; ++j) {
    if (keep[j] == 0) continue;
    ++kept;
    kept_mass += params.mass[j];
  }
  *result = {budget.count, kept, budget.last, AtRank(before, n, budget.count - 1),
             static_cast<double>(kept_mass) / one};
}

}  // namespace ziprl::kernels::cpu
