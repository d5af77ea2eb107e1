#include "trainer/benchmarks/layout.h"

#include <glob.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/option_match.h"
#include "trainer/benchmarks/text_rules.h"
#include "trainer/data/row_group_cache.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

constexpr int64_t kCacheBytes = 256 << 20;  // of decoded row groups

// The folder's own name is no pattern.
std::string Escaped(const std::string& folder) {
  std::string out;
  for (char c : folder) {
    if (absl::StrContains("*?[\\", absl::string_view(&c, 1))) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

std::vector<std::string> Glob(const std::string& pattern) {
  glob_t found;
  std::vector<std::string> paths;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  globfree(&found);
  return paths;
}

class RowList : public RowFile {
 public:
  RowList(const std::string& path, std::vector<nlohmann::json> rows)
      : RowFile(path), rows_(std::move(rows)) {}
  int64_t rows() const override { return static_cast<int64_t>(rows_.size()); }
  absl::StatusOr<nlohmann::json> Read(int64_t row) const override {
    if (row < 0 || row >= rows()) {
      return absl::OutOfRangeError(absl::StrFormat("%s: row %d of %d", path(), row, rows()));
    }
    return rows_[static_cast<size_t>(row)];
  }
  Rows ReadMany(int64_t begin, int64_t count, const std::vector<std::string>&) const override {
    Rows out;
    for (int64_t row = begin; row < std::min(begin + count, rows()); ++row) {
      out.push_back(rows_[static_cast<size_t>(row)]);
    }
    return out;
  }
  std::vector<Unit> Units() const override { return {{rows(), 0}}; }
  int64_t LineOf(int64_t) const override { return 0; }

 private:
  const std::vector<nlohmann::json> rows_;
};

const nlohmann::json* FirstOf(const nlohmann::json& row, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const nlohmann::json* value = FindValue(row, name);
    if (value != nullptr) return value;
  }
  return nullptr;
}

std::string ScalarText(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : JsonText(value);
}

bool IsScalar(const nlohmann::json& value) {
  return value.is_string() || value.is_number() || value.is_boolean();
}

absl::Status Missing(const nlohmann::json& row, const std::vector<std::string>& names) {
  std::vector<std::string> columns;
  for (const auto& [name, value] : row.items()) columns.push_back(name);
  return BadColumn(names[0], "no column '%s', or it is empty; the row has %s",
                   absl::StrJoin(names, "' or '"), absl::StrJoin(columns, ", "));
}

}  // namespace

std::vector<std::string> FilesBelow(const std::string& folder,
                                    const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    std::vector<std::string> files = Glob(absl::StrCat(Escaped(folder), "/", pattern));
    if (!files.empty()) return files;
  }
  return {};
}

absl::Status NothingFound(const std::string& what, const std::string& folder,
                          const std::vector<std::string>& patterns) {
  return absl::NotFoundError(absl::StrFormat("%s: folder '%s' holds none of: %s", what, folder,
                                             absl::StrJoin(patterns, ", ")));
}

std::unique_ptr<RowFile> MakeRowList(const std::string& path, std::vector<nlohmann::json> rows) {
  return std::make_unique<RowList>(path, std::move(rows));
}

absl::StatusOr<std::string> TextOf(const nlohmann::json& row,
                                   const std::vector<std::string>& names) {
  const nlohmann::json* value = FirstOf(row, names);
  if (value == nullptr) return Missing(row, names);
  if (IsScalar(*value)) return ScalarText(*value);
  return BadColumn(names[0], "column '%s' is %s, allowed is text or a number", names[0],
                   value->type_name());
}

std::string OptionalText(const nlohmann::json& row, const std::vector<std::string>& names) {
  const nlohmann::json* value = FirstOf(row, names);
  return value != nullptr && IsScalar(*value) ? ScalarText(*value) : "";
}

absl::StatusOr<std::vector<std::string>> TextsOf(const nlohmann::json& row,
                                                 const std::vector<std::string>& names) {
  const nlohmann::json* value = FirstOf(row, names);
  if (value == nullptr) return Missing(row, names);
  if (IsScalar(*value)) {
    const std::string text = ScalarText(*value);
    if (!absl::StartsWith(text, "[") || !absl::EndsWith(text, "]")) return std::vector{text};
    absl::StatusOr<std::vector<std::string>> texts = ParseTextList(text);
    return texts.ok() ? *std::move(texts) : std::vector{text};
  }
  std::vector<std::string> texts;
  for (const auto& element : *value) {
    if (!value->is_array() || !IsScalar(element)) {
      return BadColumn(names[0], "column '%s' is %s, allowed is a list of texts", names[0],
                       value->type_name());
    }
    texts.push_back(ScalarText(element));
  }
  return texts;
}

