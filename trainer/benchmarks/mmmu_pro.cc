#include "trainer/benchmarks/mmmu_pro.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/benchmarks/option_match.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

constexpr size_t kImages = 7;  // columns image_1 ... image_7

// The discipline of each subject, as MMMU groups them.
constexpr std::pair<const char*, const char*> kDisciplines[] = {
    {"Art and Design", "Art Art_Theory Design Music"},
    {"Business", "Accounting Economics Finance Manage Marketing"},
    {"Science", "Biology Chemistry Geography Math Physics"},
    {"Health and Medicine",
     "Basic_Medical_Science Clinical_Medicine Diagnostics_and_Laboratory_Medicine Pharmacy "
     "Public_Health"},
    {"Humanities and Social Science", "History Literature Sociology Psychology"},
    {"Tech and Engineering",
     "Agriculture Architecture_and_Engineering Computer_Science Electronics Energy_and_Power "
     "Materials Mechanical_Engineering"}};

std::string DisciplineOf(const std::string& subject) {
  for (const auto& [discipline, subjects] : kDisciplines) {
    const std::vector<std::string> names = absl::StrSplit(subjects, ' ');
    if (std::count(names.begin(), names.end(), subject) > 0) return discipline;
  }
  return "";
}

// Where image `number` (from 1) of a row lies: a column of its own, or in a list in column image.
MediaPlace PlaceOf(const nlohmann::json& row, size_t number) {
  const std::string own = absl::StrCat("image_", number);
  if (row.contains(own)) return {own, -1, {}};
  return {"image", static_cast<int>(number) - 1, {}};
}

// How many images a row has.
size_t ImagesOf(const nlohmann::json& row) {
  size_t count = 0;
  for (size_t i = 1; i <= kImages; ++i) {
    count += FindValue(row, absl::StrCat("image_", i)) != nullptr;
  }
  if (count > 0) return count;
  const absl::StatusOr<std::vector<std::string>> texts = TextsOf(row, {"image"});
  return texts.ok() ? texts->size() : FindValue(row, "image") != nullptr;
}

// "<image 12>" at `at`: its number, and its length in `length`.
std::optional<size_t> ImageMark(const std::string& text, size_t at, size_t* length) {
  size_t end = at + 7, number = 0;
  while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end])) != 0) {
    number = number * 10 + static_cast<size_t>(text[end++] - '0');
    if (number > kImages) return std::nullopt;
  }
  if (number == 0 || end == text.size() || text[end] != '>') return std::nullopt;
  *length = end + 1 - at;
  return number;
}

// The images where the text refers to them; all of them first where it refers to none.
void Place(const nlohmann::json& row, const std::string& text, BenchmarkItem& item) {
  size_t begin = 0, at = 0;
  const auto add_text = [&](size_t end) {
    if (end > begin) {
      item.content.push_back({ContentItem::Kind::kText, text.substr(begin, end - begin)});
    }
  };
  while ((at = text.find("<image ", at)) != std::string::npos) {
    size_t length = 0;
    const std::optional<size_t> number = ImageMark(text, at, &length);
    if (!number.has_value()) {
      at += 7;
      continue;
    }
    add_text(at);
    item.content.push_back({ContentItem::Kind::kImage, ""});
    item.images.push_back(PlaceOf(row, *number));
    begin = at += length;
  }
  add_text(text.size());
  if (!item.images.empty()) return;
  item.content = MediaThenText(ContentItem::Kind::kImage, ImagesOf(row), text);
  for (size_t i = 1; i <= ImagesOf(row); ++i) item.images.push_back(PlaceOf(row, i));
}

class MmmuPro : public Benchmark {
 public:
  const BenchmarkInfo& info() const override { return info_; }

  absl::StatusOr<BenchmarkItem> Read(const nlohmann::json& row, const std::string&,
                                     const RowFile&) const override {
    BenchmarkItem item;
    ZIPRL_ASSIGN_OR_RETURN(item.id, TextOf(row, {"index", "id"}));
    ZIPRL_ASSIGN_OR_RETURN(item.answer, TextOf(row, {"answer"}));
    item.options = LetteredOptions(row);
    if (item.options.empty()) {
      ZIPRL_ASSIGN_OR_RETURN(item.options, TextsOf(row, {"options"}));
    }
    if (item.options.size() < 2) {
      return BadColumn("options", "column 'options' holds %d option(s), needed are 2 or more",
                       item.options.size());
    }
    const std::string subject = OptionalText(row, {"subject", "category"});
    item.tags = {{"category", subject},
                 {"discipline", DisciplineOf(subject)},
                 {"topic_difficulty", OptionalText(row, {"topic_difficulty"})}};
    item.question = OptionalText(row, {"question"});
    if (item.question.empty() || item.question == "placeholder") {  // the vision setting
      item.images = {{"image", -1, {}}};
      item.content = MediaThenText(ContentItem::Kind::kImage, 1,
                                   "Answer the following multiple-choice question in the image. "
                                   "Answer directly with the option letter from the given "
                                   "choices. ");
      return item;
    }
    std::string text = absl::StrCat("Question: ", item.question, "\nOptions:\n");
    for (size_t i = 0; i < item.options.size(); ++i) {
      absl::StrAppend(&text, std::string(1, OptionLetter(i)), ". ", item.options[i], "\n");
    }
    absl::StrAppend(&text, "Answer directly with the option letter from the given choices. ");
    Place(row, text, item);
    return item;
  }

  double Score(const BenchmarkItem& item, const std::string& response) const override {
    const std::optional<char> option = ParseMmmuOption(response, item.options);
    return option.has_value() && item.answer == std::string(1, *option) ? 1 : 0;
  }

  std::vector<Figure> Summarise(absl::Span<const ScoredItem> items) const override {
    return PercentBy(items, "accuracy", {"discipline", "category", "topic_difficulty"});
  }

  std::string VlmEvalKitName(const std::string& path) const override {
    const std::string stem = path.substr(path.rfind('/') + 1);
    if (absl::StartsWith(stem, "MMMU_Pro") && absl::EndsWith(stem, ".tsv")) {
      return stem.substr(0, stem.size() - 4);
    }
    if (absl::StrContains(path, "vision")) return "MMMU_Pro_V";
    return absl::StrContains(path, "4 options") ? "MMMU_Pro_4c" : info_.vlmevalkit;
  }

 private:
  const BenchmarkInfo info_ = {
      "mmmu_pro",
      {"MMMU_Pro*.tsv", "*.tsv", "test-*.parquet", "*.parquet"},
      {"index", "id", "question", "options", "answer", "A", "B", "C", "D", "E", "F", "G", "H", "I",
       "J", "subject", "category", "topic_difficulty"},
      "MMMU_Pro_10c",
      "mmmu_pro_standard"};
};

}  // namespace

std::unique_ptr<Benchmark> MakeMmmuPro() { return std::make_unique<MmmuPro>(); }

}  // namespace ziprl
