#include "tests/rollout/engine_case.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", std::string(value.status().message()).c_str());
    std::abort();
  }
  return *std::move(value);
}

}  // namespace

std::shared_ptr<Model> TinyModel(const std::string& name, const std::string& dtype) {
  return Must(
      LoadModel(absl::StrCat(ZIPRL_TINY_MODELS, "/", name), Must(MakeDevice("cpu", dtype))));
}

Prompt TinyPrompt(const Model& model, int length, int num_images, uint64_t seed) {
  Prompt prompt;
  std::vector<int32_t> visual;
  for (int i = 0; i < num_images; ++i) {
    MediaRef image = Must(ReadMedia(absl::StrCat(model.dir, "/image_", i, ".png")));
    const Grid grid = Must(model.processor->GridOf(image));
    const int merge = model.arch.vision.merge;
    visual.push_back(model.arch.vision_start_token);
    visual.insert(visual.end(), grid.t * grid.h * grid.w / (merge * merge), model.arch.image_token);
    visual.push_back(model.arch.vision_end_token);
    prompt.media.push_back(std::move(image));
  }
  const int text = length - static_cast<int>(visual.size());
  if (text < 4) std::abort();
  for (int j = 0; j < text; ++j) {
    if (j == 3) prompt.token_ids.insert(prompt.token_ids.end(), visual.begin(), visual.end());
    const uint64_t random = PhiloxU64(seed, j, 0, 0, RngStream::kShuffle);
    prompt.token_ids.push_back(static_cast<int32_t>(random % 256));
  }
  prompt.row = static_cast<int64_t>(seed);
  return prompt;
}

GroupLease TinyLease(const Prompt& prompt, const std::vector<double>& thresholds, uint64_t seed) {
  GroupLease lease;
  lease.lease_id = seed;
  lease.prompt = prompt;
  lease.group_seed = seed;
  for (size_t i = 0; i < thresholds.size(); ++i) {
    const int index = static_cast<int>(i);
    lease.samples.push_back({index, thresholds[i], DeriveSeed(seed, i, 0)});
  }
  return lease;
}

EngineConfig Settings(int max_response, int rescore_interval) {
  EngineConfig config;
  config.max_response_length = max_response;
  config.rescore_interval = rescore_interval;
  config.ignore_eos = true;
  return config;
}

std::vector<std::vector<Completion>> MustGenerate(const EngineConfig& config,
                                                  const std::shared_ptr<Model>& model,
                                                  const std::vector<GroupLease>& leases) {
  auto engine = Must(MakeSparseEngine(config, model, std::make_shared<VisualFeatures>()));
  return Must(engine->Generate(leases));
}

std::vector<Completion> MustGenerate(const EngineConfig& config,
                                     const std::shared_ptr<Model>& model, const GroupLease& lease) {
  return MustGenerate(config, model, std::vector<GroupLease>{lease})[0];
}

}  // namespace ziprl
