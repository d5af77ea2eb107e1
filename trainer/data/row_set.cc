#include "trainer/data/row_set.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "trainer/data/row_group_cache.h"

namespace ziprl {
namespace {

std::vector<std::string> Matches(const std::string& pattern) {
  glob_t found = {};
  std::vector<std::string> paths;
  if (glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  globfree(&found);
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ExpandFiles(const std::vector<std::string>& entries) {
  std::vector<std::string> files;
  for (const std::string& entry : entries) {
    std::error_code error;
    const bool is_glob = entry.find_first_of("*?[") != std::string::npos;
    if (!is_glob || std::filesystem::exists(entry, error)) {
      files.push_back(entry);
      continue;
    }
    const std::vector<std::string> matches = Matches(entry);
    if (matches.empty()) return absl::NotFoundError(absl::StrCat(entry, ": matches no file"));
    files.insert(files.end(), matches.begin(), matches.end());
  }
  return files;
}

absl::StatusOr<std::unique_ptr<RowSet>> RowSet::Open(const std::vector<std::string>& entries,
                                                     const std::string& format,
                                                     const RowOptions& options,
                                                     std::shared_ptr<RowGroupCache> cache) {
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<std::string> paths, ExpandFiles(entries));
  auto set = std::make_unique<RowSet>();
  for (const std::string& path : paths) {
    ZIPRL_ASSIGN_OR_RETURN(std::unique_ptr<RowFile> file, RowFile::Open(path, format, cache));
    if (file->rows() == 0) return absl::InvalidArgumentError(path + ": holds no rows");
    ZIPRL_RETURN_IF_ERROR(file->CheckColumns(options));
    const std::vector<RowFile::Unit> units = file->Units();
    set->units_.insert(set->units_.end(), units.begin(), units.end());
    set->begins_.push_back(set->rows() + file->rows());
    set->files_.push_back(std::move(file));
  }
  if (set->files_.empty()) return absl::InvalidArgumentError("no data files are given");
  return set;
}

RowSet::Place RowSet::PlaceOf(int64_t row) const {
  const auto behind = std::upper_bound(begins_.begin(), begins_.end(), row);
  const auto file = static_cast<size_t>(behind - begins_.begin()) - 1;
  return {files_[file].get(), row - begins_[file]};
}

}  // namespace ziprl
