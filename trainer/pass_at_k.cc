#include "trainer/pass_at_k.h"

#include <algorithm>

namespace ziprl {

double PassAtK(std::vector<double> scores, int k) {
  std::sort(scores.begin(), scores.end(), std::greater<>());
  const int n = static_cast<int>(scores.size());
  // The i-th best is the best of a subset with the chance that those before it are not drawn and it
  // is: C(n - 1 - i, k - 1) / C(n, k).
  double chance = static_cast<double>(k) / n, sum = 0;
  for (int i = 0; i <= n - k; ++i) {
    sum += chance * scores[static_cast<size_t>(i)];
    chance *= static_cast<double>(n - k - i) / std::max(1, n - 1 - i);
  }
  return sum;
}

std::vector<int> PassLevels(int n) {
  std::vector<int> levels;
  for (int k = 1; k < n; k *= 2) levels.push_back(k);
  levels.push_back(n);
  return levels;
}

}  // namespace ziprl
