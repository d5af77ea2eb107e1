#include "trainer/data/row_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "model/json_reader.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;

constexpr char kColumnPayload[] = "ziprl/column";

bool HoldsBytes(const Json& value) {
  if (value.is_binary()) return true;
  if (!value.is_structured()) return false;
  return std::any_of(value.begin(), value.end(), HoldsBytes);
}

void BytesToBase64(Json& value) {
  if (value.is_binary()) {
    const auto& bytes = value.get_binary();
    value = absl::Base64Escape(
        absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  } else if (value.is_structured()) {
    for (Json& item : value) BytesToBase64(item);
  }
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* Member(const Json& object, const std::string& key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

absl::StatusOr<Json> ParseRowObject(const std::string& text) {
  if (const int nesting = JsonNesting(text); nesting > kMaxJsonNesting) {
    return absl::InvalidArgumentError(
        absl::StrFormat("JSON nested %d deep, allowed is %d", nesting, kMaxJsonNesting));
  }
  try {
    Json object = Json::parse(text);
    if (object.is_object()) return object;
    return absl::InvalidArgumentError(
        absl::StrFormat("is %s, allowed is a JSON object", object.type_name()));
  } catch (const Json::parse_error& e) {
    return absl::InvalidArgumentError(
        absl::StrFormat("broken JSON at byte %d of the row: %s", e.byte, e.what()));
  } catch (const Json::exception& e) {
    return absl::InvalidArgumentError(absl::StrFormat("broken JSON: %s", e.what()));
  }
}

const Json* FindValue(const Json& object, const std::string& key) {
  if (const Json* value = Member(object, key)) return value;
  for (size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1)) {
    const Json* outer = Member(object, key.substr(0, dot));
    const Json* inner = outer == nullptr ? nullptr : FindValue(*outer, key.substr(dot + 1));
    if (inner != nullptr) return inner;
  }
  return nullptr;
}

std::string JsonText(const Json& value) {
  if (!HoldsBytes(value)) return Dump(value);
  Json copy = value;
  BytesToBase64(copy);
  return Dump(copy);
}

absl::Status AboutColumn(const std::string& column, absl::Status status) {
  if (!status.ok()) status.SetPayload(kColumnPayload, absl::Cord(column));
  return status;
}

std::string ColumnOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kColumnPayload);
  return payload.has_value() ? std::string(*payload) : "";
}

}  // namespace ziprl
