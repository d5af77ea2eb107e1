// ChartQA (Masry et al. 2022, arXiv 2203.10244): relaxed accuracy, numbers within 5 % of the
// answer.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "trainer/benchmarks/benchmark.h"

namespace ziprl {

std::unique_ptr<Benchmark> MakeChartQa();

// Whether a prediction is right: as numbers (of which a last % is a hundredth) within 5 % of an
// answer that is a number other than 0; else as texts of equal lower case.
bool RelaxedMatch(absl::string_view prediction, absl::string_view answer);

}  // namespace ziprl