std::vector<std::string> LetteredOptions(const nlohmann::json& row) {
  std::vector<std::string> options;
  for (size_t i = 0; i < 26; ++i) {
    const std::string option = OptionalText(row, {std::string(1, OptionLetter(i))});
    if (option.empty()) break;
    options.push_back(option);
  }
  return options;
}

std::string TextListJson(const std::vector<std::string>& texts) {
  return JsonText(nlohmann::json(texts));
}

std::vector<ContentItem> MediaThenText(ContentItem::Kind kind, size_t media, std::string text) {
  std::vector<ContentItem> content(media, ContentItem{kind, ""});
  content.push_back({ContentItem::Kind::kText, std::move(text)});
  return content;
}

std::string ChoicePrompt(const BenchmarkItem& item, const std::string& hint) {
  std::string prompt;
  if (!hint.empty()) absl::StrAppend(&prompt, "Hint: ", hint, "\n");
  absl::StrAppend(&prompt, "Question: ", item.question, "\n");
  if (!item.options.empty()) {
    absl::StrAppend(&prompt, "Options:\n");
    for (size_t i = 0; i < item.options.size(); ++i) {
      absl::StrAppend(&prompt, std::string(1, OptionLetter(i)), ". ", item.options[i], "\n");
    }
    absl::StrAppend(&prompt, HasChinese(prompt)
                                 ? "请直接回答选项字母。"
                                 : "Please select the correct answer from the options above.");
  }
  const absl::string_view kept = Trim(prompt);
  return prompt.substr(0, static_cast<size_t>(kept.data() + kept.size() - prompt.data()));
}

std::vector<Figure> PercentBy(absl::Span<const ScoredItem> items, const std::string& whole,
                              const std::vector<std::string>& tags) {
  struct Sum {
    double sum = 0;
    int64_t count = 0;
  };
  Sum all;
  std::vector<std::string> order;
  std::map<std::string, Sum> sums;
  for (const ScoredItem& scored : items) {
    all.sum += scored.score;
    ++all.count;
  }
  for (const std::string& tag : tags) {
    for (const ScoredItem& scored : items) {
      const std::string& value = scored.item->tag(tag);
      if (value.empty()) continue;
      const std::string name = absl::StrCat(tag, "/", value);
      const auto [sum, is_new] = sums.try_emplace(name);
      if (is_new) order.push_back(name);
      sum->second.sum += scored.score;
      ++sum->second.count;
    }
  }
  const auto percent = [](const Sum& sum) {
    return sum.count == 0 ? 0.0 : 100 * sum.sum / static_cast<double>(sum.count);
  };
  std::vector<Figure> figures = {{whole, percent(all)}};
  for (const std::string& name : order) figures.push_back({name, percent(sums.at(name))});
  return figures;
}

const std::string& BenchmarkItem::tag(const std::string& name) const {
  static const std::string& none = *new std::string;
  for (const auto& [tag, value] : tags) {
    if (tag == name) return value;
  }
  return none;
}

absl::StatusOr<std::vector<std::unique_ptr<RowFile>>> Benchmark::Open(
    const std::string& folder) const {
  const std::vector<std::string> paths = FilesBelow(folder, info().files);
  if (paths.empty()) return NothingFound(info().name, folder, info().files);
  const auto cache = std::make_shared<RowGroupCache>(kCacheBytes);
  std::vector<std::unique_ptr<RowFile>> files;
  for (const std::string& path : paths) {
    ZIPRL_ASSIGN_OR_RETURN(auto file, RowFile::Open(path, "auto", cache));
    files.push_back(std::move(file));
  }
  return files;
}

absl::Status Benchmark::CheckGroup(absl::Span<const BenchmarkItem* const>, size_t) const {
  return absl::OkStatus();
}

std::string Benchmark::VlmEvalKitName(const std::string&) const { return info().vlmevalkit; }

}  // namespace ziprl
