#include "launch/easy_vqa.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "configs/base/counter_rng.h"
#include "configs/base/status_macros.h"
#include "launch/easy_vqa_warm_start.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

bool Contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// The first of `words` that stands in the question, or empty.
std::string WordIn(const std::vector<std::string>& words, const std::string& question) {
  const std::vector<std::string> parts = absl::StrSplit(question, absl::ByAnyChar(" ?"));
  for (const std::string& part : parts) {
    if (Contains(words, part)) return part;
  }
  return "";
}

bool IsNegated(const std::string& question) {
  const std::string padded = absl::StrCat(" ", question);
  return absl::StrContains(padded, " not ") || absl::StrContains(padded, " no ");
}

std::string KindOf(const std::string& question, const std::string& answer) {
  if (Contains(EasyVqaShapes(), answer)) return "shape";
  if (Contains(EasyVqaColors(), answer)) return "color";
  return absl::StrCat("yesno_", EasyVqaShapeIn(question).empty() ? "color" : "shape",
                      IsNegated(question) ? "_negated" : "");
}

// Deterministic order of 0..n-1.
std::vector<size_t> ShuffledOrder(size_t n, uint64_t key) {
  std::vector<std::pair<uint64_t, size_t>> keyed(n);
  for (size_t i = 0; i < n; ++i) {
    keyed[i] = {PhiloxU64(key, static_cast<uint32_t>(i), 0, 0, RngStream::kShuffle), i};
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = keyed[i].second;
  return order;
}

// Narrows the candidates: exactly `word` when it is there, anything else when it is not.
void Narrow(std::set<std::string>& candidates, const std::string& word, bool present) {
  if (word.empty()) return;
  if (!present) {
    candidates.erase(word);
  } else if (candidates.count(word) > 0) {
    candidates = {word};
  }
}

absl::Status WriteLines(const fs::path& path, const std::vector<Json>& rows) {
  std::ofstream out(path);
  for (const Json& row : rows) out << row.dump() << "\n";
  out.flush();
  if (!out) return absl::ResourceExhaustedError(absl::StrCat(path.string(), ": cannot be written"));
  return absl::OkStatus();
}

Json ProblemRow(const EasyVqaRow& row, const std::string& split) {
  return Json{{"problem", absl::StrCat("<image>", row.question)},
              {"answer", row.answer},
              {"images", Json::array({EasyVqaImagePath(split, row.image)})},
              {"kind", row.kind},
              {"source", "easy-vqa"}};
}

absl::Status CopyImages(const std::string& from, const fs::path& out, const std::string& split) {
  std::error_code error;
  fs::create_directories(out / "images" / split, error);
  if (error) return absl::InternalError(absl::StrCat(out.string(), ": ", error.message()));
  for (const auto& entry : fs::directory_iterator(fs::path(from) / split / "images", error)) {
    fs::copy_file(entry.path(), out / "images" / split / entry.path().filename(),
                  fs::copy_options::skip_existing, error);
    if (error) break;
  }
  if (!error) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(from, "/", split, "/images: ", error.message()));
}

}  // namespace

const std::vector<std::string>& EasyVqaShapes() {
  static const auto* words = new std::vector<std::string>{"circle", "rectangle", "triangle"};
  return *words;
}

const std::vector<std::string>& EasyVqaColors() {
  static const auto* words = new std::vector<std::string>{"black", "blue", "brown", "gray",
                                                          "green", "red",  "teal",  "yellow"};
  return *words;
}

std::string EasyVqaShapeIn(const std::string& question) {
  return WordIn(EasyVqaShapes(), question);
}
std::string EasyVqaColorIn(const std::string& question) {
  return WordIn(EasyVqaColors(), question);
}

std::string EasyVqaImagePath(const std::string& split, int64_t image) {
  return absl::StrCat("images/", split, "/", image, ".png");
}

