// The optimizer's files of a checkpoint, one a rank: whatever number of ranks wrote them, any
// number reads. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/safetensors.h"

namespace ziprl {

// "optimizer-00002-of-00004.safetensors" for rank 1 of 4.
std::string OptimizerFileName(int rank, int ranks);

// "exp_avg.<name>", and "@<offset>" behind it for a part of a parameter (offset >= 0).
std::string OptimizerTensorName(const std::string& kind, const std::string& name, int64_t offset);

class OptimizerFiles {
 public:
  // All files of DIR. DataLoss names a rank's file that is missing, files of different ranks'
  // counts, different numbers of updates, and tensors that are no fp32.
  static absl::StatusOr<OptimizerFiles> Open(const std::string& dir);

  int64_t updates() const { return updates_; }

  // Elements offset ... offset + count of a parameter's `kind`, from the parts that hold them.
  // DataLoss names the first element that no file holds.
  absl::Status Read(const std::string& kind, const std::string& name, int64_t offset, int64_t count,
                    float* out) const;

 private:
  struct Part {
    int64_t count = 0;
    const void* data = nullptr;
  };
  absl::Status AddFile(const std::string& path);

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, std::map<int64_t, Part>> parts_;  // "kind.name" -> offset -> part
  int64_t updates_ = -1;
};

}  // namespace ziprl
