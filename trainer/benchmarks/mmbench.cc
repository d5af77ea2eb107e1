#include "trainer/benchmarks/mmbench.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/benchmarks/option_match.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

constexpr char kNone[] = "nan";
constexpr int64_t kRotation = 1'000'000;  // between the indices of a question's rotations

class MmBench : public Benchmark {
 public:
  const BenchmarkInfo& info() const override { return info_; }

  absl::StatusOr<BenchmarkItem> Read(const nlohmann::json& row, const std::string&,
                                     const RowFile&) const override {
    BenchmarkItem item;
    ZIPRL_ASSIGN_OR_RETURN(item.id, TextOf(row, {"index"}));
    int64_t index = -1;
    if (!absl::SimpleAtoi(item.id, &index) || index < 0) {
      return BadColumn("index", "column 'index' is '%s', allowed is a number", item.id);
    }
    item.group = absl::StrCat(index % kRotation);
    ZIPRL_ASSIGN_OR_RETURN(item.question, TextOf(row, {"question"}));
    ZIPRL_ASSIGN_OR_RETURN(item.answer, TextOf(row, {"answer"}));
    item.options = LetteredOptions(row);
    // How the hub's release writes an option that is none, and a hint that is none.
    item.options.erase(std::find(item.options.begin(), item.options.end(), kNone),
                       item.options.end());
    if (item.options.size() < 2) {
      return BadColumn("A", "%d option(s) in columns A, B, ...; at least 2 are needed",
                       item.options.size());
    }
    const std::string hint = OptionalText(row, {"hint"});
    item.tags = {{"hint", hint == kNone ? "" : hint},
                 {"category", OptionalText(row, {"category"})},
                 {"l2-category", OptionalText(row, {"l2-category", "L2-category"})},
                 {"split", OptionalText(row, {"split"})}};
    item.content =
        MediaThenText(ContentItem::Kind::kImage, 1, ChoicePrompt(item, item.tag("hint")));
    item.images = {{"image", -1, {}}};
    return item;
  }

  absl::Status CheckGroup(absl::Span<const BenchmarkItem* const> group,
                          size_t largest) const override {
    if (largest == 1) return absl::OkStatus();  // a release without rotations
    std::set<int64_t> rotations;
    for (const BenchmarkItem* item : group) rotations.insert(Index(*item) / kRotation);
    const size_t options = group[0]->options.size();
    for (size_t k = 0; k < options; ++k) {
      if (rotations.count(static_cast<int64_t>(k)) > 0) continue;
      return absl::InvalidArgumentError(
          absl::StrFormat("question %s has %d of its %d rotations: no row with index %d",
                          group[0]->group, group.size(), options,
                          Index(*group[0]) % kRotation + static_cast<int64_t>(k) * kRotation));
    }
    return absl::OkStatus();
  }

  double Score(const BenchmarkItem& item, const std::string& response) const override {
    const std::optional<char> option = InferOption(response, item.options);
    return option.has_value() && item.answer == std::string(1, *option) ? 1 : 0;
  }

  std::vector<Figure> Summarise(absl::Span<const ScoredItem> items) const override {
    std::map<std::string, size_t> groups;
    std::vector<ScoredItem> questions;
    for (const ScoredItem& scored : items) {
      const auto [group, is_new] = groups.try_emplace(scored.item->group, questions.size());
      if (is_new) questions.push_back(scored);
      ScoredItem& question = questions[group->second];
      if (scored.item->id == scored.item->group) question.item = scored.item;
      question.score = std::min(question.score, scored.score);
    }
    std::vector<Figure> figures =
        PercentBy(questions, "circular", {"split", "l2-category", "category"});
    figures.insert(figures.begin() + 1, {"vanilla", PercentBy(items, "", {})[0].value});
    return figures;
  }

  std::string VlmEvalKitName(const std::string& path) const override {
    const std::string stem = path.substr(path.rfind('/') + 1);
    const bool known = absl::StartsWithIgnoreCase(stem, "mmbench") && absl::EndsWith(stem, ".tsv");
    return known ? stem.substr(0, stem.size() - 4) : info_.vlmevalkit;
  }

 private:
  static int64_t Index(const BenchmarkItem& item) {
    int64_t index = 0;
    (void)absl::SimpleAtoi(item.id, &index);  // Read has looked at it
    return index;
  }

  const BenchmarkInfo info_ = {
      "mmbench",
      {"MMBench*.tsv", "mmbench*.tsv", "*.tsv", "en/dev-*.parquet", "dev-*.parquet", "*.parquet"},
      {"index", "question", "hint", "answer", "A", "B", "C", "D", "E", "F", "G", "H", "category",
       "l2-category", "L2-category", "split"},
      "MMBench_DEV_EN",
      "mmbench_en_dev"};
};

}  // namespace

std::unique_ptr<Benchmark> MakeMmBench() { return std::make_unique<MmBench>(); }

}  // namespace ziprl
