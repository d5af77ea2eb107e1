#include "trainer/benchmarks/registry.h"

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "trainer/benchmarks/chartqa.h"
#include "trainer/benchmarks/mmbench.h"
#include "trainer/benchmarks/mme.h"
#include "trainer/benchmarks/mmmu_pro.h"
#include "trainer/benchmarks/mmstar.h"
#include "trainer/benchmarks/ocrbench.h"
#include "trainer/benchmarks/textvqa.h"
#include "trainer/benchmarks/videomme.h"

namespace ziprl {

const std::vector<const Benchmark*>& Benchmarks() {
  static const auto& all = *new std::vector<const Benchmark*>{
      MakeMme().release(),     MakeMmBench().release(), MakeMmStar().release(),
      MakeChartQa().release(), MakeTextVqa().release(), MakeOcrBench().release(),
      MakeMmmuPro().release(), MakeVideoMme().release()};
  return all;
}

absl::StatusOr<const Benchmark*> FindBenchmark(const std::string& name) {
  std::vector<std::string> names;
  for (const Benchmark* benchmark : Benchmarks()) {
    if (benchmark->info().name == name) return benchmark;
    names.push_back(benchmark->info().name);
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("unknown benchmark '%s'; there are %s", name, absl::StrJoin(names, ", ")));
}

}  // namespace ziprl
