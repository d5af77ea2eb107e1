// What the two halves of proto/convert.h share: errors that name a field.
#pragma once

#include <cmath>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ziprl {

template <typename... Parts>
absl::Status BadField(const std::string& field, const char* name, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(field, ".", name, ": ", parts...));
}

inline absl::Status CheckFinite(const std::string& field, const char* name, double value) {
  if (std::isfinite(value)) return absl::OkStatus();
  return BadField(field, name, value, " is not finite");
}

// A sparsity threshold.
inline absl::Status CheckThreshold(const std::string& field, double p) {
  if (p > 0.0 && p <= 1.0) return absl::OkStatus();
  return BadField(field, "p", p, ", allowed is (0, 1]");
}

// No id is negative.
template <typename Ids>
absl::Status CheckTokenIds(const std::string& field, const Ids& ids) {
  for (int i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0) return BadField(field, "token_ids", "[", i, "] is ", ids[i]);
  }
  return absl::OkStatus();
}

inline std::string Element(const std::string& field, const char* name, int index) {
  return absl::StrCat(field, ".", name, "[", index, "]");
}

}  // namespace ziprl
