// Scalars as a TensorBoard event file: TFRecord frames (length, masked CRC-32C) around Event
// messages in protobuf wire format, both written by hand. Not thread-safe.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ziprl {

// CRC-32C (Castagnoli) of the bytes.
uint32_t Crc32c(const std::string& bytes);

class TensorBoardWriter {
 public:
  // Starts an event file of its own in `dir`. What earlier files of the directory say of steps from
  // `first_step` on is void (a resumed run writes them again).
  static absl::StatusOr<std::unique_ptr<TensorBoardWriter>> Open(const std::string& dir,
                                                                 int64_t first_step,
                                                                 absl::Time now);
  ~TensorBoardWriter();

  // One event with a value per name, flushed. Values are stored as fp32, TensorBoard's type.
  absl::Status Write(int64_t step, const std::map<std::string, double>& scalars, absl::Time now);

  const std::string& path() const { return path_; }

 private:
  TensorBoardWriter(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  absl::Status WriteRecord(const std::string& event);

  std::string path_;
  std::FILE* file_;
};

}  // namespace ziprl