absl::StatusOr<std::vector<EasyVqaRow>> ReadEasyVqa(const std::string& split_dir) {
  const std::string path = split_dir + "/questions.json";
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  const auto json = nlohmann::json::parse(in, nullptr, false);
  if (!json.is_array()) return absl::InvalidArgumentError(absl::StrCat(path, ": not a JSON list"));
  std::vector<EasyVqaRow> rows;
  for (const auto& item : json) {
    if (!item.is_array() || item.size() != 3 || !item[0].is_string() || !item[1].is_string() ||
        !item[2].is_number_integer()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": entry ", rows.size(), " is not [question, answer, image]"));
    }
    EasyVqaRow row{item[0], item[1], item[2], ""};
    row.kind = KindOf(row.question, row.answer);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<EasyVqaRow> BalanceYesNo(const std::vector<EasyVqaRow>& rows, uint64_t seed) {
  std::map<std::string, std::map<std::string, std::vector<size_t>>>
      cells;  // kind -> answer -> rows
  for (size_t i = 0; i < rows.size(); ++i) {
    if (absl::StartsWith(rows[i].kind, "yesno")) cells[rows[i].kind][rows[i].answer].push_back(i);
  }
  std::vector<bool> drop(rows.size(), false);
  uint32_t cell_number = 0;
  for (auto& [kind, answers] : cells) {
    const size_t keep = std::min(answers["yes"].size(), answers["no"].size());
    for (auto& [answer, members] : answers) {
      const auto order = ShuffledOrder(members.size(), DeriveSeed(seed, 0, cell_number++));
      for (size_t i = keep; i < order.size(); ++i) drop[members[order[i]]] = true;
    }
  }
  std::vector<EasyVqaRow> kept;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!drop[i]) kept.push_back(rows[i]);
  }
  return kept;
}

std::map<int64_t, EasyVqaFacts> DeduceFacts(const std::vector<EasyVqaRow>& rows) {
  struct Candidates {
    std::set<std::string> shapes{EasyVqaShapes().begin(), EasyVqaShapes().end()};
    std::set<std::string> colors{EasyVqaColors().begin(), EasyVqaColors().end()};
  };
  std::map<int64_t, Candidates> candidates;
  for (const EasyVqaRow& row : rows) {
    Candidates& image = candidates[row.image];
    const bool yes_no = absl::StartsWith(row.kind, "yesno");
    const bool present = !yes_no || (row.answer == "yes") != IsNegated(row.question);
    Narrow(image.shapes, EasyVqaShapeIn(row.question), present);
    Narrow(image.colors, EasyVqaColorIn(row.question), present);
    if (row.kind == "shape") Narrow(image.shapes, row.answer, true);
    if (row.kind == "color") Narrow(image.colors, row.answer, true);
  }
  std::map<int64_t, EasyVqaFacts> facts;
  for (const auto& [image, known] : candidates) {
    if (known.shapes.size() == 1) facts[image].shape = *known.shapes.begin();
    if (known.colors.size() == 1) facts[image].color = *known.colors.begin();
  }
  return facts;
}

absl::Status ImportEasyVqa(const EasyVqaImport& options) {
  const fs::path out = options.out;
  for (const std::string split : {"train", "test"}) {
    ZIPRL_ASSIGN_OR_RETURN(const auto rows, ReadEasyVqa(options.from + "/" + split));
    ZIPRL_RETURN_IF_ERROR(CopyImages(options.from, out, split));
    const uint64_t split_seed = DeriveSeed(options.seed, split == "train" ? 0 : 1, 0);
    std::vector<Json> lines;
    const auto balanced = BalanceYesNo(rows, split_seed);
    for (const EasyVqaRow& row : balanced) lines.push_back(ProblemRow(row, split));
    ZIPRL_RETURN_IF_ERROR(WriteLines(out / (split + ".jsonl"), lines));
    if (split == "train" && options.warm_start) {
      ZIPRL_RETURN_IF_ERROR(WriteLines(
          out / "warm_start.jsonl",
          WarmStartRows(balanced, WarmStartCurriculum(), DeriveSeed(options.seed, 2, 0))));
      ZIPRL_RETURN_IF_ERROR(WriteLines(
          out / "warm_start_colors.jsonl",
          WarmStartRows(balanced, WarmStartColorCourse(), DeriveSeed(options.seed, 3, 0))));
    }
  }
  return absl::OkStatus();
}

}  // namespace ziprl
