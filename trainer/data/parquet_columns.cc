#include "trainer/data/parquet_columns.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_join.h"
#include "configs/base/status_macros.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

using Kind = ParquetType::Kind;

const ParquetType* Find(const std::vector<ParquetColumn>& columns, const std::string& key) {
  for (const ParquetColumn& column : columns) {
    if (column.name == key) return &column.type;
  }
  for (size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1)) {
    const ParquetType* outer = Find(columns, key.substr(0, dot));
    if (outer == nullptr || outer->kind != Kind::kStruct) continue;
    if (const ParquetType* inner = Find(outer->fields, key.substr(dot + 1))) return inner;
  }
  return nullptr;
}

bool Is(const ParquetType& type, Kind kind) {
  return type.kind == kind || type.kind == Kind::kNull;
}

bool IsScalar(const ParquetType& type) { return Is(type, Kind::kText) || Is(type, Kind::kNumber); }

bool IsListOf(const ParquetType& type, bool (*element)(const ParquetType&)) {
  if (type.kind == Kind::kNull) return true;
  return type.kind == Kind::kList && type.fields.size() == 1 && element(type.fields[0].type);
}

bool IsOneOrList(const ParquetType& type) { return IsScalar(type) || IsListOf(type, IsScalar); }

bool IsPathOrBytes(const ParquetType& type) {
  return Is(type, Kind::kText) || Is(type, Kind::kBytes);
}

// "bytes", "path" and the like, whatever else stands beside them.
bool IsMedium(const ParquetType& type) {
  if (type.kind != Kind::kStruct) return IsPathOrBytes(type);
  return std::any_of(type.fields.begin(), type.fields.end(), [](const ParquetColumn& field) {
    const bool known = field.name == "bytes" || field.name == "path" || field.name == "image" ||
                       field.name == "video";
    return known && IsPathOrBytes(field.type);
  });
}

bool IsMedia(const ParquetType& type) { return IsMedium(type) || IsListOf(type, IsMedium); }

bool IsTurn(const ParquetType& type) {
  if (type.kind != Kind::kStruct) return Is(type, Kind::kNull);
  const ParquetType* role = Find(type.fields, "role");
  const ParquetType* content = Find(type.fields, "content");
  if (role == nullptr || content == nullptr || !Is(*role, Kind::kText)) return false;
  return Is(*content, Kind::kText) || Is(*content, Kind::kList);
}

bool IsTurns(const ParquetType& type) { return IsListOf(type, IsTurn); }

bool IsQuestion(const ParquetType& type) { return IsOneOrList(type) || IsTurns(type); }

constexpr char kTurns[] = "a list of {role: string, content: string or list of items}";

// What stands in a column that is there.
absl::Status Require(const std::vector<ParquetColumn>& columns, const std::string& key,
                     bool (*fits)(const ParquetType&), const std::string& allowed) {
  const ParquetType* type = Find(columns, key);
  if (type == nullptr || fits(*type)) return absl::OkStatus();
  return BadColumn(key, "column '%s' is of type %s, allowed is %s", key, type->name, allowed);
}

std::string NamesOf(const std::vector<ParquetColumn>& columns) {
  return absl::StrJoin(columns, ", ", [](std::string* out, const ParquetColumn& column) {
    out->append(column.name);
  });
}

// The one that the row reader takes: turns before text.
absl::Status CheckQuestion(const std::vector<ParquetColumn>& columns, const std::string& key) {
  for (const char* name : {"messages", "prompt"}) {
    const ParquetType* type = Find(columns, name);
    if (type != nullptr && type->kind == Kind::kList) {
      return Require(columns, name, name == key ? IsQuestion : IsTurns, kTurns);
    }
  }
  const std::string allowed = std::string("string, number, a list of them or ") + kTurns;
  if (Find(columns, key) != nullptr) return Require(columns, key, IsQuestion, allowed);
  if (Find(columns, "prompt") != nullptr) return Require(columns, "prompt", IsQuestion, allowed);
  return BadColumn(key, "no column '%s' (nor 'messages', nor 'prompt'), there are: %s", key,
                   NamesOf(columns));
}

}  // namespace

absl::Status CheckParquetColumns(const std::vector<ParquetColumn>& columns,
                                 const RowOptions& options) {
  ZIPRL_RETURN_IF_ERROR(CheckQuestion(columns, options.prompt_key));
  for (const std::string& key :
       {options.answer_key, std::string("reward_model.ground_truth"), std::string("solution")}) {
    ZIPRL_RETURN_IF_ERROR(Require(columns, key, IsOneOrList, "string, number or a list of them"));
    if (Find(columns, key) != nullptr) break;
  }
  for (const std::string& key :
       {options.image_key, std::string("image"), options.video_key, std::string("video")}) {
    ZIPRL_RETURN_IF_ERROR(
        Require(columns, key, IsMedia,
                "string (a path), binary, struct<bytes: binary, path: string> or a list of them"));
  }
  for (const char* key : {"kind", "data_source", "source"}) {
    ZIPRL_RETURN_IF_ERROR(Require(columns, key, IsScalar, "string or number"));
  }
  return absl::OkStatus();
}

}  // namespace ziprl
