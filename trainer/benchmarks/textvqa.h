// TextVQA (Singh et al. 2019, arXiv 1904.08920): VQA soft accuracy against ten annotators' answers.
#pragma once

#include <memory>

#include "trainer/benchmarks/benchmark.h"

namespace ziprl {

std::unique_ptr<Benchmark> MakeTextVqa();

}  // namespace ziprl
