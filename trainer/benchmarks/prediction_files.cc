#include "trainer/benchmarks/prediction_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "trainer/benchmarks/option_match.h"
#include "trainer/data/table_record.h"

namespace ziprl {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string LmmsFolder(const PredictionFolder& folder, size_t variant) {
  return absl::StrCat(folder.path, "/lmms_eval/", folder.Variant(variant));
}

Json LmmsResults(const PredictionFolder& folder, absl::Span<const BenchmarkFigures> benchmarks,
                 size_t variant) {
  Json out;
  for (const BenchmarkFigures& benchmark : benchmarks) {
    const BenchmarkInfo& info = benchmark.data->benchmark().info();
    Json figures = {{"alias", info.lmms_eval}};
    Json better;
    for (const Figure& figure : benchmark.variants[variant]) {
      figures[figure.name + ",none"] = figure.value;
      better[figure.name] = true;
    }
    out["results"][info.lmms_eval] = std::move(figures);
    out["configs"][info.lmms_eval] = {{"task", info.lmms_eval},
                                      {"dataset_path", benchmark.data->folder()}};
    out["versions"][info.lmms_eval] = 0;
    out["n-shot"][info.lmms_eval] = 0;
    out["higher_is_better"][info.lmms_eval] = std::move(better);
    out["n-samples"][info.lmms_eval] = {{"original", benchmark.data->items().size()},
                                        {"effective", benchmark.data->questions()}};
  }
  out["config"] = {{"model", "ziprl"}, {"model_args", folder.model}};
  out["date"] = folder.date;
  out["model_name"] = folder.Variant(variant);
  return out;
}

}  // namespace

std::string PredictionFolder::Variant(size_t index) const {
  const size_t point = index / static_cast<size_t>(runs), run = index % static_cast<size_t>(runs);
  return absl::StrCat(model, "_", points[point], run > 0 ? absl::StrCat("_run", run + 1) : "");
}

PredictionFiles::PredictionFiles(const BenchmarkData& data) : data_(&data) {
  for (const BenchmarkItem& item : data.items()) {
    options_ = std::max(options_, item.options.size());
  }
  for (const auto& [tag, value] : data.items()[0].tags) tags_.push_back(tag);
}

absl::StatusOr<PredictionFiles> PredictionFiles::Open(const PredictionFolder& folder,
                                                      const BenchmarkData& data) {
  PredictionFiles files(data);
  if (folder.path.empty()) return files;
  const std::string name = data.benchmark().VlmEvalKitName(data.first_file());
  for (size_t i = 0; i < folder.variants(); ++i) {
    const std::string model = folder.Variant(i);
    const std::string tables = absl::StrCat(folder.path, "/vlmevalkit/", model);
    const std::string samples = LmmsFolder(folder, i);
    ZIPRL_RETURN_IF_ERROR(MakeDirectories(tables));
    ZIPRL_RETURN_IF_ERROR(MakeDirectories(samples));
    files.tables_.emplace_back(absl::StrCat(tables, "/", model, "_", name, ".tsv"));
    files.samples_.emplace_back(absl::StrCat(samples, "/", folder.date, "_samples_",
                                             data.benchmark().info().lmms_eval, ".jsonl"));
    ZIPRL_RETURN_IF_ERROR(files.tables_.back().Open());
    ZIPRL_RETURN_IF_ERROR(files.samples_.back().Open());
    ZIPRL_RETURN_IF_ERROR(files.tables_.back().Write(files.Header()));
  }
  return files;
}

std::string PredictionFiles::Header() const {
  std::vector<std::string> columns = {"index", "question"};
  for (size_t i = 0; i < options_; ++i) columns.push_back(std::string(1, OptionLetter(i)));
  columns.push_back("answer");
  columns.insert(columns.end(), tags_.begin(), tags_.end());
  columns.push_back("prediction");
  return absl::StrJoin(columns, "\t");
}

std::string PredictionFiles::TableLine(const BenchmarkItem& item,
                                       const std::string& response) const {
  std::vector<std::string> fields = {item.id, item.question};
  for (size_t i = 0; i < options_; ++i) {
    fields.push_back(i < item.options.size() ? item.options[i] : "");
  }
  fields.push_back(item.answer);
  for (const std::string& tag : tags_) fields.push_back(item.tag(tag));
  fields.push_back(response);
  for (std::string& field : fields) field = TableField(field);
  return absl::StrJoin(fields, "\t");
}

std::string PredictionFiles::SampleLine(const BenchmarkItem& item, const std::string& response,
                                        double score) const {
  Json line;
  line["doc_id"] = &item - data_->items().data();
  line["target"] = item.answer;
  line["filtered_resps"] = response;
  line["input"] = item.question;
  line["doc"] = {{"id", item.id}};
  for (const auto& [tag, value] : item.tags) line["doc"][tag] = value;
  line["accuracy"] = score;
  return Dump(line, -1);
}

absl::Status PredictionFiles::Write(const BenchmarkItem& item,
                                    const std::vector<Completion>& completions,
                                    const std::vector<Score>& scores) {
  for (size_t i = 0; i < tables_.size(); ++i) {
    const auto accuracy = scores[i].components.find("accuracy");
    const double score = accuracy == scores[i].components.end() ? 0 : accuracy->second;
    ZIPRL_RETURN_IF_ERROR(tables_[i].Write(TableLine(item, completions[i].text)));
    ZIPRL_RETURN_IF_ERROR(samples_[i].Write(SampleLine(item, completions[i].text, score)));
  }
  return absl::OkStatus();
}

absl::Status PredictionFiles::Close() {
  for (size_t i = 0; i < tables_.size(); ++i) {
    ZIPRL_RETURN_IF_ERROR(tables_[i].Close());
    ZIPRL_RETURN_IF_ERROR(samples_[i].Close());
  }
  return absl::OkStatus();
}

absl::Status WriteLmmsResults(const PredictionFolder& folder,
                              absl::Span<const BenchmarkFigures> benchmarks) {
  if (folder.path.empty() || benchmarks.empty()) return absl::OkStatus();
  for (size_t i = 0; i < folder.variants(); ++i) {
    ZIPRL_RETURN_IF_ERROR(
        WriteFileAtomically(absl::StrCat(LmmsFolder(folder, i), "/", folder.date, "_results.json"),
                            Dump(LmmsResults(folder, benchmarks, i), 2) + "\n"));
  }
  return absl::OkStatus();
}

}  // namespace ziprl
