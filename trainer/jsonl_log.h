// An append-only JSONL file whose lines carry "step": metrics.jsonl, completions.jsonl. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ziprl {

class JsonlLog {
 public:
  // Lines of an existing file with a step above `last_step` are removed (a resumed run writes them
  // again), and so is a last line that a crash cut short; -1 starts afresh.
  static absl::StatusOr<std::unique_ptr<JsonlLog>> Open(const std::string& path, int64_t last_step);
  ~JsonlLog();

  // Appends the line and hands it to the system.
  absl::Status Write(const std::string& line);

 private:
  JsonlLog(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}

  std::string path_;
  std::FILE* file_;
};

}  // namespace ziprl
