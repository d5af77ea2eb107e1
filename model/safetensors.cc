#include "model/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/safetensors_dtype.h"

namespace ziprl {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxHeader = 100'000'000;  // the reference implementation's limit

absl::Status Bad(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

absl::StatusOr<std::pair<void*, size_t>> MapFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return Bad(path, "not a regular file");
  }
  const size_t size = static_cast<size_t>(info.st_size);
  if (size < 8) {
    close(fd);
    return Bad(path, absl::StrCat("truncated: ", size, " bytes, a safetensors file starts with 8"));
  }
  void* map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int map_errno = errno;
  close(fd);
  if (map == MAP_FAILED)
    return absl::InternalError(absl::StrCat(path, ": ", std::strerror(map_errno)));
  return std::make_pair(map, size);
}

bool IsCount(const json& value) { return value.is_number_unsigned(); }

// Bytes of a tensor of this shape, or an error when the product does not fit.
absl::StatusOr<uint64_t> ByteCount(const std::vector<int64_t>& shape, size_t element) {
  uint64_t bytes = element;
  for (int64_t extent : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes)) {
      return absl::InvalidArgumentError("the size of its shape overflows 64 bits");
    }
  }
  return bytes;
}

// One header entry -> view. `data` is the buffer of `data_size` bytes behind the header.
absl::StatusOr<TensorView> ParseEntry(const std::string& name, const json& entry, const char* data,
                                      uint64_t data_size) {
  const auto bad = [](const std::string& what) { return absl::InvalidArgumentError(what); };
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    return bad("its header entry lacks dtype, shape or data_offsets");
  }
  TensorView view;
  view.name = name;
  if (!entry["dtype"].is_string()) return bad("dtype is no string");
  view.dtype = entry["dtype"].get<std::string>();
  const size_t element = SafetensorsElementSize(view.dtype);
  if (element == 0) return bad(absl::StrCat("unknown dtype \"", view.dtype, "\""));
  const json& shape = entry["shape"];
  if (!shape.is_array() || !std::all_of(shape.begin(), shape.end(), IsCount)) {
    return bad(absl::StrCat("shape ", shape.dump(), " is no list of counts"));
  }
  for (const json& extent : shape) {
    const uint64_t value = extent.get<uint64_t>();
    if (value > INT64_MAX) return bad(absl::StrCat("extent ", value, " is too large"));
    view.shape.push_back(static_cast<int64_t>(value));
  }
  const json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !IsCount(offsets[0]) || !IsCount(offsets[1])) {
    return bad(absl::StrCat("data_offsets ", offsets.dump(), " is no pair of counts"));
  }
  const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  if (begin > end || end > data_size) {
    return bad(absl::StrCat("data_offsets [", begin, ", ", end, "] lie outside the file's ",
                            data_size, " data bytes (truncated file?)"));
  }
  ZIPRL_ASSIGN_OR_RETURN(const uint64_t bytes, ByteCount(view.shape, element));
  if (bytes != end - begin) {
    return bad(absl::StrCat("shape ", shape.dump(), " of ", view.dtype, " takes ", bytes,
                            " bytes, data_offsets give ", end - begin));
  }
  view.data = data + begin;
  view.bytes = bytes;
  return view;
}

// Tensors in file order must tile the data without holes, overlaps or a rest, as the format
// demands.
absl::Status CheckTiling(const std::vector<TensorView>& tensors, const char* data,
                         uint64_t data_size) {
  const char* at = data;
  for (const TensorView& view : tensors) {
    if (view.data != at) {
      const char* kind =
          view.data < at ? "overlaps the tensor before it" : "leaves a hole before it";
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", view.name, "\" ", kind, ": it starts at ",
                       static_cast<const char*>(view.data) - data, ", expected ", at - data));
    }
    at += view.bytes;
  }
  if (static_cast<uint64_t>(at - data) != data_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the tensors take ", at - data, " data bytes, the file has ", data_size));
  }
  return absl::OkStatus();
}

absl::StatusOr<json> ParseHeader(const char* map, size_t size) {
  uint64_t length = 0;
  std::memcpy(&length, map, sizeof(length));
  if (length > kMaxHeader || length > size - 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("the header claims ", length, " bytes, the file has ", size - 8,
                     " behind the length and ", kMaxHeader, " are allowed"));
  }
  std::vector<std::string> keys;
  const auto find_repeats = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::key && depth == 1) keys.push_back(parsed.get<std::string>());
    return true;
  };
  json header;
  try {
    header = json::parse(map + 8, map + 8 + length, find_repeats);
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("broken header: ", e.what()));
  }
  if (!header.is_object()) return absl::InvalidArgumentError("the header is no JSON object");
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", *twice, "\" is there twice"));
  }
  return header;
}

absl::Status ParseMetadata(const json& object, std::map<std::string, std::string>* metadata) {
  if (!object.is_object()) return absl::InvalidArgumentError("__metadata__ is no JSON object");
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat("__metadata__ \"", key, "\" is no string"));
    }
    (*metadata)[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  auto file = std::unique_ptr<SafetensorsFile>(new SafetensorsFile());
  file->path_ = path;
  ZIPRL_ASSIGN_OR_RETURN(const auto mapping, MapFile(path));
  file->map_ = mapping.first;
  file->size_ = mapping.second;
  const char* map = static_cast<const char*>(file->map_);
  const absl::StatusOr<json> header = ParseHeader(map, file->size_);
  if (!header.ok()) return Bad(path, std::string(header.status().message()));
  uint64_t length = 0;
  std::memcpy(&length, map, sizeof(length));
  const char* data = map + 8 + length;
  const uint64_t data_size = file->size_ - 8 - length;
  for (const auto& [name, entry] : header->items()) {
    if (name == "__metadata__") {
      const absl::Status parsed = ParseMetadata(entry, &file->metadata_);
      if (!parsed.ok()) return Bad(path, std::string(parsed.message()));
      continue;
    }
    absl::StatusOr<TensorView> view = ParseEntry(name, entry, data, data_size);
    if (!view.ok())
      return Bad(path, absl::StrCat("tensor \"", name, "\": ", view.status().message()));
    file->tensors_.push_back(*std::move(view));
  }
  std::stable_sort(file->tensors_.begin(), file->tensors_.end(),
                   [](const TensorView& a, const TensorView& b) {
                     return std::make_pair(a.data, a.bytes) < std::make_pair(b.data, b.bytes);
                   });
  const absl::Status tiled = CheckTiling(file->tensors_, data, data_size);
  if (!tiled.ok()) return Bad(path, std::string(tiled.message()));
  for (size_t i = 0; i < file->tensors_.size(); ++i) file->index_[file->tensors_[i].name] = i;
  return file;
}

SafetensorsFile::~SafetensorsFile() {
  if (map_ != nullptr) munmap(map_, size_);
}

void SafetensorsFile::Release(const void* begin, size_t bytes) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page;
  const auto end = (reinterpret_cast<uintptr_t>(begin) + bytes) / page * page;
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

const TensorView* SafetensorsFile::Find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace ziprl
