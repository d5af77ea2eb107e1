#include "trainer/optimizer_files.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;

// How many ranks wrote DIR, from the name of one of its files; 0 if there is none.
int RanksOf(const std::string& dir) {
  int rank = 0, ranks = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    const std::string name = entry.path().filename().string();
    if (std::sscanf(name.c_str(), "optimizer-%5d-of-%5d.safetensors", &rank, &ranks) == 2) {
      return ranks;
    }
  }
  return 0;
}

}  // namespace

std::string OptimizerFileName(int rank, int ranks) {
  return absl::StrFormat("optimizer-%05d-of-%05d.safetensors", rank + 1, ranks);
}

std::string OptimizerTensorName(const std::string& kind, const std::string& name, int64_t offset) {
  return offset < 0 ? absl::StrCat(kind, ".", name) : absl::StrCat(kind, ".", name, "@", offset);
}

absl::StatusOr<OptimizerFiles> OptimizerFiles::Open(const std::string& dir) {
  OptimizerFiles files;
  const int ranks = RanksOf(dir);
  if (ranks < 1) {
    return absl::DataLossError(absl::StrCat(dir, ": holds no ", OptimizerFileName(0, 1)));
  }
  for (int rank = 0; rank < ranks; ++rank) {
    ZIPRL_RETURN_IF_ERROR(files.AddFile(absl::StrCat(dir, "/", OptimizerFileName(rank, ranks))));
  }
  return files;
}

absl::Status OptimizerFiles::AddFile(const std::string& path) {
  if (!fs::exists(path)) return absl::DataLossError(absl::StrCat(path, ": is missing"));
  ZIPRL_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(path));
  int64_t updates = 0;
  const auto found = file->metadata().find("updates");
  if (found == file->metadata().end() || !absl::SimpleAtoi(found->second, &updates)) {
    return absl::DataLossError(absl::StrCat(path, ": has no count of updates"));
  }
  if (updates_ >= 0 && updates != updates_) {
    return absl::DataLossError(
        absl::StrCat(path, ": is of ", updates, " updates, other ranks' of ", updates_));
  }
  updates_ = updates;
  for (const TensorView& view : file->tensors()) {
    if (view.dtype != "F32") {
      return absl::DataLossError(
          absl::StrCat(path, ": tensor '", view.name, "' has dtype ", view.dtype, ", not F32"));
    }
    const size_t mark = view.name.rfind('@');
    int64_t offset = 0;
    if (mark != std::string::npos && !absl::SimpleAtoi(view.name.substr(mark + 1), &offset)) {
      return absl::DataLossError(absl::StrCat(path, ": tensor '", view.name, "' has no offset"));
    }
    parts_[view.name.substr(0, mark)][offset] = {static_cast<int64_t>(view.bytes / sizeof(float)),
                                                 view.data};
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::Status OptimizerFiles::Read(const std::string& kind, const std::string& name, int64_t offset,
                                  int64_t count, float* out) const {
  const std::string key = OptimizerTensorName(kind, name, -1);
  const auto parts = parts_.find(key);
  int64_t next = offset;
  while (parts != parts_.end() && next < offset + count) {
    auto part = parts->second.upper_bound(next);
    if (part == parts->second.begin()) break;
    --part;
    const int64_t inside = next - part->first;
    const int64_t take = std::min(part->second.count - inside, offset + count - next);
    if (take <= 0) break;
    std::memcpy(out + (next - offset),
                static_cast<const char*>(part->second.data) + inside * sizeof(float),
                take * sizeof(float));
    next += take;
  }
  if (next == offset + count) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the optimizer state has no element ", next, " of '", key, "'"));
}

}  // namespace ziprl
