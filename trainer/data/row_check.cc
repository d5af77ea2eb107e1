#include "trainer/data/row_check.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "absl/status/status.h"
#include "configs/base/mutex.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "model/image_processor.h"
#include "model/video_decode.h"
#include "trainer/data/image_store.h"
#include "trainer/data/row_file.h"
#include "trainer/data/row_json.h"
#include "trainer/data/row_set.h"

namespace ziprl {
namespace {

constexpr int64_t kRun = 256;  // rows of one unit of work

// Contents that were decoded, of videos every frame; forgets now and then, so that it stays small.
class DecodedMedia {
 public:
  absl::Status Check(const MediaRef& medium) {
    {
      MutexLock lock(&mutex_);
      if (good_.count(medium.content_hash) > 0) return absl::OkStatus();
    }
    ZIPRL_RETURN_IF_ERROR(Decode(medium));
    MutexLock lock(&mutex_);
    if (good_.size() > 1'000'000) good_.clear();
    good_.insert(medium.content_hash);
    return absl::OkStatus();
  }

 private:
  static absl::Status Decode(const MediaRef& medium) {
    if (medium.kind == MediaKind::kImage) {
      return DecodeImage(*medium.bytes, medium.source).status();
    }
    ZIPRL_ASSIGN_OR_RETURN(const VideoInfo info, ReadVideoInfo(medium));
    return DecodeFrames(medium, info, {}, [](const Image&) { return absl::OkStatus(); });
  }

  Mutex mutex_;
  std::unordered_set<uint64_t> good_ ABSL_GUARDED_BY(mutex_);
};

struct Run {  // neighbouring rows of a file
  const RowFile* file = nullptr;
  int64_t begin = 0, count = 0;
  bool apart = false;  // any row can be read by itself, and a run at once
};

struct Findings {
  std::vector<BadRow> bad;
  int64_t too_long = 0;
};

class Checker {
 public:
  explicit Checker(const RowCheck& check) : check_(check) {}

  absl::StatusOr<RowCheckSummary> Check() {
    ZIPRL_RETURN_IF_ERROR(OpenFiles());
    const size_t at_once = static_cast<size_t>(std::max(1, check_.threads)) * 8;
    int64_t done = 0;
    for (size_t begin = 0; begin < runs_.size(); begin += at_once) {
      const size_t count = std::min(at_once, runs_.size() - begin);
      std::vector<Findings> found(count);
      ParallelUnits(static_cast<int>(count), check_.threads, [&](int i, int) {
        found[static_cast<size_t>(i)] = CheckRun(runs_[begin + static_cast<size_t>(i)]);
      });
      for (size_t i = 0; i < count; ++i) {
        summary_.too_long += found[i].too_long;
        for (const BadRow& bad : found[i].bad) Report(bad);
        done += runs_[begin + i].count;
      }
      if (check_.on_progress) check_.on_progress(done, summary_.rows);
    }
    return summary_;
  }

 private:
  void Report(const BadRow& bad) {
    ++summary_.bad;
    if (check_.on_bad) check_.on_bad(bad);
  }

  void ReportFile(const std::string& path, const absl::Status& status) {
    Report({path, 0, 0, ColumnOf(status), std::string(status.message())});
  }

  absl::Status OpenFiles() {
    if (check_.files.empty()) return absl::InvalidArgumentError("no data files are given");
    for (const std::string& entry : check_.files) {
      const auto paths = ExpandFiles({entry});
      if (!paths.ok()) ReportFile(entry, paths.status());
      if (!paths.ok()) continue;
      for (const std::string& path : *paths) OpenFile(path);
    }
    return absl::OkStatus();
  }

