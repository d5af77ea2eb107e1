// MMBench (Liu et al. 2023, arXiv 2307.06281): a question of N options is asked N times, the
// options rotated; it is right when every answer is (circular evaluation). Index i + k * 1,000,000
// is the k-th rotation of question i.
#pragma once

#include <memory>

#include "trainer/benchmarks/benchmark.h"

namespace ziprl {

std::unique_ptr<Benchmark> MakeMmBench();

}  // namespace ziprl
