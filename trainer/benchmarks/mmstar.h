// MMStar (Chen et al. 2024, arXiv 2403.20330): multiple choice, accuracy by category and
// l2_category.
#pragma once

#include <memory>

#include "trainer/benchmarks/benchmark.h"

namespace ziprl {

std::unique_ptr<Benchmark> MakeMmStar();

}  // namespace ziprl
