// pass@k from n >= k samples of a question (Chen et al. 2021, arXiv 2107.03374). Pure.
#pragma once

#include <vector>

namespace ziprl {

// The expected best score among k samples drawn without replacement: the mean over all subsets of
// size k of the subset's largest score. Of scores that are 0 or 1, c of them 1, that is the
// unbiased 1 - C(n - c, k) / C(n, k). 1 <= k <= scores.size().
double PassAtK(std::vector<double> scores, int k);

// The k that are reported for n samples: powers of two up to n, and n.
std::vector<int> PassLevels(int n);

}  // namespace ziprl
