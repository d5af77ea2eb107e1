#include "trainer/jsonl_log.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

bool IsUpTo(absl::string_view line, int64_t last_step) {
  const nlohmann::json object =
      nlohmann::json::parse(line.data(), line.data() + line.size(), nullptr, false);
  if (!object.is_object() || !object.contains("step") || !object["step"].is_number()) return false;
  return object["step"].get<int64_t>() <= last_step;
}

absl::Status KeepUpTo(const std::string& path, int64_t last_step) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  ZIPRL_RETURN_IF_ERROR(text.status());
  std::string kept;
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    if (IsUpTo(line, last_step)) kept.append(line.data(), line.size()).push_back('\n');
  }
  if (kept == *text) return absl::OkStatus();
  return WriteFileAtomically(path, kept);
}

}  // namespace

absl::StatusOr<std::unique_ptr<JsonlLog>> JsonlLog::Open(const std::string& path,
                                                         int64_t last_step) {
  ZIPRL_RETURN_IF_ERROR(KeepUpTo(path, last_step));
  std::FILE* file = std::fopen(path.c_str(), "ab");
  if (file == nullptr) return absl::ErrnoToStatus(errno, path + ": open");
  return std::unique_ptr<JsonlLog>(new JsonlLog(path, file));
}

JsonlLog::~JsonlLog() { std::fclose(file_); }

absl::Status JsonlLog::Write(const std::string& line) {
  if (std::fwrite(line.data(), 1, line.size(), file_) != line.size() ||
      std::fputc('\n', file_) == EOF || std::fflush(file_) != 0) {
    return absl::ErrnoToStatus(errno, path_ + ": write");
  }
  return absl::OkStatus();
}

}  // namespace ziprl
