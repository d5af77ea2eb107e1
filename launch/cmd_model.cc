// init, import, export: model directories.
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "model/model_handle.h"

namespace ziprl {
namespace {

// Every string value of every JSON line: what a tokenizer has to spell.
void CollectStrings(const nlohmann::json& value, std::vector<std::string>& out) {
  if (value.is_string()) out.push_back(value.get<std::string>());
  if (value.is_structured()) {
    for (const auto& item : value) CollectStrings(item, out);
  }
}

absl::StatusOr<std::vector<std::string>> ReadCorpus(const std::vector<std::string>& files) {
  std::vector<std::string> corpus;
  for (const std::string& path : files) {
    std::ifstream in(path);
    if (!in) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
    std::string line;
    for (int64_t number = 1; std::getline(in, line); ++number) {
      auto row = nlohmann::json::parse(line, nullptr, false);
      if (row.is_discarded()) {
        return absl::InvalidArgumentError(absl::StrCat(path, ":", number, ": not JSON"));
      }
      if (row.is_object()) {
        for (const char* key : {"images", "videos"}) row.erase(key);
      }
      CollectStrings(row, corpus);
    }
  }
  return corpus;
}

int CopyModel(const Args& args, CLI::App& app) {
  std::string from, to, dtype;
  app.add_option("from", from, "Hugging Face directory or checkpoint step_N")->required();
  app.add_option("to", to, "new directory")->required();
  app.add_option("--dtype", dtype, "stored type; as in the source unless given")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const int64_t parameters, CopyModelDirectory(from, to, dtype));
    std::cerr << to << ": " << parameters << " parameters\n";
    return absl::OkStatus();
  });
}

}  // namespace

int RunInit(const Args& args) {
  CLI::App app(
      "Makes a random model: weights, config, processor files and a tokenizer trained on the\n"
      "strings of the corpus.\n"
      "Example: ziprl init configs/models/tiny.json runs/init --corpus rows.jsonl --seed 1",
      "ziprl init");
  InitOptions options;
  std::vector<std::string> corpus;
  app.add_option("architecture", options.architecture_file, "configs/models/*.json")->required();
  app.add_option("out", options.out_dir, "new directory")->required();
  app.add_option("--corpus", corpus, "JSONL files whose strings train the tokenizer")->required();
  app.add_option("--seed", options.seed, "of the weights");
  app.add_option("--dtype", options.dtype, "stored type")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(options.corpus, ReadCorpus(corpus));
    return InitModelDirectory(options);
  });
}

int RunImport(const Args& args) {
  CLI::App app(
      "Reads a Hugging Face directory, checks every tensor against its config, and writes it "
      "anew.\n"
      "Example: ziprl import Qwen2.5-VL-3B-Instruct models/qwen3b --dtype bfloat16",
      "ziprl import");
  return CopyModel(args, app);
}

int RunExport(const Args& args) {
  CLI::App app(
      "Writes a checkpoint as a plain Hugging Face directory (a checkpoint is one already; this\n"
      "leaves the trainer's state behind and can change the stored type).\n"
      "Example: ziprl export runs/quickstart/grpo/step_120 my-model --dtype bfloat16",
      "ziprl export");
  return CopyModel(args, app);
}

}  // namespace ziprl
