// Programmer errors in a call of an op: one line on stderr naming op and values, then abort.
#pragma once

#include <cstdint>

namespace ziprl::kernels {

[[noreturn]] void CheckFailed(const char* op, const char* condition, int64_t given);

}  // namespace ziprl::kernels

// given: the value that made the condition false.
#define ZIPRL_KERNEL_CHECK(op, condition, given)                                     \
  do {                                                                               \
    if (!(condition)) ::ziprl::kernels::CheckFailed(op, #condition, int64_t{given}); \
  } while (false)
