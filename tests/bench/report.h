// What the benchmarks print: one JSON line per case (docs: launch/bench).
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ziprl {

struct BenchResult {
  std::string name;
  double ours = 0;              // medians, in `unit`
  std::optional<double> rival;  // none: `target` is in `unit` too
  double ratio = 0;             // how many times better ours is (median over rounds); or ours
  std::optional<double> target, limit;  // of the ratio
  std::string unit;
};

// Writes the line, and the machine, to standard output.
void Report(const BenchResult& c);

inline double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

inline double Seconds(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace ziprl
