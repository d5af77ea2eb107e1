// MMMU-Pro (Yue et al. 2024, arXiv 2409.02813): the standard setting with 4 or 10 options, whose
// questions may hold several images, and the vision setting, where the image shows the question.
#pragma once

#include <memory>

#include "trainer/benchmarks/benchmark.h"

namespace ziprl {

std::unique_ptr<Benchmark> MakeMmmuPro();

}  // namespace ziprl
