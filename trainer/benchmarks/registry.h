// The benchmarks by name. A new one is a file pair and a line in registry.cc.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/benchmarks/benchmark.h"

namespace ziprl {

const std::vector<const Benchmark*>& Benchmarks();

// An unknown name is an error that lists the known ones.
absl::StatusOr<const Benchmark*> FindBenchmark(const std::string& name);

}  // namespace ziprl
