#include "trainer/benchmarks/mmstar.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/benchmarks/option_match.h"
#include "trainer/benchmarks/text_rules.h"

namespace ziprl {
namespace {

// "Which?\nOptions: A: one, B: two, C: three, D: four", as the Hugging Face release writes it: the
// question, and the options where there are at least two.
void TakeOptions(BenchmarkItem& item) {
  const size_t begin = item.question.rfind("Options:");
  if (begin == std::string::npos) return;
  std::vector<std::pair<size_t, size_t>> marks;  // where "A:" begins, where its option does
  size_t at = begin + 8;
  for (size_t i = 0; i < 26; ++i) {
    const std::string mark = absl::StrCat(std::string(1, OptionLetter(i)), ":");
    at = item.question.find(mark, at);
    while (at != std::string::npos && item.question[at - 1] != ' ' &&
           item.question[at - 1] != '\n' && item.question[at - 1] != ':') {
      at = item.question.find(mark, at + 1);
    }
    if (at == std::string::npos) break;
    marks.push_back({at, at + mark.size()});
    at += mark.size();
  }
  if (marks.size() < 2) return;
  for (size_t i = 0; i < marks.size(); ++i) {
    const size_t end = i + 1 < marks.size() ? marks[i + 1].first : item.question.size();
    absl::string_view option =
        Trim(absl::string_view(item.question).substr(marks[i].second, end - marks[i].second));
    if (i + 1 < marks.size() && !option.empty() && option.back() == ',') option.remove_suffix(1);
    item.options.push_back(std::string(option));
  }
  item.question = std::string(Trim(item.question.substr(0, begin)));
}

class MmStar : public Benchmark {
 public:
  const BenchmarkInfo& info() const override { return info_; }

  absl::StatusOr<BenchmarkItem> Read(const nlohmann::json& row, const std::string&,
                                     const RowFile&) const override {
    BenchmarkItem item;
    ZIPRL_ASSIGN_OR_RETURN(item.id, TextOf(row, {"index"}));
    ZIPRL_ASSIGN_OR_RETURN(item.question, TextOf(row, {"question"}));
    ZIPRL_ASSIGN_OR_RETURN(item.answer, TextOf(row, {"answer"}));
    item.options = LetteredOptions(row);
    if (item.options.empty()) TakeOptions(item);
    item.tags = {{"category", OptionalText(row, {"category"})},
                 {"l2_category", OptionalText(row, {"l2_category", "l2-category"})}};
    std::string prompt = ChoicePrompt(item, OptionalText(row, {"hint"}));
    if (item.options.empty()) {  // they stand in the question in a form of their own
      absl::StrAppend(&prompt, "\nPlease select the correct answer from the options above.");
      item.options.assign(4, "");
    }
    item.content = MediaThenText(ContentItem::Kind::kImage, 1, std::move(prompt));
    item.images = {{"image", -1, {}}};
    return item;
  }

  double Score(const BenchmarkItem& item, const std::string& response) const override {
    const std::optional<char> option = InferOption(response, item.options);
    return option.has_value() && item.answer == std::string(1, *option) ? 1 : 0;
  }

  std::vector<Figure> Summarise(absl::Span<const ScoredItem> items) const override {
    return PercentBy(items, "accuracy", {"category", "l2_category"});
  }

 private:
  const BenchmarkInfo info_ = {
      "mmstar",
      {"MMStar*.tsv", "*.tsv", "mmstar*.parquet", "val-*.parquet", "*.parquet"},
      {"index", "question", "hint", "answer", "A", "B", "C", "D", "category", "l2_category",
       "l2-category"},
      "MMStar",
      "mmstar"};
};

}  // namespace

std::unique_ptr<Benchmark> MakeMmStar() { return std::make_unique<MmStar>(); }

}  // namespace ziprl
