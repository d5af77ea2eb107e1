#include "trainer/benchmarks/mme.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/benchmarks/text_rules.h"
#include "trainer/benchmarks/vqa_text.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

const std::vector<std::string>& Perception() {
  static const auto& names =
      *new std::vector<std::string>{"existence", "count", "position", "color",   "posters",
                                    "celebrity", "scene", "landmark", "artwork", "OCR"};
  return names;
}
const std::vector<std::string>& Cognition() {
  static const auto& names = *new std::vector<std::string>{
      "commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"};
  return names;
}

// The release's own layout: SUBTASK/[questions_answers_YN/]IMAGE.txt, two lines "question<tab>
// answer" each, the image beside it or in SUBTASK/images/.
std::vector<std::string> ReleasePatterns(const std::string& subtask) {
  return {subtask + "/questions_answers_YN/*.txt", subtask + "/*.txt"};
}

absl::StatusOr<std::vector<nlohmann::json>> ReleaseRows(const std::string& path,
                                                        const std::string& subtask) {
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const std::string stem = path.substr(0, path.size() - 4);
  const std::string name = stem.substr(stem.rfind('/') + 1);
  const std::string folder = DirectoryOf(DirectoryOf(path)) + "/images/" + name;
  std::vector<nlohmann::json> rows;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = Trim(line);
    if (line.empty()) continue;
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    if (fields.size() != 2) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: %d fields on a line, allowed is: question, tab, answer", path, fields.size()));
    }
    nlohmann::json image = nlohmann::json::array();
    for (const std::string& base : {stem, folder}) {
      for (const char* ending : {".jpg", ".png", ".jpeg"}) image.push_back(base + ending);
    }
    rows.push_back({{"category", subtask},
                    {"image_path", subtask + "/" + name},
                    {"question", fields[0]},
                    {"answer", fields[1]},
                    {"image_file", image}});
  }
  return rows;
}

class Mme : public Benchmark {
 public:
  const BenchmarkInfo& info() const override { return info_; }

  absl::StatusOr<std::vector<std::unique_ptr<RowFile>>> Open(
      const std::string& folder) const override {
    std::vector<nlohmann::json> rows;
    for (const auto* subtasks : {&Perception(), &Cognition()}) {
      for (const std::string& subtask : *subtasks) {
        for (const std::string& path : FilesBelow(folder, ReleasePatterns(subtask))) {
          ZIPRL_ASSIGN_OR_RETURN(const auto more, ReleaseRows(path, subtask));
          rows.insert(rows.end(), more.begin(), more.end());
        }
      }
    }
    if (rows.empty()) return Benchmark::Open(folder);
    std::vector<std::unique_ptr<RowFile>> files;
    files.push_back(MakeRowList(folder, std::move(rows)));
    return files;
  }

  absl::StatusOr<BenchmarkItem> Read(const nlohmann::json& row, const std::string&,
                                     const RowFile&) const override {
    BenchmarkItem item;
    ZIPRL_ASSIGN_OR_RETURN(const std::string subtask, TextOf(row, {"category"}));
    ZIPRL_ASSIGN_OR_RETURN(const std::string image, TextOf(row, {"image_path", "question_id"}));
    ZIPRL_ASSIGN_OR_RETURN(item.question, TextOf(row, {"question"}));
    ZIPRL_ASSIGN_OR_RETURN(const std::string answer, TextOf(row, {"answer"}));
    item.answer = YesOrNo(answer);
    if (item.answer.empty()) {
      return BadColumn("answer", "column 'answer' is '%s', allowed is Yes or No", answer);
    }
    if (!IsSubtask(subtask)) {
      return BadColumn("category", "column 'category' is '%s', which is no subtask of MME",
                       subtask);
    }
    item.id = OptionalText(row, {"index"});
    // Both questions of an image carry its name alone in the Hugging Face layout.
    if (item.id.empty()) item.id = absl::StrCat(image, " ", item.question);
    item.group = absl::StrCat(subtask, "/", image);
    item.tags = {{"category", subtask}, {"image_path", image}};
    item.content = MediaThenText(ContentItem::Kind::kImage, 1, item.question);
    const nlohmann::json* files = FindValue(row, "image_file");
    if (files != nullptr) {
      item.images = {{"", -1, files->get<std::vector<std::string>>()}};
    } else {
      item.images = {{"image", -1, {}}};
    }
    return item;
  }

  absl::Status CheckGroup(absl::Span<const BenchmarkItem* const> group, size_t) const override {
    if (group.size() == 2) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrFormat("image '%s' has %d question(s); accuracy+ needs the two that the "
                        "benchmark asks of every image",
                        group[0]->tag("image_path"), group.size()));
  }

  double Score(const BenchmarkItem& item, const std::string& response) const override {
    return YesOrNo(response) == item.answer ? 1 : 0;
  }

  std::vector<Figure> Summarise(absl::Span<const ScoredItem> items) const override {
    struct Subtask {
      double right = 0, questions = 0;
      std::map<std::string, double> images;  // right answers
    };
    std::map<std::string, Subtask> subtasks;
    for (const ScoredItem& scored : items) {
      Subtask& subtask = subtasks[scored.item->tag("category")];
      subtask.right += scored.score;
      ++subtask.questions;
      subtask.images[scored.item->group] += scored.score;
    }
    std::vector<Figure> sums = {{"score"}}, parts;
    for (const auto& [name, members] :
         {std::pair("perception", Perception()), std::pair("cognition", Cognition())}) {
      sums.push_back({name});
      for (const std::string& member : members) {
        const auto found = subtasks.find(member);
        if (found == subtasks.end()) continue;
        const Subtask& subtask = found->second;
        double both = 0;
        for (const auto& [image, right] : subtask.images) both += right == 2;
        const double accuracy = 100 * subtask.right / subtask.questions;
        const double plus = 100 * both / static_cast<double>(subtask.images.size());
        parts.push_back({member, accuracy + plus});
        parts.push_back({member + "/accuracy", accuracy});
        parts.push_back({member + "/accuracy+", plus});
        sums.back().value += accuracy + plus;
        sums[0].value += accuracy + plus;
      }
    }
    sums.insert(sums.end(), parts.begin(), parts.end());
    return sums;
  }

 private:
  static bool IsSubtask(const std::string& name) {
    return std::count(Perception().begin(), Perception().end(), name) +
               std::count(Cognition().begin(), Cognition().end(), name) >
           0;
  }

  const BenchmarkInfo info_ = {
      "mme",
      {"MME*.tsv", "*.tsv", "data/test-*.parquet", "*.parquet", "existence/*.txt"},
      {"index", "question_id", "image_path", "category", "question", "answer", "image_file"},
      "MME",
      "mme"};
};

}  // namespace

std::unique_ptr<Benchmark> MakeMme() { return std::make_unique<Mme>(); }

std::string YesOrNo(const std::string& response) {
  const std::string plain = StripVqaPunctuation(Lowercase(response), /*period_behind_digit=*/false);
  const std::vector<absl::string_view> words = SplitWords(plain);
  const bool yes = std::find(words.begin(), words.end(), "yes") != words.end();
  const bool no = std::find(words.begin(), words.end(), "no") != words.end();
  return yes == no ? "" : yes ? "Yes" : "No";
}

}  // namespace ziprl
