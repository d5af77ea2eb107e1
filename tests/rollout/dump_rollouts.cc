// Writes what the engine generated, and what ScoreResponse says of it, as JSON lines for oracle.py.
// usage: dump_rollouts OUT.jsonl
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tests/rollout/engine_case.h"

namespace ziprl {
namespace {

struct Case {
  std::string model;
  int length = 0, images = 0;
  std::vector<double> thresholds;
  EngineConfig config;
};

EngineConfig Settings(int max_response, int rescore_interval, double temperature) {
  EngineConfig config;
  config.max_response_length = max_response;
  config.rescore_interval = rescore_interval;
  config.temperature = temperature;
  config.ignore_eos = temperature > 0;
  return config;
}

std::vector<Case> Cases() {
  EngineConfig text_probes = Settings(20, 8, 1.0);
  text_probes.probes_text = true;
  text_probes.force_keep = {"text", "first"};
  EngineConfig stochastic = Settings(40, 8, 1.3);
  stochastic.stochastic = true;
  stochastic.selection_temperature = 0.7;
  EngineConfig deterministic = Settings(30, 8, 1.0);
  deterministic.deterministic = true;
  EngineConfig last_may_drop = Settings(24, 8, 1.0);
  last_may_drop.force_keep = {"first"};
  EngineConfig greedy = Settings(150, 100, 0.0);
  greedy.suppress_ids = false;
  return {
      {"base", 40, 0, {0.975, 0.8, 0.5}, Settings(40, 8, 1.0)},
      {"base", 120, 1, {0.975, 0.9, 0.7, 0.4}, Settings(40, 8, 1.0)},
      {"base", 600, 2, {0.95, 0.6}, Settings(130, 100, 1.0)},
      {"base", 150, 1, {0.9, 0.6}, text_probes},
      {"base", 200, 2, {0.95, 0.95, 0.7}, stochastic},
      {"base", 130, 1, {0.3, 0.2}, last_may_drop},
      {"base", 110, 1, {1.0}, greedy},
      {"odd", 330, 2, {0.975, 0.8, 0.5}, Settings(120, 100, 1.0)},
      {"odd", 330, 2, {0.9, 0.6}, Settings(110, 8, 1.0)},
      {"odd", 90, 1, {0.9, 0.9, 0.6}, deterministic},
      {"odd", 340, 2, {1.0}, greedy},
  };
}

nlohmann::json ToJson(const KeptSets& kept) {
  nlohmann::json events = nlohmann::json::array();
  for (const auto& layers : kept.events) {
    nlohmann::json event = nlohmann::json::array();
    for (const Bitmap& bitmap : layers) {
      std::string bits;
      for (uint32_t j = 0; j < bitmap.size; ++j) bits += bitmap.Test(j) ? '1' : '0';
      event.push_back(bits);
    }
    events.push_back(event);
  }
  return events;
}

nlohmann::json Describe(const Case& c, const Model& model, const GroupLease& lease,
                        const Completion& sample, VisualFeatures& features) {
  GroupLease one = lease;
  one.samples = {{sample.index, sample.p, sample.seed}};
  std::vector<int32_t> probes;
  const auto scored = ScoreResponse(c.config, model, features, one, sample.token_ids, &probes);
  if (!scored.ok()) {
    std::fprintf(stderr, "%s\n", std::string(scored.status().message()).c_str());
    std::abort();
  }
  nlohmann::json images = nlohmann::json::array();
  for (const MediaRef& image : lease.prompt.media) images.push_back(image.source);
  std::vector<int> suppressed;
  if (c.config.suppress_ids) {
    const auto mask = model.processor->SuppressedIds();
    for (size_t id = 0; id < mask.size(); ++id) {
      if (mask[id]) suppressed.push_back(static_cast<int>(id));
    }
  }
  return {{"model", model.dir},
          {"images", images},
          {"prompt_ids", lease.prompt.token_ids},
          {"probes", probes},
          {"p", sample.p},
          {"seed", sample.seed},
          {"stochastic", c.config.stochastic},
          {"selection_temperature", c.config.selection_temperature},
          {"rescore_interval", c.config.rescore_interval},
          {"force_keep", c.config.force_keep},
          {"temperature", c.config.temperature > 0 ? c.config.temperature : 1.0},
          {"greedy", c.config.temperature == 0},
          {"max_response_length", c.config.max_response_length},
          {"suppressed", suppressed},
          {"response", sample.token_ids},
          {"logprobs", sample.logprobs},
          {"kept", ToJson(sample.kept)},
          {"kept_ratio", sample.kept_ratio},
          {"kept_mass", sample.kept_mass},
          {"visual_kept_ratio", sample.visual_kept_ratio},
          {"kv_kept_ratio", sample.kv_kept_ratio},
          {"scored_logprobs", scored->logprobs},
          {"scored_kept", ToJson(scored->kept)},
          {"scored_kv_kept_ratio", scored->kv_kept_ratio}};
}

void Dump(std::ostream& out) {
  uint64_t seed = 11;
  for (const Case& c : Cases()) {
    const auto model = TinyModel(c.model);
    VisualFeatures features;
    const Prompt prompt = TinyPrompt(*model, c.length, c.images, ++seed);
    const GroupLease lease = TinyLease(prompt, c.thresholds, seed);
    for (const Completion& sample : MustGenerate(c.config, model, lease)) {
      out << Describe(c, *model, lease, sample, features).dump() << "\n";
    }
  }
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: dump_rollouts OUT.jsonl\n");
    return 2;
  }
  std::ofstream out(argv[1]);
  ziprl::Dump(out);
  out.close();
  return out.good() ? 0 : 1;
}
