// Benchmarks end with the first error.
#pragma once

#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/status/statusor.h"

namespace ziprl {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::cerr << value.status().message() << "\n";
    std::exit(1);
  }
  return *std::move(value);
}

}  // namespace ziprl
