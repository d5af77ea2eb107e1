// The Parquet plug-in: trainer/data/parquet_reader.h on Arrow's C++. A library of its own, loaded
// on demand, so that programs start without Arrow.
#include <arrow/api.h>
#include <arrow/io/file.h>
#include <arrow/util/utf8.h>
#include <parquet/arrow/reader.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "trainer/data/parquet_reader.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;
using Kind = ParquetType::Kind;

// ---- types ----

ParquetType TypeOf(const arrow::DataType& type);

Kind KindOf(const arrow::DataType& type) {
  if (arrow::is_integer(type.id()) || arrow::is_floating(type.id())) return Kind::kNumber;
  switch (type.id()) {
    case arrow::Type::NA:
      return Kind::kNull;
    case arrow::Type::BOOL:
      return Kind::kNumber;
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::STRING_VIEW:
      return Kind::kText;
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::BINARY_VIEW:
    case arrow::Type::FIXED_SIZE_BINARY:
      return Kind::kBytes;
    case arrow::Type::LIST:
    case arrow::Type::LARGE_LIST:
    case arrow::Type::FIXED_SIZE_LIST:
      return Kind::kList;
    case arrow::Type::STRUCT:
      return Kind::kStruct;
    default:
      return Kind::kOther;
  }
}

// What a value is stored as: the type behind dictionaries and extensions.
const arrow::DataType& Plain(const arrow::DataType& type) {
  if (type.id() == arrow::Type::DICTIONARY) {
    return Plain(*static_cast<const arrow::DictionaryType&>(type).value_type());
  }
  if (type.id() == arrow::Type::EXTENSION) {
    return Plain(*static_cast<const arrow::ExtensionType&>(type).storage_type());
  }
  return type;
}

ParquetType TypeOf(const arrow::DataType& given) {
  const arrow::DataType& type = Plain(given);
  ParquetType out;
  out.kind = KindOf(type);
  out.name = given.ToString();
  if (out.kind == Kind::kList || out.kind == Kind::kStruct) {
    for (const auto& field : type.fields()) {
      out.fields.push_back({field->name(), TypeOf(*field->type())});
    }
  }
  return out;
}

// ---- values ----

Json ValueAt(const arrow::Array& array, int64_t row);

Json Bytes(std::string_view bytes) {
  return Json::binary(std::vector<uint8_t>(bytes.begin(), bytes.end()));
}

// Text that is no UTF-8 stays bytes: JSON could not be written of it.
Json Text(std::string_view text) {
  return arrow::util::ValidateUTF8(text) ? Json(std::string(text)) : Bytes(text);
}

template <typename Array>
Json ListAt(const arrow::Array& array, int64_t row) {
  const auto& list = static_cast<const Array&>(array);
  Json out = Json::array();
  for (int64_t i = 0; i < list.value_length(row); ++i) {
    out.push_back(ValueAt(*list.values(), list.value_offset(row) + i));
  }
  return out;
}

Json StructAt(const arrow::Array& array, int64_t row) {
  const auto& record = static_cast<const arrow::StructArray&>(array);
  Json out = Json::object();
  for (int i = 0; i < record.num_fields(); ++i) {
    out[record.struct_type()->field(i)->name()] = ValueAt(*record.field(i), row);
  }
  return out;
}

template <typename Array>
auto ViewAt(const arrow::Array& array, int64_t row) {
  return static_cast<const Array&>(array).GetView(row);
}

Json NumberAt(const arrow::Array& array, int64_t row) {
  switch (array.type_id()) {
    case arrow::Type::INT8:
      return ViewAt<arrow::Int8Array>(array, row);
    case arrow::Type::INT16:
      return ViewAt<arrow::Int16Array>(array, row);
    case arrow::Type::INT32:
      return ViewAt<arrow::Int32Array>(array, row);
    case arrow::Type::INT64:
      return ViewAt<arrow::Int64Array>(array, row);
    case arrow::Type::UINT8:
      return ViewAt<arrow::UInt8Array>(array, row);
    case arrow::Type::UINT16:
      return ViewAt<arrow::UInt16Array>(array, row);
    case arrow::Type::UINT32:
      return ViewAt<arrow::UInt32Array>(array, row);
    case arrow::Type::UINT64:
      return ViewAt<arrow::UInt64Array>(array, row);
    case arrow::Type::FLOAT:
      return ViewAt<arrow::FloatArray>(array, row);
    case arrow::Type::DOUBLE:
      return ViewAt<arrow::DoubleArray>(array, row);
    default:
      return nullptr;
  }
}

