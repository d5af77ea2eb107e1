// Tokenisation with the published Qwen2 vocabulary against the `tokenizers` library, one thread
// each, a JSON line per kind of text: bytes, MB/s of both, ratio (of medians over rounds that take
// turns). Usage: bench_tokenizer [PYTHON], from the repository's root.
#include "model/tokenizer.h"

#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ziprl {
namespace {

constexpr int kTurns = 5, kRoundsPerTurn = 2;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

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
    const auto start = std::chrono::steady_clock::now();
    Load(dir);
    ours.push_back(SecondsSince(start));
    Rival(rival, absl::StrCat("load ", dir, " 1"), &theirs);
  }
  absl::PrintF("{\"case\": \"load\", \"ours_ms\": %.0f, \"rival_ms\": %.0f, \"ratio\": %.2f}\n",
               1e3 * Median(ours), 1e3 * Median(theirs), Median(theirs) / Median(ours));
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
      const auto start = std::chrono::steady_clock::now();
      size_t ids = 0;
      for (const std::string& text : texts) ids += tokenizer.Encode(text).size();
      ours.push_back(SecondsSince(start));
      if (ids == 0) Die("no ids");
    }
    Rival(rival, absl::StrCat("run ", dir, " ", name, " ", kRoundsPerTurn), &theirs);
  }
  const double mb = 1e-6 * static_cast<double>(bytes);
  absl::PrintF(
      "{\"case\": \"%s\", \"bytes\": %d, \"ours_mb_per_s\": %.2f, \"rival_mb_per_s\": %.2f, "
      "\"ratio\": %.2f}\n",
      name, bytes, mb / Median(ours), mb / Median(theirs), Median(theirs) / Median(ours));
  std::fflush(stdout);
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
