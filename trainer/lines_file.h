// A text file that appears under its name only when it is whole: lines go to NAME.partial, which
// Close renames and the destructor removes. Not thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"

namespace ziprl {

class JsonlLog;

class LinesFile {
 public:
  // An empty path: everything below does nothing.
  explicit LinesFile(std::string path);
  ~LinesFile();
  LinesFile(LinesFile&& other);

  absl::Status Open();
  absl::Status Write(const std::string& line);
  absl::Status Close();

 private:
  std::string Partial() const { return path_ + ".partial"; }
  std::string path_;
  std::unique_ptr<JsonlLog> log_;
};

}  // namespace ziprl
