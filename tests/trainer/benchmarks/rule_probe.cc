// rule_probe: a JSON list [RULE, ARGUMENT...] a line on stdin, what the rule gives as JSON a line
// on stdout; null for nothing or an error.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "trainer/benchmarks/chartqa.h"
#include "trainer/benchmarks/layout.h"
#include "trainer/benchmarks/mme.h"
#include "trainer/benchmarks/ocrbench.h"
#include "trainer/benchmarks/option_match.h"
#include "trainer/benchmarks/registry.h"
#include "trainer/benchmarks/text_rules.h"
#include "trainer/benchmarks/vqa_text.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;

Json Letter(std::optional<char> letter) {
  return letter.has_value() ? Json(std::string(1, *letter)) : Json();
}

Json Words(const std::string& text) {
  Json out = Json::array();
  for (absl::string_view word : SplitWords(text)) out.push_back(std::string(word));
  return out;
}

// ["figures", BENCHMARK, [ROW...], [RESPONSE...]]: the figures when each row gets its response.
Json FiguresOf(const std::string& name, const Json& rows, const Json& responses) {
  const Benchmark& benchmark = **FindBenchmark(name);
  const auto file = MakeRowList("rows", rows.get<std::vector<Json>>());
  std::vector<BenchmarkItem> items;
  for (const Json& row : rows) items.push_back(*benchmark.Read(row, "", *file));
  std::vector<ScoredItem> scored;
  for (size_t i = 0; i < items.size(); ++i) {
    scored.push_back({&items[i], benchmark.Score(items[i], responses[i].get<std::string>())});
  }
  Json out;
  for (const Figure& figure : benchmark.Summarise(scored)) out[figure.name] = figure.value;
  return out;
}

Json Apply(const Json& call) {
  const std::string rule = call[0], text = call[1];
  if (rule == "figures") return FiguresOf(text, call[2], call[3]);
  using Texts = std::vector<std::string>;
  if (rule == "lower") return Lowercase(text);
  if (rule == "strip") return std::string(Trim(text));
  if (rule == "split") return Words(text);
  if (rule == "float") {
    const std::optional<double> number = PythonFloat(text);
    return number.has_value() ? Json(absl::StrCat(*number)) : Json();
  }
  if (rule == "list") {
    const absl::StatusOr<Texts> texts = ParseTextList(text);
    return texts.ok() ? Json(*texts) : Json();
  }
  if (rule == "vqa") return NormaliseVqaAnswer(text);
  if (rule == "vqa_accuracy") return VqaAccuracy(text, call[2].get<Texts>());
  if (rule == "yes_no") return YesOrNo(text);
  if (rule == "relaxed") return RelaxedMatch(text, call[2].get<std::string>());
  if (rule == "infer") return Letter(InferOption(text, call[2].get<Texts>()));
  if (rule == "mmmu") return Letter(ParseMmmuOption(text, call[2].get<Texts>()));
  if (rule == "first_letter") return Letter(FirstOptionLetter(text));
  if (rule == "ocr") return OcrContains(text, call[2].get<Texts>(), call[3]);
  return "no such rule";
}

}  // namespace
}  // namespace ziprl

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << ziprl::Apply(nlohmann::json::parse(line)).dump() << "\n";
  }
}
