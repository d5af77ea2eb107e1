#include "kernels/check.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

namespace ziprl::kernels {

void CheckFailed(const char* op, const char* condition, int64_t given) {
  std::fprintf(stderr, "kernels::%s: required %s, given %" PRId64 "\n", op, condition, given);
  std::abort();
}

}  // namespace ziprl::kernels
