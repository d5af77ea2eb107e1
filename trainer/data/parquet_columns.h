// Whether the columns of a Parquet file are of types that rows can be read from. Pure.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "trainer/data/parquet_reader.h"
#include "trainer/data/row.h"

namespace ziprl {

// InvalidArgument names the column (ColumnOf of row_json.h), the type given and those allowed.
absl::Status CheckParquetColumns(const std::vector<ParquetColumn>& columns,
                                 const RowOptions& options);

}  // namespace ziprl
