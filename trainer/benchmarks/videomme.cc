#include "trainer/benchmarks/videomme.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/benchmarks/option_match.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

MediaPlace VideoPlace(const std::string& folder, const std::string& id) {
  MediaPlace place;
  for (const char* below : {"/data/", "/video/", "/videos/", "/"}) {
    for (const char* ending : {".mp4", ".MP4", ".mkv", ".webm"}) {
      place.paths.push_back(absl::StrCat(folder, below, id, ending));
    }
  }
  return place;
}

class VideoMme : public Benchmark {
 public:
  const BenchmarkInfo& info() const override { return info_; }

  absl::StatusOr<BenchmarkItem> Read(const nlohmann::json& row, const std::string& folder,
                                     const RowFile&) const override {
    BenchmarkItem item;
    ZIPRL_ASSIGN_OR_RETURN(item.id, TextOf(row, {"question_id", "index"}));
    ZIPRL_ASSIGN_OR_RETURN(const std::string video, TextOf(row, {"videoID", "video"}));
    ZIPRL_ASSIGN_OR_RETURN(item.question, TextOf(row, {"question"}));
    ZIPRL_ASSIGN_OR_RETURN(item.options, TextsOf(row, {"options", "candidates"}));
    ZIPRL_ASSIGN_OR_RETURN(item.answer, TextOf(row, {"answer"}));
    ZIPRL_ASSIGN_OR_RETURN(const std::string duration, TextOf(row, {"duration"}));
    item.tags = {{"video", video},
                 {"duration", duration},
                 {"domain", OptionalText(row, {"domain"})},
                 {"sub_category", OptionalText(row, {"sub_category"})},
                 {"task_type", OptionalText(row, {"task_type"})}};
    item.videos = {VideoPlace(folder, video)};
    item.content = MediaThenText(
        ContentItem::Kind::kVideo, 1,
        absl::StrCat("\nThese are the frames of a video. Select the best answer to the following "
                     "multiple-choice question based on the video. Respond with only the letter "
                     "(A, B, C, or D) of the correct option.\nQuestion: ",
                     item.question, "\n", absl::StrJoin(item.options, "\n"), "\nAnswer: "));
    return item;
  }

  double Score(const BenchmarkItem& item, const std::string& response) const override {
    const std::optional<char> option = FirstOptionLetter(response);
    return option.has_value() && item.answer == std::string(1, *option) ? 1 : 0;
  }

  std::vector<Figure> Summarise(absl::Span<const ScoredItem> items) const override {
    return PercentBy(items, "accuracy", {"duration", "domain", "sub_category", "task_type"});
  }

 private:
  const BenchmarkInfo info_ = {
      "videomme",
      {"Video-MME*.tsv", "*.tsv", "videomme/test-*.parquet", "test-*.parquet", "*.parquet",
       "*.json"},
      {"index", "question_id", "videoID", "video", "question", "options", "candidates", "answer",
       "duration", "domain", "sub_category", "task_type"},
      "Video-MME",
      "videomme"};
};

}  // namespace

std::unique_ptr<Benchmark> MakeVideoMme() { return std::make_unique<VideoMme>(); }

}  // namespace ziprl
