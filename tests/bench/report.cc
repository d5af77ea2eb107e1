#include "tests/bench/report.h"

#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"

namespace ziprl {
namespace {

std::string Machine() {
  std::string model = "unknown processor";
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      model = line.substr(colon + 2);
      break;
    }
  }
  return absl::StrCat(model, ", ", std::thread::hardware_concurrency(), " cores");
}

std::string Today() {
  const std::time_t now = std::time(nullptr);
  char text[sizeof "2026-01-31"];
  std::strftime(text, sizeof text, "%F", std::localtime(&now));
  return text;
}

nlohmann::ordered_json Number(const std::optional<double>& value) {
  if (!value.has_value()) return nullptr;
  const double scale = std::pow(10, 4 - std::floor(std::log10(std::max(std::abs(*value), 1e-12))));
  return std::round(*value * scale) / scale;
}

}  // namespace

void Report(const BenchResult& c) {
  const nlohmann::ordered_json line = {
      {"name", c.name},           {"ours", Number(c.ours)},     {"rival", Number(c.rival)},
      {"ratio", Number(c.ratio)}, {"target", Number(c.target)}, {"limit", Number(c.limit)},
      {"unit", c.unit},           {"machine", Machine()},       {"date", Today()}};
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

}  // namespace ziprl
