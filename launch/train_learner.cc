#include "launch/train_learner.h"

#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "launch/training_setup.h"
#include "trainer/model_checkpoint.h"

namespace ziprl {

absl::StatusOr<LearnerSide> LearnerSide::Make(const RunConfig& config,
                                              comm::Communicator* communicator) {
  LearnerSide side;
  ZIPRL_ASSIGN_OR_RETURN(side.model, OpenConfiguredModel(config));
  side.features = MakeVisualFeatures();
  if (config.algorithm.beta > 0) {
    ZIPRL_ASSIGN_OR_RETURN(side.reference, OpenConfiguredModel(config));
  }
  ZIPRL_ASSIGN_OR_RETURN(side.data, PromptDataset::Open(TrainDataConfig(config.data),
                                                        EncodeWith(ModelProcessor(*side.model))));
  ZIPRL_ASSIGN_OR_RETURN(side.learner,
                         Learner::Create(config, side.model, side.features, side.reference,
                                         TotalSteps(config, side.data->rows()), communicator));
  return side;
}

TrainParts PartsOf(const RunConfig& config, const LearnerSide& side, Learner* learner) {
  TrainParts parts;
  parts.data = side.data.get();
  parts.learner = learner;
  parts.version = [&model = *side.model] { return ModelVersion(model); };
  parts.write_model = [&model = *side.model, learner](const std::string& dir) -> absl::Status {
    ZIPRL_RETURN_IF_ERROR(learner->GatherParams());
    const absl::Status saved = SaveModel(model, dir);
    learner->ReleaseParams(/*changed=*/false);
    return saved;
  };
  parts.read_model = [&model = *side.model, learner](const std::string& dir) -> absl::Status {
    ZIPRL_RETURN_IF_ERROR(learner->GatherParams());
    const absl::Status read = RestoreModel(dir, model);
    learner->ReleaseParams(/*changed=*/true);
    return read;
  };
  const bool held_out = config.data.val_fraction > 0;
  if (config.data.val_files.empty() && !held_out) return parts;
  parts.validate = [&config, &side, learner, held_out](int64_t) -> absl::StatusOr<Metrics> {
    ZIPRL_RETURN_IF_ERROR(learner->GatherParams());
    const auto summary =
        EvaluateModel(config, side.model, side.features, config.data.val_files, "", held_out);
    learner->ReleaseParams(/*changed=*/false);
    if (!summary.ok()) return summary.status();
    return EvalMetrics(*summary);
  };
  return parts;
}

void PrintResult(const TrainResult& result) {
  absl::FPrintF(stderr, "train: %d of %d steps%s, checkpoint %s\n", result.steps,
                result.total_steps, result.interrupted ? " (asked to stop)" : "",
                result.checkpoint);
}

}  // namespace ziprl
