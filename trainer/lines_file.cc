#include "trainer/lines_file.h"

#include <cstdio>
#include <utility>

#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "trainer/jsonl_log.h"

namespace ziprl {

LinesFile::LinesFile(std::string path) : path_(std::move(path)) {}

LinesFile::LinesFile(LinesFile&& other) = default;

LinesFile::~LinesFile() {
  if (log_ != nullptr) std::remove(Partial().c_str());
}

absl::Status LinesFile::Open() {
  if (path_.empty()) return absl::OkStatus();
  ZIPRL_ASSIGN_OR_RETURN(log_, JsonlLog::Open(Partial(), -1));
  return absl::OkStatus();
}

absl::Status LinesFile::Write(const std::string& line) {
  return log_ == nullptr ? absl::OkStatus() : log_->Write(line);
}

absl::Status LinesFile::Close() {
  if (log_ == nullptr) return absl::OkStatus();
  log_.reset();
  return RenameDurably(Partial(), path_);
}

}  // namespace ziprl
