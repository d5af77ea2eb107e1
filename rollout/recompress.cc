#include "rollout/recompress.h"

#include <vector>

#include "model/token_selection.h"
#include "rollout/host_tensor.h"

namespace ziprl {

bool RecordsQueries(const EngineConfig& config, double p) {
  return p < 1.0 && config.rescore_interval > 0 &&
         config.max_response_length > config.rescore_interval;
}

bool RecompressionIsDue(const EngineConfig& config, int32_t number) {
  return config.rescore_interval > 0 && number > 0 && number % config.rescore_interval == 0;
}

void RecompressDue(const EngineContext& context, const std::vector<Sequence*>& sequences,
                   int layer) {
  for (Sequence* sequence : sequences) {
    if (sequence == nullptr || !RecompressionIsDue(*context.config, sequence->fed + 1)) continue;
    auto& events = sequence->out.kept.events;
    if (layer == 0) events.emplace_back(context.arch().layers);
    events.back()[layer] = Recompress(context, sequence->out.p, layer, &sequence->layers[layer]);
  }
}

Bitmap Recompress(const EngineContext& context, double p, int layer, SequenceLayer* state) {
  const int32_t entries = state->cache.length();
  if (p >= 1.0) return FullBitmap(entries);
  const int32_t num_probes = static_cast<int32_t>(state->window.length());
  std::vector<int32_t> limit(num_probes);  // the probes are the cache's newest entries
  for (int32_t c = 0; c < num_probes; ++c) limit[c] = entries - num_probes + c + 1;
  const MassResult mass =
      ProbeMass(state->window.rows(), state->cache.GatherKeys(), ToDevice(limit, context.device()));
  SelectionSpec spec;
  spec.p = p;
  const LayerSelection selection = SelectTokens(mass, SeenCounts(limit, entries),
                                                ForcedMask(context.force, state->cache.visual()),
                                                context.arch().heads, num_probes, spec, layer);
  state->cache.Compact(selection.keep, context.device());
  state->window.Clear();
  return selection.keep;
}

}  // namespace ziprl
