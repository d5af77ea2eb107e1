// MME (Fu et al. 2023, arXiv 2306.13394): two yes/no questions an image, 14 subtasks. A subtask's
// score is accuracy (of questions) plus accuracy+ (of images with both right), in percent;
// perception and cognition are sums over theirs.
#pragma once

#include <memory>

#include "trainer/benchmarks/benchmark.h"

namespace ziprl {

std::unique_ptr<Benchmark> MakeMme();

// "Yes" or "No" where the response holds just one of the two words, else "".
std::string YesOrNo(const std::string& response);

}  // namespace ziprl
