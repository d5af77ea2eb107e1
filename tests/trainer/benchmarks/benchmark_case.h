// A release in a folder of a test's own, and what a benchmark makes of it, with an encoder that
// keeps the text instead of token ids.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/trainer/data/scratch.h"
#include "trainer/benchmarks/benchmark_data.h"
#include "trainer/benchmarks/registry.h"

namespace ziprl {

inline constexpr char kPng[] = "iVBORw0KGgoAAAANSUhEUg==";  // how every PNG begins, in base64

class BenchmarkCase {
 public:
  explicit BenchmarkCase(const std::string& name) : benchmark(**FindBenchmark(name)) {
    config.folder = scratch.dir();
  }

  absl::Status Open() {
    const EncodePrompt encode =
        [this](const std::vector<Message>& messages,
               const std::vector<MediaRef>&) -> absl::StatusOr<std::vector<int32_t>> {
      text.clear();
      for (const Message& message : messages) {
        for (const ContentItem& item : message.content) {
          const char* mark = item.kind == ContentItem::Kind::kImage ? "[I]" : "[V]";
          text += item.kind == ContentItem::Kind::kText ? item.text : mark;
        }
      }
      return std::vector<int32_t>(text.size(), 1);
    };
    auto opened = BenchmarkData::Open(benchmark, config, encode);
    if (!opened.ok()) return opened.status();
    data = *std::move(opened);
    return absl::OkStatus();
  }

  // The figures when the items whose ids are in `right` scored 1 and the others 0.
  std::map<std::string, double> Figures(const std::vector<std::string>& right) const {
    std::vector<ScoredItem> scored;
    for (const BenchmarkItem& item : data->items()) {
      double score = 0;
      for (const std::string& id : right) score += id == item.id;
      scored.push_back({&item, score});
    }
    std::map<std::string, double> figures;
    for (const Figure& figure : benchmark.Summarise(scored)) figures[figure.name] = figure.value;
    return figures;
  }

  Scratch scratch;
  const Benchmark& benchmark;
  BenchmarkData::Config config;
  std::string text;  // of the prompt that was made last
  std::unique_ptr<BenchmarkData> data;
};

}  // namespace ziprl
