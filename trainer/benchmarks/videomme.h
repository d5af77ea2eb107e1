// Video-MME (Fu et al. 2024, arXiv 2405.21075), without subtitles: multiple choice about videos,
// accuracy by length, domain, sub-category and task.
#pragma once

#include <memory>

#include "trainer/benchmarks/benchmark.h"

namespace ziprl {

std::unique_ptr<Benchmark> MakeVideoMme();

}  // namespace ziprl
