#include <iostream>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "model/model_handle.h"
#include "rollout/sparse_engine.h"

namespace ziprl {
namespace {

struct Options {
  ModelConfig model;
  std::vector<std::string> images;
  std::string prompt;
  double p = 0.975;
  uint64_t seed = 0;
  EngineConfig engine;
};

// One user turn. Without `<image>` marks in the text the images come first.
absl::StatusOr<GroupLease> MakeLease(const Options& options, const Processor& processor) {
  GroupLease lease;
  for (const std::string& path : options.images) {
    ZIPRL_ASSIGN_OR_RETURN(MediaRef image, ReadMedia(path));
    lease.prompt.images.push_back(std::move(image));
  }
  std::string text = options.prompt;
  if (text.find("<image>") == std::string::npos) {
    for (size_t i = 0; i < options.images.size(); ++i) text.insert(0, "<image>");
  }
  ZIPRL_ASSIGN_OR_RETURN(lease.prompt.token_ids,
                         processor.PromptIds({{"user", SplitMarks(text)}}, lease.prompt.images,
                                             /*add_generation_prompt=*/true));
  lease.group_seed = options.seed;
  lease.samples = {{0, options.p, options.seed}};
  return lease;
}

void Print(const Prompt& prompt, const Completion& answer, absl::Duration time) {
  std::string kept;
  for (const Bitmap& layer : answer.kept.events[0]) {
    absl::StrAppendFormat(&kept, "%s%d", kept.empty() ? "" : " ", layer.Count());
  }
  std::cout << answer.text << "\n"
            << absl::StreamFormat("kept: %.1f %% of %d prompt tokens at p = %g (per layer: %s)\n",
                                  100 * answer.kept_ratio, prompt.token_ids.size(), answer.p, kept)
            << absl::StreamFormat("time: %.3f s, %d tokens\n", absl::ToDoubleSeconds(time),
                                  answer.token_ids.size());
}

absl::Status Answer(const Options& options) {
  ZIPRL_ASSIGN_OR_RETURN(const std::shared_ptr<Model> model,
                         OpenModel(options.model, /*vision_frozen=*/true));
  ZIPRL_ASSIGN_OR_RETURN(const GroupLease lease, MakeLease(options, ModelProcessor(*model)));
  ZIPRL_ASSIGN_OR_RETURN(const auto engine,
                         MakeSparseEngine(options.engine, model, MakeVisualFeatures()));
  const absl::Time start = absl::Now();
  ZIPRL_ASSIGN_OR_RETURN(const auto completions, engine->Generate({lease}));
  Print(lease.prompt, completions[0][0], absl::Now() - start);
  return absl::OkStatus();
}

}  // namespace

int RunGenerate(const Args& args) {
  CLI::App app(
      "Answers one prompt and says how many prompt tokens were kept and how long it took.\n"
      "Example: ziprl generate MODEL --image photo.png --prompt \"What is this?\"",
      "ziprl generate");
  Options options;
  options.engine.temperature = 0.0;
  app.add_option("model", options.model.path, "Hugging Face directory")->required();
  app.add_option("--prompt", options.prompt, "user text; <image> marks place the images")
      ->required();
  app.add_option("--image", options.images,
                 "PNG, JPEG, WebP or GIF file; may be given several times");
  app.add_option("--p", options.p, "sparsity threshold in (0, 1]; 1 is dense")
      ->capture_default_str();
  app.add_option("--temperature", options.engine.temperature, "0 = greedy")->capture_default_str();
  app.add_option("--max-response-length", options.engine.max_response_length, "tokens")
      ->capture_default_str();
  app.add_option("--rescore-interval", options.engine.rescore_interval,
                 "re-compress the cache every so many generated tokens; 0 = never")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of probes and sampling")->capture_default_str();
  app.add_option("--threads", options.engine.threads, "CPU threads")->capture_default_str();
  app.add_option("--device", options.model.device, "auto | cpu | cuda")->capture_default_str();
  app.add_option("--dtype", options.model.dtype, "fp32 | bf16")->capture_default_str();
  return ParseAndRun(app, args, [&] {
    SetIntraOpThreads(options.engine.threads);
    return Answer(options);
  });
}

}  // namespace ziprl
