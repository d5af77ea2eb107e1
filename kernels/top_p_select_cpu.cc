#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/probe_mass.h"

namespace ziprl::kernels::cpu {
namespace {

// Indices by value descending, ties by lower index.
template <typename T>
std::vector<int> RankDescending(const T* value, int n) {
  std::vector<int> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [value](int i, int j) { return value[i] != value[j] ? value[i] > value[j] : i < j; });
  return order;
}

// The smallest count whose largest masses reach ceil(p * total); at least 1, all of them when p
// = 1.
int Budget(const TopPParams& params, const std::vector<int>& by_mass) {
  if (params.p >= 1.0) return params.num_keys;
  const int64_t total = std::accumulate(params.mass, params.mass + params.num_keys, int64_t{0});
  const double target = std::ceil(params.p * static_cast<double>(total));
  int64_t reached = 0;
  for (int count = 1; count < params.num_keys; ++count) {
    reached += params.mass[by_mass[count - 1]];
    if (static_cast<double>(reached) >= target) return count;
  }
  return params.num_keys;
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
  const std::vector<int> by_mass = RankDescending(params.mass, n);
  const std::vector<int> by_score = RankDescending(s.data(), n);
  const int budget = Budget(params, by_mass);

  int kept = 0;
  for (int j = 0; j < n; ++j) {
    keep[j] = params.forced != nullptr && params.forced[j] != 0;
    kept += keep[j];
  }
  for (int rank = 0; rank < n && kept < budget; ++rank) {
    if (keep[by_score[rank]] != 0) continue;
    keep[by_score[rank]] = 1;
    ++kept;
  }
  int64_t kept_mass = 0;
  for (int j = 0; j < n; ++j) kept_mass += keep[j] != 0 ? params.mass[j] : 0;
  *result = {budget, kept, by_mass[budget - 1], by_score[budget - 1],
             static_cast<double>(kept_mass) / one};
}

}  // namespace ziprl::kernels::cpu
