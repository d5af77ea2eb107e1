#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "launch/response_rows.h"
#include "model/model_handle.h"
#include "rollout/sparse_engine.h"

namespace ziprl {
namespace {

struct Options {
  ModelConfig model;
  std::string rows;
  double p = 1.0;
  uint64_t seed = 0;
  EngineConfig engine;
};

nlohmann::ordered_json ToJson(const std::vector<int32_t>& prompt_ids, const Completion& scored,
                              const std::vector<int32_t>& probes) {
  std::vector<uint32_t> kept;
  for (const Bitmap& layer : scored.kept.events[0]) kept.push_back(layer.Count());
  nlohmann::ordered_json out;
  out["prompt_ids"] = prompt_ids;
  out["response_ids"] = scored.token_ids;
  out["logprobs"] = scored.logprobs;
  out["kept_per_layer"] = kept;
  out["kept_ratio"] = scored.kept_ratio;
  out["probes"] = probes;
  return out;
}

absl::StatusOr<nlohmann::ordered_json> ScoreRow(const Options& options, const Model& model,
                                                VisualFeatures& features, const std::string& line,
                                                int64_t number) {
  const std::string directory = std::filesystem::path(options.rows).parent_path().string();
  ZIPRL_ASSIGN_OR_RETURN(const ResponseRow row, ParseResponseRow(line, directory));
  GroupLease lease;
  lease.prompt.row = number;
  lease.prompt.media = row.media;
  lease.group_seed = options.seed;
  lease.samples = {{0, options.p, options.seed}};
  const Processor& processor = ModelProcessor(model);
  ZIPRL_ASSIGN_OR_RETURN(
      lease.prompt.token_ids,
      processor.PromptIds(row.messages, row.media, /*add_generation_prompt=*/true));
  std::vector<int32_t> probes;
  ZIPRL_ASSIGN_OR_RETURN(const Completion scored,
                         ScoreResponse(options.engine, model, features, lease,
                                       processor.tokenizer().Encode(row.response), &probes));
  return ToJson(lease.prompt.token_ids, scored, probes);
}

absl::Status ScoreFile(const Options& options) {
  std::ifstream in(options.rows);
  if (!in) return absl::NotFoundError(absl::StrCat(options.rows, ": cannot be read"));
  ZIPRL_ASSIGN_OR_RETURN(const auto model, OpenModel(options.model, /*vision_frozen=*/true));
  const auto features = MakeVisualFeatures();
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    const auto json = ScoreRow(options, *model, *features, line, number);
    if (!json.ok()) {
      const std::string row = absl::StrCat("row ", number, ": ");
      return absl::Status(
          json.status().code(),
          absl::StrCat(options.rows, ": ", row, absl::StripPrefix(json.status().message(), row)));
    }
    std::cout << json->dump() << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace

int RunLogprobs(const Args& args) {
  CLI::App app(
      "Prints, for each row with `messages` (or `problem` and `images`, `videos`) and `response`, "
      "one JSON "
      "line "
      "with\nprompt_ids, response_ids, logprobs (temperature 1, no id suppressed), kept_per_layer, "
      "kept_ratio, probes.\nExample: ziprl logprobs MODEL rows.jsonl --p 0.975",
      "ziprl logprobs");
  Options options;
  options.engine.suppress_ids = false;
  app.add_option("model", options.model.path, "Hugging Face directory")->required();
  app.add_option("rows", options.rows, "JSON lines; image paths are relative to this file")
      ->required();
  app.add_option("--p", options.p, "sparsity threshold in (0, 1]; 1 is dense")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "seed of the probe draw")->capture_default_str();
  app.add_option("--rescore-interval", options.engine.rescore_interval,
                 "re-compress the cache every so many response tokens; 0 = never")
      ->capture_default_str();
  app.add_option("--threads", options.engine.threads, "CPU threads")->capture_default_str();
  app.add_option("--device", options.model.device, "auto | cpu | cuda")->capture_default_str();
  app.add_option("--dtype", options.model.dtype, "fp32 | bf16")->capture_default_str();
  return ParseAndRun(app, args, [&] {
    SetIntraOpThreads(options.engine.threads);
    return ScoreFile(options);
  });
}

}  // namespace ziprl
