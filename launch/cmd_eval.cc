#include <iostream>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "launch/evaluation.h"
#include "launch/training_setup.h"

namespace ziprl {

int RunEval(const Args& args) {
  CLI::App app(
      "Accuracy and kept-token ratio on eval.files and eval.benchmarks, dense and at every p of\n"
      "eval.thresholds. The summary goes to stdout as JSON (docs/evaluation.md).\n"
      "Example: ziprl eval configs/experiments/quickstart.yaml 'eval.thresholds=[.975,.8]'\n"
      "         ziprl eval run.yaml eval.benchmarks=[mme=data/MME] --predictions out",
      "ziprl eval");
  std::string config_path, out, lines, predictions;
  std::vector<std::string> overrides;
  app.add_option("config", config_path, "YAML file")->required();
  app.add_option("overrides", overrides, "key=value ...");
  app.add_option("--out", out, "file for the summary, instead of stdout");
  app.add_option("--lines", lines, "file for one JSON line per question");
  app.add_option("--predictions", predictions,
                 "folder for the responses to benchmarks, as VLMEvalKit and lmms-eval write them");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const RunConfig config, LoadCommandConfig(config_path, overrides));
    if (config.eval.files.empty() && config.eval.benchmarks.empty()) {
      return absl::InvalidArgumentError(
          "eval.files and eval.benchmarks: empty; give row files or NAME=FOLDER of a benchmark");
    }
    ZIPRL_ASSIGN_OR_RETURN(const auto model, OpenConfiguredModel(config));
    if (config.algorithm.sparsity == "budget") {
      ZIPRL_RETURN_IF_ERROR(ReadBudgetHead(config.model.path + "/trainer_state", *model));
    }
    ZIPRL_ASSIGN_OR_RETURN(const EvalSummary summary,
                           EvaluateConfigured(config, model, lines, predictions));
    const std::string json = EvalSummaryJson(summary);
    if (!out.empty()) return WriteFileAtomically(out, json + "\n");
    std::cout << json << "\n";
    return absl::OkStatus();
  });
}

}  // namespace ziprl
