#include "trainer/benchmarks/ocrbench.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/benchmarks/text_rules.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

constexpr char kFormulas[] = "Handwritten Mathematical Expression Recognition";
// The six types whose points add up to "Text Recognition" end like this; the formulas do too.
constexpr char kRecognition[] = "Recognition";

class OcrBench : public Benchmark {
 public:
  const BenchmarkInfo& info() const override { return info_; }

  absl::StatusOr<BenchmarkItem> Read(const nlohmann::json& row, const std::string& folder,
                                     const RowFile&) const override {
    BenchmarkItem item;
    item.id = OptionalText(row, {"index", "id"});
    ZIPRL_ASSIGN_OR_RETURN(item.question, TextOf(row, {"question"}));
    ZIPRL_ASSIGN_OR_RETURN(item.answers, TextsOf(row, {"answer", "answers"}));
    item.answer = TextListJson(item.answers);
    ZIPRL_ASSIGN_OR_RETURN(const std::string category,
                           TextOf(row, {"category", "question_type", "type"}));
    item.tags = {{"category", category},
                 {"dataset", OptionalText(row, {"dataset", "dataset_name"})}};
    item.content = MediaThenText(
        ContentItem::Kind::kImage, 1,
        item.question +
            "\nPlease try to answer the question with short words or phrases if possible.");
    const std::string image = OptionalText(row, {"image_path"});
    item.images = {{"image", -1, {}}};
    if (!image.empty() && FindValue(row, "image") == nullptr) {
      item.images = {
          {"",
           -1,
           {absl::StrCat(folder, "/OCRBench_Images/", image), absl::StrCat(folder, "/", image)}}};
    }
    return item;
  }

  double Score(const BenchmarkItem& item, const std::string& response) const override {
    const bool formula = item.tag("category") == kFormulas || item.tag("dataset") == "HME100k";
    return OcrContains(response, item.answers, formula) ? 1 : 0;
  }

  // Points, one a right answer: "score" of all, which is out of 1000 on the whole release.
  std::vector<Figure> Summarise(absl::Span<const ScoredItem> items) const override {
    Figure all = {"score"}, recognition = {"Text Recognition"};
    std::map<std::string, double> types;
    for (const ScoredItem& scored : items) {
      const std::string& type = scored.item->tag("category");
      all.value += scored.score;
      types[type] += scored.score;
      if (type != kFormulas && absl::EndsWith(type, kRecognition)) {
        recognition.value += scored.score;
      }
    }
    std::vector<Figure> figures = {
        all,
        {"accuracy", 100 * all.value / static_cast<double>(std::max<size_t>(1, items.size()))},
        recognition};
    for (const auto& [type, points] : types) figures.push_back({"category/" + type, points});
    return figures;
  }

 private:
  const BenchmarkInfo info_ = {"ocrbench",
                               {"OCRBench*.tsv", "*.tsv", "data/test-*.parquet", "test-*.parquet",
                                "*.parquet", "OCRBench.json", "OCRBench/OCRBench.json"},
                               {"index", "id", "question", "answer", "answers", "category",
                                "question_type", "type", "dataset", "dataset_name", "image_path"},
                               "OCRBench",
                               "ocrbench"};
};

std::string Comparable(const std::string& text, bool formula) {
  const std::string trimmed(Trim(formula ? text : Lowercase(text)));
  return absl::StrReplaceAll(trimmed, {{"\n", formula ? "" : " "}, {" ", formula ? "" : " "}});
}

}  // namespace

std::unique_ptr<Benchmark> MakeOcrBench() { return std::make_unique<OcrBench>(); }

bool OcrContains(const std::string& response, const std::vector<std::string>& answers,
                 bool formula) {
  const std::string given = Comparable(response, formula);
  return std::any_of(answers.begin(), answers.end(), [&](const std::string& answer) {
    return absl::StrContains(given, Comparable(answer, formula));
  });
}

}  // namespace ziprl
