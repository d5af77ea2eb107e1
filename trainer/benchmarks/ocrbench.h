// OCRBench (Liu et al. 2023, arXiv 2305.07895): 1000 questions of ten types; right when an answer
// occurs in the response, of handwritten formulas (HME100k) with blanks left out and case kept.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "trainer/benchmarks/benchmark.h"

namespace ziprl {

std::unique_ptr<Benchmark> MakeOcrBench();

bool OcrContains(const std::string& response, const std::vector<std::string>& answers,
                 bool formula);

}  // namespace ziprl
