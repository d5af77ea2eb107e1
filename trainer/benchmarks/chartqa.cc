#include "trainer/benchmarks/chartqa.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/benchmarks/text_rules.h"

namespace ziprl {
namespace {

constexpr double kTolerance = 0.05;  // of the answer

std::optional<double> NumberOf(absl::string_view text) {
  if (!absl::EndsWith(text, "%")) return PythonFloat(text);
  while (absl::EndsWith(text, "%")) text.remove_suffix(1);
  const std::optional<double> number = PythonFloat(text);
  return number.has_value() ? std::optional<double>(*number / 100) : std::nullopt;
}

// Which half of the test set a row is of: by its column, else by the file's name.
std::string SplitOf(const nlohmann::json& row, const std::string& path) {
  const std::string given = OptionalText(row, {"split", "type", "human_or_machine"});
  const std::string& text = given.empty() ? path.substr(path.rfind('/') + 1) : given;
  if (absl::StrContains(text, "human") || text == "0") return "test_human";
  if (absl::StrContains(text, "augmented") || text == "1") return "test_augmented";
  return given;
}

class ChartQa : public Benchmark {
 public:
  const BenchmarkInfo& info() const override { return info_; }

  absl::StatusOr<BenchmarkItem> Read(const nlohmann::json& row, const std::string&,
                                     const RowFile& file) const override {
    BenchmarkItem item;
    item.id = OptionalText(row, {"index", "question_id"});
    ZIPRL_ASSIGN_OR_RETURN(item.question, TextOf(row, {"question", "query"}));
    ZIPRL_ASSIGN_OR_RETURN(item.answers, TextsOf(row, {"answer", "label"}));
    item.answer = item.answers.size() == 1 ? item.answers[0] : TextListJson(item.answers);
    item.tags = {{"split", SplitOf(row, file.path())}};
    item.content = MediaThenText(
        ContentItem::Kind::kImage, 1,
        item.question +
            "\nPlease try to answer the question with short words or phrases if possible.");
    const std::string image = OptionalText(row, {"imgname"});
    if (image.empty()) {
      item.images = {{"image", -1, {}}};
    } else {
      item.images = {{"", -1, {absl::StrCat(DirectoryOf(file.path()), "/png/", image)}}};
    }
    return item;
  }

  double Score(const BenchmarkItem& item, const std::string& response) const override {
    const absl::string_view given = Trim(response);
    return std::any_of(item.answers.begin(), item.answers.end(),
                       [&](const std::string& answer) { return RelaxedMatch(given, answer); })
               ? 1
               : 0;
  }

  std::vector<Figure> Summarise(absl::Span<const ScoredItem> items) const override {
    return PercentBy(items, "accuracy", {"split"});
  }

 private:
  const BenchmarkInfo info_ = {"chartqa",
                               {"ChartQA*.tsv", "*.tsv", "data/test-*.parquet", "test-*.parquet",
                                "*.parquet", "test/test_*.json", "test_*.json"},
                               {"index", "question_id", "question", "query", "answer", "label",
                                "split", "type", "human_or_machine", "imgname"},
                               "ChartQA_TEST",
                               "chartqa"};
};

}  // namespace

std::unique_ptr<Benchmark> MakeChartQa() { return std::make_unique<ChartQa>(); }

bool RelaxedMatch(absl::string_view prediction, absl::string_view answer) {
  const std::optional<double> given = NumberOf(prediction), truth = NumberOf(answer);
  if (given.has_value() && truth.has_value() && *truth != 0) {
    return std::abs(*given - *truth) / std::abs(*truth) <= kTolerance;
  }
  return Lowercase(prediction) == Lowercase(answer);
}

}  // namespace ziprl
