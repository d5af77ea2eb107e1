#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/shutdown.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "launch/training_setup.h"
#include "trainer/metrics.h"
#include "trainer/progress.h"
#include "trainer/run_directory.h"
#include "trainer/sft.h"

namespace ziprl {
namespace {

absl::Status Sft(const RunConfig& config) {
  if (config.trainer.output_dir.empty()) {
    return absl::InvalidArgumentError("trainer.output_dir: empty; give a folder for checkpoints");
  }
  InstallSignalFlags();
  ZIPRL_RETURN_IF_ERROR(ClaimRunDirectory(config));
  ZIPRL_ASSIGN_OR_RETURN(const auto model, OpenConfiguredModel(config));
  const auto features = MakeVisualFeatures();
  std::unique_ptr<MetricsWriter> metrics;
  std::optional<Progress> progress;
  absl::Status writing;
  SftHooks hooks;
  hooks.should_stop = [&] { return ShutdownRequested() || !writing.ok(); };
  hooks.on_step = [&](const SftProgress& step) {
    if (!progress.has_value()) {
      progress.emplace("sft", step.step - 1, step.total_steps);
      auto writer =
          MetricsWriter::Open(config.trainer.output_dir, config.trainer.logger, step.step - 1);
      if (writer.ok()) metrics = *std::move(writer);
      writing.Update(writer.status());
    }
    if (metrics != nullptr) writing.Update(metrics->Write(step.step, step.metrics));
    std::string text = absl::StrFormat("loss %.4f", step.loss);
    for (const auto& [name, value] : step.metrics) {
      if (absl::StrContains(name, "accuracy") || absl::StrContains(name, "val-core")) {
        absl::StrAppend(&text, absl::StrFormat("  %s %.3f", name, value));
      }
    }
    progress->Update(step.step, text);
  };
  if (!config.data.val_files.empty()) {
    hooks.evaluate = [&](int64_t) -> absl::StatusOr<std::map<std::string, double>> {
      ZIPRL_ASSIGN_OR_RETURN(const EvalSummary summary,
                             EvaluateModel(config, model, features, config.data.val_files, ""));
      return EvalMetrics(summary);
    };
  }
  ZIPRL_ASSIGN_OR_RETURN(const SftResult result, RunSft(config, model, features, hooks));
  ZIPRL_RETURN_IF_ERROR(writing);
  if (progress.has_value()) progress->Finish();
  absl::FPrintF(stderr, "sft: %d steps, loss %.4f, %.0f s, checkpoint %s\n", result.steps,
                result.last_loss, result.seconds, result.checkpoint);
  return absl::OkStatus();
}

}  // namespace

int RunSft(const Args& args) {
  CLI::App app(
      "Supervised fine-tuning on sft.files: the warm start of a run.\n"
      "Example: ziprl sft configs/experiments/warm_start.yaml trainer.output_dir=runs/sft",
      "ziprl sft");
  std::string config_path;
  std::vector<std::string> overrides;
  app.add_option("config", config_path, "YAML file")->required();
  app.add_option("overrides", overrides, "key=value ...");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const RunConfig config, LoadCommandConfig(config_path, overrides));
    return Sft(config);
  });
}

}  // namespace ziprl
