#include "kernels/comm/operation.h"

#include "absl/strings/str_cat.h"

namespace ziprl::comm {

std::string Operation::ToString() const {
  std::string step;
  if (label.step >= 0) step = absl::StrCat(", step ", label.step);
  return absl::StrCat(kind, " '", label.what, "' #", sequence, " of '", communicator, "'", step,
                      ", ", bytes, " bytes");
}

}  // namespace ziprl::comm
