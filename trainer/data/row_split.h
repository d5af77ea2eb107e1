// Train and validation rows of the same files, told apart by the hash of a column's value: rows of
// equal value lie on one side, whatever file, place, format, seed or run they are read from.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ziprl {

class RowSet;

struct RowSplit {
  double val_fraction = 0;  // of the values of `key`, held out for validation
  std::string key;          // column, or member "a.b" of one
};

// Whether the row is held out. InvalidArgument for a row without the column.
absl::StatusOr<bool> IsHeldOut(const nlohmann::json& row, const RowSplit& split);

// The held-out rows in ascending order: one pass over the rows on `threads` threads, of Parquet
// files over that column alone. Errors name file and row; NotFound when there is none.
absl::StatusOr<std::vector<int64_t>> HeldOutRows(const RowSet& rows, const RowSplit& split,
                                                 int threads);

}  // namespace ziprl
