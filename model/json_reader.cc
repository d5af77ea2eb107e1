#include "model/json_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ziprl {
namespace {

const nlohmann::json kNull;

}  // namespace

JsonReader::JsonReader(const nlohmann::json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (!object_.is_object()) Fail(absl::StrCat("expected a JSON object, got ", object_.type_name()));
}

bool JsonReader::Has(const char* key) const { return !At(key).is_null(); }

const nlohmann::json& JsonReader::At(const char* key) const {
  asked_.insert(key);
  if (!object_.is_object()) return kNull;
  const auto it = object_.find(key);
  return it == object_.end() ? kNull : *it;
}

int JsonReader::Int(const char* key, int min, int max) {
  if (Has(key)) return Int(key, min, max, min);
  Fail(absl::StrCat("key \"", key, "\" is missing"));
  return min;
}

int JsonReader::Int(const char* key, int min, int max, int fallback) {
  const nlohmann::json& value = At(key);
  if (value.is_null()) return fallback;
  if (!value.is_number_integer() || value.get<double>() < min || value.get<double>() > max) {
    Fail(absl::StrCat("\"", key, "\" is ", value.dump(), ", allowed is an integer from ", min,
                      " to ", max));
    return fallback;
  }
  return value.get<int>();
}

double JsonReader::Number(const char* key, double fallback) {
  const nlohmann::json& value = At(key);
  if (value.is_null()) return fallback;
  if (!value.is_number()) {
    Fail(absl::StrCat("\"", key, "\" is ", value.dump(), ", allowed is a number"));
    return fallback;
  }
  return value.get<double>();
}

bool JsonReader::Bool(const char* key, bool fallback) {
  const nlohmann::json& value = At(key);
  if (value.is_null()) return fallback;
  if (!value.is_boolean()) {
    Fail(absl::StrCat("\"", key, "\" is ", value.dump(), ", allowed is true or false"));
    return fallback;
  }
  return value.get<bool>();
}

std::string JsonReader::String(const char* key, const std::string& fallback) {
  const nlohmann::json& value = At(key);
  if (value.is_null()) return fallback;
  if (!value.is_string()) {
    Fail(absl::StrCat("\"", key, "\" is ", value.dump(), ", allowed is a string"));
    return fallback;
  }
  return value.get<std::string>();
}

std::vector<int> JsonReader::IntList(const char* key) {
  const nlohmann::json& value = At(key);
  if (value.is_null()) return {};
  std::vector<int> list;
  const auto is_small_int = [](const nlohmann::json& v) {
    return v.is_number_integer() && v.get<double>() >= INT32_MIN && v.get<double>() <= INT32_MAX;
  };
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_small_int)) {
    Fail(absl::StrCat("\"", key, "\" is ", value.dump(), ", allowed is a list of integers"));
    return {};
  }
  for (const nlohmann::json& v : value) list.push_back(v.get<int>());
  return list;
}

void JsonReader::RequireIfPresent(const char* key, const nlohmann::json& allowed) {
  const nlohmann::json& value = At(key);
  if (value.is_null() || value == allowed) return;
  Fail(
      absl::StrCat("unsupported \"", key, "\": ", value.dump(), ", supported is ", allowed.dump()));
}

void JsonReader::RefuseUnread(std::span<const std::string_view> harmless, const JsonReader* other) {
  if (!object_.is_object()) return;
  for (const auto& [key, value] : object_.items()) {
    const bool off = value.is_null() || value == false ||
                     (!value.is_primitive() && value.empty()) || value == "";
    const bool known = asked_.contains(key) || (other != nullptr && other->asked_.contains(key)) ||
                       std::find(harmless.begin(), harmless.end(), key) != harmless.end();
    if (off || known || key.starts_with("_")) continue;
    Fail(absl::StrCat("unknown option \"", key, "\": ", value.dump().substr(0, 200),
                      "; what it changes in the computation is not implemented here"));
  }
}

void JsonReader::Fail(const std::string& message) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(where_, ": ", message));
}

void JsonReader::Take(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

int JsonNesting(std::string_view text) {
  int depth = 0, most = 0;
  bool in_text = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      most = std::max(most, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return most;
}

absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const std::string& where) {
  if (const int nesting = JsonNesting(text); nesting > kMaxJsonNesting) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": JSON nested ", nesting, " deep, allowed is ", kMaxJsonNesting));
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& e) {
    const auto before = static_cast<std::ptrdiff_t>(std::min(e.byte - (e.byte > 0), text.size()));
    const auto line = 1 + std::count(text.begin(), text.begin() + before, '\n');
    return absl::InvalidArgumentError(absl::StrCat(where, ":", line, ": broken JSON: ", e.what()));
  } catch (const nlohmann::json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": broken JSON: ", e.what()));
  }
}

}  // namespace ziprl
