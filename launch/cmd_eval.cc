#include <iostream>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "launch/training_setup.h"

namespace ziprl {

int RunEval(const Args& args) {
  CLI::App app(
      "Accuracy and kept-token ratio on eval.files, dense and at every p of eval.thresholds.\n"
      "The summary goes to stdout as JSON.\n"
      "Example: ziprl eval configs/experiments/quickstart.yaml 'eval.thresholds=[.975,.8]'",
      "ziprl eval");
  std::string config_path, out, lines;
  std::vector<std::string> overrides;
  app.add_option("config", config_path, "YAML file")->required();
  app.add_option("overrides", overrides, "key=value ...");
  app.add_option("--out", out, "file for the summary, instead of stdout");
  app.add_option("--lines", lines, "file for one JSON line per question");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const RunConfig config, LoadCommandConfig(config_path, overrides));
    if (config.eval.files.empty())
      return absl::InvalidArgumentError("eval.files: empty; give row files");
    ZIPRL_ASSIGN_OR_RETURN(const auto model, OpenConfiguredModel(config));
    if (config.algorithm.sparsity == "budget") {
      ZIPRL_RETURN_IF_ERROR(ReadBudgetHead(config.model.path + "/trainer_state", *model));
    }
    ZIPRL_ASSIGN_OR_RETURN(
        const EvalSummary summary,
        EvaluateModel(config, model, MakeVisualFeatures(), config.eval.files, lines));
    const std::string json = EvalSummaryJson(summary);
    if (!out.empty()) return WriteFileAtomically(out, json + "\n");
    std::cout << json << "\n";
    return absl::OkStatus();
  });
}

}  // namespace ziprl