Json ValueAt(const arrow::Array& array, int64_t row) {
  if (array.IsNull(row)) return nullptr;
  switch (array.type_id()) {
    case arrow::Type::BOOL:
      return ViewAt<arrow::BooleanArray>(array, row);
    case arrow::Type::STRING:
      return Text(ViewAt<arrow::StringArray>(array, row));
    case arrow::Type::LARGE_STRING:
      return Text(ViewAt<arrow::LargeStringArray>(array, row));
    case arrow::Type::STRING_VIEW:
      return Text(ViewAt<arrow::StringViewArray>(array, row));
    case arrow::Type::BINARY:
      return Bytes(ViewAt<arrow::BinaryArray>(array, row));
    case arrow::Type::LARGE_BINARY:
      return Bytes(ViewAt<arrow::LargeBinaryArray>(array, row));
    case arrow::Type::BINARY_VIEW:
      return Bytes(ViewAt<arrow::BinaryViewArray>(array, row));
    case arrow::Type::FIXED_SIZE_BINARY:
      return Bytes(ViewAt<arrow::FixedSizeBinaryArray>(array, row));
    case arrow::Type::LIST:
      return ListAt<arrow::ListArray>(array, row);
    case arrow::Type::LARGE_LIST:
      return ListAt<arrow::LargeListArray>(array, row);
    case arrow::Type::FIXED_SIZE_LIST:
      return ListAt<arrow::FixedSizeListArray>(array, row);
    case arrow::Type::MAP:
      return ListAt<arrow::MapArray>(array, row);
    case arrow::Type::STRUCT:
      return StructAt(array, row);
    case arrow::Type::DICTIONARY: {
      const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
      return ValueAt(*coded.dictionary(), coded.GetValueIndex(row));
    }
    case arrow::Type::EXTENSION:
      return ValueAt(*static_cast<const arrow::ExtensionArray&>(array).storage(), row);
    default:
      break;
  }
  if (arrow::is_integer(array.type_id()) || array.type_id() == arrow::Type::FLOAT ||
      array.type_id() == arrow::Type::DOUBLE) {
    return NumberAt(array, row);
  }
  const auto scalar = array.GetScalar(row);  // times, decimals, half floats
  return scalar.ok() ? Json((*scalar)->ToString()) : Json();
}

// ---- the seam ----

class Group : public ParquetGroup {
 public:
  explicit Group(std::shared_ptr<arrow::Table> table) : table_(std::move(table)) {}

  Json Row(int64_t row) const override {
    Json out = Json::object();
    for (int i = 0; i < table_->num_columns(); ++i) {
      int64_t at = row;
      for (const auto& chunk : table_->column(i)->chunks()) {
        if (at < chunk->length()) {
          out[table_->field(i)->name()] = ValueAt(*chunk, at);
          break;
        }
        at -= chunk->length();
      }
    }
    return out;
  }

 private:
  const std::shared_ptr<arrow::Table> table_;
};

class Reader : public ParquetReader {
 public:
  arrow::Status Open(const std::string& path) {
    // The system's allocator gives large blocks back at once; Arrow's keep them.
    arrow::MemoryPool* pool = arrow::system_memory_pool();
    ARROW_ASSIGN_OR_RAISE(auto file, arrow::io::ReadableFile::Open(path, pool));
    parquet::ArrowReaderProperties properties(/*use_threads=*/false);
    properties.set_pre_buffer(false);
    parquet::arrow::FileReaderBuilder builder;
    ARROW_RETURN_NOT_OK(builder.Open(std::move(file), parquet::ReaderProperties(pool)));
    builder.memory_pool(pool)->properties(properties);
    ARROW_ASSIGN_OR_RAISE(reader_, builder.Build());
    metadata_ = reader_->parquet_reader()->metadata();
    std::shared_ptr<arrow::Schema> schema;
    ARROW_RETURN_NOT_OK(reader_->GetSchema(&schema));
    for (const auto& field : schema->fields()) {
      columns_.push_back({field->name(), TypeOf(*field->type())});
    }
    return arrow::Status::OK();
  }

  const std::vector<ParquetColumn>& columns() const override { return columns_; }
  int groups() const override { return metadata_->num_row_groups(); }
  int64_t rows(int group) const override { return metadata_->RowGroup(group)->num_rows(); }

  // Encoded bytes count what repeats once; the offsets of texts come on top.
  int64_t bytes(int group) const override {
    const auto row_group = metadata_->RowGroup(group);
    return row_group->total_byte_size() + row_group->num_rows() * metadata_->num_columns() * 16;
  }

  std::unique_ptr<ParquetGroup> Decode(int group, const std::vector<std::string>& columns,
                                       std::string* error) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      auto table = columns.empty() ? reader_->ReadRowGroup(group)
                                   : reader_->ReadRowGroup(group, LeavesOf(columns));
      if (!table.ok()) {
        *error = table.status().message();
        return nullptr;
      }
      const arrow::Status valid = (*table)->Validate();
      if (valid.ok()) return std::make_unique<Group>(*std::move(table));
      *error = valid.message();
    } catch (const std::exception& e) {
      *error = e.what();
    }
    return nullptr;
  }

 private:
  std::vector<int> LeavesOf(const std::vector<std::string>& columns) const {
    const std::set<std::string> names(columns.begin(), columns.end());
    std::vector<int> leaves;
    for (int i = 0; i < metadata_->num_columns(); ++i) {
      const auto path = metadata_->schema()->Column(i)->path()->ToDotVector();
      if (names.count(path[0]) > 0) leaves.push_back(i);
    }
    return leaves;
  }

  std::mutex mutex_;  // of the reader: Arrow does not say that it may be shared
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::shared_ptr<parquet::FileMetaData> metadata_;
  std::vector<ParquetColumn> columns_;
};

}  // namespace
}  // namespace ziprl

extern "C" __attribute__((visibility("default"))) ziprl::ParquetReader* ZiprlOpenParquet1(
    const char* path, std::string* error) {
  try {
    arrow::util::InitializeUTF8();
    auto reader = std::make_unique<ziprl::Reader>();
    const arrow::Status opened = reader->Open(path);
    if (opened.ok()) return reader.release();
    *error = opened.message();
  } catch (const std::exception& e) {
    *error = e.what();
  }
  return nullptr;
}
