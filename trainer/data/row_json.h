// Data rows as JSON objects: text -> object, columns by key, values as text. Rows of Parquet files
// come as the same objects, their bytes as JSON's binary values.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"

namespace ziprl {

// InvalidArgument names the byte for broken JSON, and what was given for anything but an object.
absl::StatusOr<nlohmann::json> ParseRowObject(const std::string& text);

// The value of a column, nullptr where there is none or it is null. "a.b" is the column of that
// name, or member b of column a.
const nlohmann::json* FindValue(const nlohmann::json& object, const std::string& key);

// JSON text of any value: bytes as base64, text that is no UTF-8 with U+FFFD.
std::string JsonText(const nlohmann::json& value);

// Errors of a row know the column they are about.
absl::Status AboutColumn(const std::string& column, absl::Status status);
std::string ColumnOf(const absl::Status& status);  // empty where none is known

template <typename... Args>
absl::Status BadColumn(const std::string& column, const absl::FormatSpec<Args...>& format,
                       const Args&... args) {
  return AboutColumn(column, absl::InvalidArgumentError(absl::StrFormat(format, args...)));
}

}  // namespace ziprl
