// Writing the safetensors format.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/safetensors.h"
#include "model/safetensors_dtype.h"

namespace ziprl {
namespace {

constexpr size_t kMaxWrite = size_t{1} << 30;  // Linux writes at most 2 GiB at once

absl::Status SystemError(const std::string& path, const char* action, int error) {
  const std::string text = absl::StrCat(path, ": ", action, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    return absl::ResourceExhaustedError(text);
  return absl::InternalError(text);
}

absl::Status WriteAll(int fd, const std::string& path, const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = write(fd, at, std::min(bytes, kMaxWrite));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError(path, "write", errno);
    at += written;
    bytes -= static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> HeaderText(const std::vector<TensorView>& tensors,
                                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorView& view : tensors) {
    uint64_t bytes = SafetensorsElementSize(view.dtype);
    if (bytes == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", view.name, "\": unknown dtype \"", view.dtype, "\""));
    }
    for (int64_t extent : view.shape) bytes *= static_cast<uint64_t>(extent);
    if (bytes != view.bytes || header.contains(view.name)) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", view.name, "\": ", view.bytes,
                                                     " bytes given, its shape takes ", bytes,
                                                     ", or its name is there twice"));
    }
    header[view.name] = {
        {"dtype", view.dtype}, {"shape", view.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // tensor data starts 8-byte aligned
  return text;
}

absl::Status WriteBody(int fd, const std::string& path, const std::string& header,
                       const std::vector<TensorView>& tensors, const TensorDataSource& data) {
  const uint64_t length = header.size();
  ZIPRL_RETURN_IF_ERROR(WriteAll(fd, path, &length, sizeof(length)));
  ZIPRL_RETURN_IF_ERROR(WriteAll(fd, path, header.data(), header.size()));
  for (size_t i = 0; i < tensors.size(); ++i) {
    ZIPRL_ASSIGN_OR_RETURN(const void* bytes, data(i));
    ZIPRL_RETURN_IF_ERROR(WriteAll(fd, path, bytes, tensors[i].bytes));
  }
  if (fsync(fd) != 0) return SystemError(path, "fsync", errno);
  return absl::OkStatus();
}

}  // namespace

size_t SafetensorsElementSize(std::string_view dtype) {
  struct Known {
    std::string_view name;
    size_t bytes;
  };
  static constexpr Known kKnown[] = {{"F64", 8},  {"F32", 4},     {"F16", 2},     {"BF16", 2},
                                     {"I64", 8},  {"I32", 4},     {"I16", 2},     {"I8", 1},
                                     {"U64", 8},  {"U32", 4},     {"U16", 2},     {"U8", 1},
                                     {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"C64", 8}};
  for (const Known& known : kKnown) {
    if (known.name == dtype) return known.bytes;
  }
  return 0;
}

absl::Status WriteSafetensors(const std::string& path, const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  return StreamSafetensors(path, tensors, metadata,
                           [&](size_t i) { return absl::StatusOr<const void*>(tensors[i].data); });
}

absl::Status StreamSafetensors(const std::string& path, const std::vector<TensorView>& tensors,
                               const std::map<std::string, std::string>& metadata,
                               const TensorDataSource& data) {
  const absl::StatusOr<std::string> header = HeaderText(tensors, metadata);
  if (!header.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", header.status().message()));
  }
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return SystemError(path, "open", errno);
  absl::Status written = WriteBody(fd, path, *header, tensors, data);
  if (close(fd) != 0 && written.ok()) written = SystemError(path, "close", errno);
  return written;
}

}  // namespace ziprl
