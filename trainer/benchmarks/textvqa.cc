#include "trainer/benchmarks/textvqa.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/benchmarks/vqa_text.h"

namespace ziprl {
namespace {

class TextVqa : public Benchmark {
 public:
  const BenchmarkInfo& info() const override { return info_; }

  // The release's JSON is an object whose "data" are the rows; their images are files.
  absl::StatusOr<std::vector<std::unique_ptr<RowFile>>> Open(
      const std::string& folder) const override {
    const std::vector<std::string> paths = FilesBelow(folder, info_.files);
    if (paths.empty() || !absl::EndsWith(paths[0], ".json")) return Benchmark::Open(folder);
    std::vector<std::unique_ptr<RowFile>> files;
    for (const std::string& path : paths) {
      ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
      nlohmann::json release = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
      if (!release.is_object() || !release.contains("data") || !release["data"].is_array()) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": is no JSON object with a list \"data\""));
      }
      files.push_back(MakeRowList(path, release["data"].get<std::vector<nlohmann::json>>()));
    }
    return files;
  }

  absl::StatusOr<BenchmarkItem> Read(const nlohmann::json& row, const std::string& folder,
                                     const RowFile& file) const override {
    BenchmarkItem item;
    ZIPRL_ASSIGN_OR_RETURN(item.id, TextOf(row, {"index", "question_id"}));
    ZIPRL_ASSIGN_OR_RETURN(item.question, TextOf(row, {"question"}));
    ZIPRL_ASSIGN_OR_RETURN(item.answers, TextsOf(row, {"answer", "answers"}));
    item.answer = TextListJson(item.answers);
    item.content = MediaThenText(
        ContentItem::Kind::kImage, 1,
        item.question +
            "\nPlease try to answer the question with short words or phrases if possible.");
    item.images = {{"image", -1, {}}};
    if (absl::EndsWith(file.path(), ".json")) {
      ZIPRL_ASSIGN_OR_RETURN(const std::string image, TextOf(row, {"image_id"}));
      item.images[0] = {"", -1, {}};
      for (const char* place : {"train_images/", "train_val_images/train_images/", "images/"}) {
        item.images[0].paths.push_back(absl::StrCat(folder, "/", place, image, ".jpg"));
      }
    }
    return item;
  }

  double Score(const BenchmarkItem& item, const std::string& response) const override {
    return VqaAccuracy(response, item.answers);
  }

  std::vector<Figure> Summarise(absl::Span<const ScoredItem> items) const override {
    return PercentBy(items, "accuracy", {});
  }

 private:
  const BenchmarkInfo info_ = {
      "textvqa",
      {"TextVQA*.tsv", "*.tsv", "data/validation-*.parquet", "validation-*.parquet", "*.parquet",
       "TextVQA_*val.json"},
      {"index", "question_id", "image_id", "question", "answer", "answers"},
      "TextVQA_VAL",
      "textvqa_val"};
};

}  // namespace

std::unique_ptr<Benchmark> MakeTextVqa() { return std::make_unique<TextVqa>(); }

}  // namespace ziprl
