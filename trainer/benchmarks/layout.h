// What the benchmarks share in reading a release: its files below a folder, the columns of a row.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/benchmarks/benchmark.h"
#include "trainer/data/row_file.h"

namespace ziprl {

// The files that match the first of `patterns` (globs below the folder) with a match, sorted; empty
// where none has one.
std::vector<std::string> FilesBelow(const std::string& folder,
                                    const std::vector<std::string>& patterns);
// NotFound that names the folder and what was looked for; `what` names the benchmark.
absl::Status NothingFound(const std::string& what, const std::string& folder,
                          const std::vector<std::string>& patterns);

// Rows that are held in memory, of a file of another form.
std::unique_ptr<RowFile> MakeRowList(const std::string& path, std::vector<nlohmann::json> rows);

// The columns of a row: text, or a number as text. Of several names the first that the row has.
// InvalidArgument names the column(s), what was given and the columns there are.
absl::StatusOr<std::string> TextOf(const nlohmann::json& row,
                                   const std::vector<std::string>& names);
// "" where no such column is there or it is empty.
std::string OptionalText(const nlohmann::json& row, const std::vector<std::string>& names);
// A list of texts: of JSON, of Parquet, or as text in the form of JSON or Python; any other text or
// number is a list of one.
absl::StatusOr<std::vector<std::string>> TextsOf(const nlohmann::json& row,
                                                 const std::vector<std::string>& names);
// Columns A, B, C, ... up to the first that is missing.
std::vector<std::string> LetteredOptions(const nlohmann::json& row);

// A JSON list of texts, which Python reads as a list too.
std::string TextListJson(const std::vector<std::string>& texts);

// Marks of media, then one text: the content of most questions.
std::vector<ContentItem> MediaThenText(ContentItem::Kind kind, size_t media, std::string text);

// VLMEvalKit's prompt of a multiple choice for Qwen2-VL and Qwen2.5-VL.
std::string ChoicePrompt(const BenchmarkItem& item, const std::string& hint);

// 100 * mean score of the items, of all and, in the order of first appearance of a value, by each
// of `tags` as "TAG/VALUE".
std::vector<Figure> PercentBy(absl::Span<const ScoredItem> items, const std::string& whole,
                              const std::vector<std::string>& tags);

}  // namespace ziprl
