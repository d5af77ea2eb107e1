// Early return on error. ZIPRL_ prefix: torch, abseil and glog all define the short names.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define ZIPRL_RETURN_IF_ERROR(expr)                                                     \
  do {                                                                                  \
    if (absl::Status ziprl_status_ = (expr); !ziprl_status_.ok()) return ziprl_status_; \
  } while (false)

#define ZIPRL_CONCAT_INNER_(a, b) a##b
#define ZIPRL_CONCAT_(a, b) ZIPRL_CONCAT_INNER_(a, b)

// ZIPRL_ASSIGN_OR_RETURN(auto x, F()); declares or assigns x, or returns F's error.
#define ZIPRL_ASSIGN_OR_RETURN(lhs, expr) \
  ZIPRL_ASSIGN_OR_RETURN_IMPL_(ZIPRL_CONCAT_(ziprl_or_, __LINE__), lhs, expr)
#define ZIPRL_ASSIGN_OR_RETURN_IMPL_(var, lhs, expr) \
  auto var = (expr);                                 \
  if (!var.ok()) return std::move(var).status();     \
  lhs = *std::move(var)