  void OpenFile(const std::string& path) {
    ++summary_.files;
    auto file = RowFile::Open(path, check_.format);
    if (!file.ok()) return ReportFile(path, file.status());
    if ((*file)->rows() == 0) {
      return ReportFile(path, absl::InvalidArgumentError(path + ": holds no rows"));
    }
    const absl::Status columns = (*file)->CheckColumns(check_.row);
    if (!columns.ok()) return ReportFile(path, columns);
    int64_t row = 0;
    for (const RowFile::Unit& unit : (*file)->Units()) {
      for (int64_t at = 0; at < unit.rows; at += kRun) {
        const int64_t count = std::min(kRun, unit.rows - at);
        runs_.push_back({file->get(), row + at, count, unit.bytes == 0});
      }
      row += unit.rows;
    }
    summary_.rows += row;
    files_.push_back(*std::move(file));
  }

  Findings CheckRun(const Run& run) {
    Findings found;
    RowFile::Rows rows;
    if (run.apart) rows = run.file->ReadMany(run.begin, run.count, {});
    for (int64_t i = 0; i < run.count; ++i) {
      const auto object =
          run.apart ? std::move(rows[static_cast<size_t>(i)]) : run.file->Read(run.begin + i);
      const absl::Status status =
          object.ok() ? CheckRow(*object, *run.file, found.too_long) : object.status();
      if (status.ok()) continue;
      const int64_t row = run.begin + i;
      found.bad.push_back({run.file->path(), row + 1, run.file->LineOf(row), ColumnOf(status),
                           std::string(status.message())});
    }
    return found;
  }

  absl::Status CheckRow(const nlohmann::json& object, const RowFile& file, int64_t& too_long) {
    const std::string directory = DirectoryOf(file.path());
    std::vector<Row> rows;
    if (check_.questions) {
      ZIPRL_ASSIGN_OR_RETURN(rows, QuestionsOf(object, check_.row, directory, images_));
    } else {
      ZIPRL_ASSIGN_OR_RETURN(Row row, RowOf(object, check_.row, directory, images_));
      rows.push_back(std::move(row));
    }
    for (Row& row : rows) {
      const std::vector<MediaRef> media = MediaOf(row);
      for (const MediaRef& medium : media) {
        const absl::Status decoded = decoded_.Check(medium);
        const bool video = medium.kind == MediaKind::kVideo;
        if (!decoded.ok()) {
          return AboutColumn(video ? check_.row.video_key : check_.row.image_key, decoded);
        }
      }
      ZIPRL_RETURN_IF_ERROR(CheckPrompt(row, media, too_long));
    }
    return absl::OkStatus();
  }

  absl::Status CheckPrompt(Row& row, const std::vector<MediaRef>& media, int64_t& too_long) {
    if (row.messages.back().role == "assistant" && !check_.questions) row.messages.pop_back();
    if (row.messages.empty()) return absl::InvalidArgumentError("holds no turn before the answer");
    if (!check_.encode) return absl::OkStatus();
    const auto ids = check_.encode(row.messages, media);
    if (!ids.ok()) return AboutColumn(check_.row.prompt_key, ids.status());
    too_long += static_cast<int>(ids->size()) > check_.max_prompt_length;
    return absl::OkStatus();
  }

  const RowCheck& check_;
  RowCheckSummary summary_;
  std::vector<std::unique_ptr<RowFile>> files_;
  std::vector<Run> runs_;
  ImageStore images_;
  DecodedMedia decoded_;
};

}  // namespace

std::string BadRowJson(const BadRow& bad) {
  nlohmann::ordered_json out;
  out["file"] = bad.file;
  out["row"] = bad.row > 0 ? nlohmann::ordered_json(bad.row) : nullptr;
  out["line"] = bad.line > 0 ? nlohmann::ordered_json(bad.line) : nullptr;
  out["column"] = bad.column.empty() ? nullptr : nlohmann::ordered_json(bad.column);
  out["reason"] = bad.reason;
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

absl::StatusOr<RowCheckSummary> CheckRows(const RowCheck& check) { return Checker(check).Check(); }

}  // namespace ziprl
