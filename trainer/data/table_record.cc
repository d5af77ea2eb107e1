#include "trainer/data/table_record.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace ziprl {
namespace {

// Appends what stands in quotes from `at` on; returns the place behind the closing quote.
size_t TakeQuoted(absl::string_view record, size_t at, std::string& field) {
  while (at < record.size()) {
    const size_t quote = std::min(record.find('"', at), record.size());
    field.append(record.data() + at, quote - at);
    const bool doubled = quote + 1 < record.size() && record[quote + 1] == '"';
    if (!doubled) return std::min(quote + 1, record.size());
    field.push_back('"');
    at = quote + 2;
  }
  return at;
}

}  // namespace

std::vector<std::string> SplitRecord(absl::string_view record) {
  if (!record.empty() && record.back() == '\r') record.remove_suffix(1);
  std::vector<std::string> fields;
  size_t at = 0;
  while (true) {
    std::string& field = fields.emplace_back();
    if (at < record.size() && record[at] == '"') at = TakeQuoted(record, at + 1, field);
    const size_t tab = std::min(record.find('\t', at), record.size());
    field.append(record.data() + at, tab - at);
    if (tab == record.size()) return fields;
    at = tab + 1;
  }
}

std::string TableField(absl::string_view value) {
  if (value.find_first_of("\"\t\r\n") == absl::string_view::npos) return std::string(value);
  return absl::StrCat("\"", absl::StrReplaceAll(value, {{"\"", "\"\""}}), "\"");
}

}  // namespace ziprl
