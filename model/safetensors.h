// The safetensors format: an 8-byte little-endian header length, a JSON header, raw tensor bytes.
// Readers map the file; the header is never trusted (lengths, offsets, overlaps, dtypes). No torch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ziprl {

struct TensorView {
  std::string name;
  std::string dtype;  // "F32", "BF16", "F16", "I64", "I32", "U8", ...
  std::vector<int64_t> shape;
  const void* data = nullptr;
  size_t bytes = 0;
};

class SafetensorsFile {
 public:
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  ~SafetensorsFile();
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in file order
  const TensorView* Find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Lets go of the memory that [begin, begin + bytes) of the map takes; reading it again works.
  void Release(const void* begin, size_t bytes) const;

 private:
  SafetensorsFile() = default;
  std::string path_;
  void* map_ = nullptr;
  size_t size_ = 0;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t, std::less<>> index_;  // name -> place in tensors_
  std::map<std::string, std::string> metadata_;
};

// Writes and fsyncs `path` (callers rename a temporary directory around it). Tensors in the given
// order; same input, same bytes. ResourceExhausted when the disk is full.
absl::Status WriteSafetensors(const std::string& path, const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata);

// The same with the data of tensor i asked for when it is written, so that one tensor at a time is
// held: what `data(i)` gives must hold until the next call. The views' own data is not looked at.
using TensorDataSource = std::function<absl::StatusOr<const void*>(size_t i)>;
absl::Status StreamSafetensors(const std::string& path, const std::vector<TensorView>& tensors,
                               const std::map<std::string, std::string>& metadata,
                               const TensorDataSource& data);

}  // namespace ziprl
