// Tokenisation with the published Qwen2 vocabulary against the `tokenizers` library, one thread
// each, over rounds that take turns. Usage: bench_tokenizer [PYTHON], from the repository's root.
#include "model/tokenizer.h"

#include <stdlib.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr int kTurns = 5, kRoundsPerTurn = 2;

[[noreturn]] void Die(const std::string& why) {
  absl::FPrintF(stderr, "bench_tokenizer: %s\n", why);
  std::exit(1);
}

std::unique_ptr<Tokenizer> Load(const std::string& dir) {
  auto tokenizer = Tokenizer::Load(dir + "/tokenizer.json");
  if (!tokenizer.ok()) Die(tokenizer.status().ToString());
  return *std::move(tokenizer);
}

// The seconds the rival prints.
void Rival(const std::string& rival, const std::string& arguments, std::vector<double>* seconds) {
  std::FILE* pipe = popen(absl::StrCat(rival, " ", arguments).c_str(), "r");
  if (pipe == nullptr) Die("cannot start " + rival);
  double value = 0;
  while (std::fscanf(pipe, "%lf", &value) == 1) seconds->push_back(value);
  if (pclose(pipe) != 0) Die(absl::StrCat("failed: ", rival, " ", arguments));
}

void BenchLoad(const std::string& rival, const std::string& dir) {
  std::vector<double> ours, theirs;
  for (int turn = 0; turn < kTurns; ++turn) {
    ours.push_back(Seconds([&] { Load(dir); }));
    Rival(rival, absl::StrCat("load ", dir, " 1"), &theirs);
  }
  Report({"tokenizer_load", Median(ours), Median(theirs), Median(theirs) / Median(ours),
          std::nullopt, std::nullopt, "s"});
}

void BenchCase(const Tokenizer& tokenizer, const std::string& rival, const std::string& dir,
               const std::string& name) {
  std::vector<std::string> texts;
  size_t bytes = 0;
  std::ifstream file(absl::StrCat(dir, "/", name, ".jsonl"));
  for (std::string line; std::getline(file, line); bytes += texts.back().size()) {
    texts.push_back(nlohmann::json::parse(line).get<std::string>());
  }
  std::vector<double> ours, theirs;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (int round = 0; round < kRoundsPerTurn; ++round) {
      size_t ids = 0;
      ours.push_back(Seconds([&] {
        for (const std::string& text : texts) ids += tokenizer.Encode(text).size();
      }));
      if (ids == 0) Die("no ids");
    }
    Rival(rival, absl::StrCat("run ", dir, " ", name, " ", kRoundsPerTurn), &theirs);
  }
  const double mb = 1e-6 * static_cast<double>(bytes);
  Report({"tokenize_" + name, mb / Median(ours), mb / Median(theirs), Median(theirs) / Median(ours),
          2, std::nullopt, "MB/s"});
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  const std::string python = argc > 1 ? argv[1] : ".venv/bin/python";
  const std::string rival = python + " -B tests/bench/tokenizer_rival.py";
  std::string dir = (std::filesystem::temp_directory_path() / "bench_tokenizer.XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) ziprl::Die("cannot make " + dir);
  std::vector<double> nothing;
  ziprl::Rival(rival, "make " + dir, &nothing);
  ziprl::BenchLoad(rival, dir);
  const auto tokenizer = ziprl::Load(dir);
  for (const char* name : {"source_code", "questions", "mixed_scripts"}) {
    ziprl::BenchCase(*tokenizer, rival, dir, name);
  }
  std::filesystem::remove_all(dir);
}
