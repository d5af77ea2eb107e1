#include "trainer/plan/memory.h"

#include <algorithm>
#include <set>

#include "kernels/decode_attention.h"
#include "trainer/param_blocks.h"

namespace ziprl {
namespace {

using kernels::kPageRows;

constexpr int64_t kFloat = 4;
constexpr int64_t kFeatureStore = int64_t{512} << 20;        // VisualFeatures' capacity
constexpr int64_t kLogitBlock = int64_t{1} << 23;            // elements, model/attention_ops
constexpr int64_t kLogitColumns = 4096;                      // likewise
constexpr int kReductionsAlive = 3;                          // two under way and one that starts
constexpr int64_t kBatchSamples = 64, kBatchTokens = 32768;  // rollout/decode
constexpr int64_t kInnerRows = 252;                          // rollout/float_layers
constexpr int64_t kBroadcastPieces = int64_t{128} << 20;     // launch/device_sender
constexpr int64_t kLeastRows = 16;                           // rollout/kv_cache

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A RowBuffer's capacity once it holds `rows`, made for `capacity`.
int64_t Capacity(int64_t capacity, int64_t rows) {
  while (capacity < rows) capacity += std::max<int64_t>(capacity / 2, 1);
  return capacity;
}

// What computes rollouts: rollout/float_layers, or tensors. The machine planned for has bf16
// products, so its prompts in bf16 are tensors' work.
bool FloatLayers(const PlanInput& in) { return !in.machine.gpu; }
bool FloatPrompts(const PlanInput& in) { return FloatLayers(in) && in.element() == kFloat; }

int64_t GroupsInABatch(const PlanInput& in) {
  if (in.config.trainer.deterministic && !FloatLayers(in)) return 1;
  const int64_t n = in.config.rollout.n;
  return std::max<int64_t>(
      1, std::min(kBatchSamples / n, kBatchTokens / (n * std::max<int64_t>(in.prompt, 1))));
}

int64_t BatchesAtOnce(const PlanInput& in) {
  return std::min<int64_t>(in.side_by_side(), GroupsAtATime(in));
}

int64_t WorkersAtOnce(const PlanInput& in) {
  return std::min<int64_t>(in.workers(), static_cast<int64_t>(in.Units().size()));
}

// What holds every phase of a learner and what its update needs beside.
class LearnerMemory {
 public:
  LearnerMemory(const PlanInput& in, const ModelShape& shape)
      : in_(in), shape_(shape), element_(in.element()) {}

  int64_t Weights() const { return shape_.parameters * element_; }
  // Between uses: level 3 keeps a part of what is trained.
  int64_t WeightsAtRest() const {
    if (!Sharded()) return Weights();
    return (shape_.parameters - shape_.trained + TrainedShare()) * element_;
  }
  int64_t Optimizer() const {
    const int64_t each = 2 * kFloat + (element_ == 2 ? kFloat : 0);
    return (Level() >= 1 ? TrainedShare() : shape_.trained) * each;
  }
  // Sums that stay between passes. Alone: of each worker, from its first pass on. In the only pass
  // of a worker they grow as the graphs go, into the memory that these leave if its pieces (rows by
  // an MLP's inner width) are no smaller than a matrix's gradient.
  int64_t Gradients() const {
    if (in_.learners() > 1) return (Level() >= 1 ? TrainedShare() : shape_.trained) * kFloat;
    const int64_t sums = shape_.trained * kFloat * in_.workers();
    if (PassesOfAWorker() > 1 || in_.PackRows() < shape_.arch.hidden) return sums;
    return std::max<int64_t>(0, sums - PassActivationBytes(in_, in_.Recompute()));
  }
  int64_t Reference() const { return in_.config.algorithm.beta > 0 ? Weights() : 0; }

  // Blocks that are whole at the same time beside the parts: the head with the embedding it may
  // share, a layer, the tower.
  int64_t Gathered() const {
    if (!Sharded()) return 0;
    const int64_t head =
        shape_.blocks[kHeadBlock] + (shape_.arch.tied_embeddings ? shape_.blocks[kEmbedBlock] : 0);
    return std::max(
               {head, LargestLayer(), shape_.blocks[kVisionBlock], shape_.blocks[kEmbedBlock]}) *
           element_;
  }
  // Over ranks: gradients on their way.
  int64_t Reductions() const {
    if (in_.learners() == 1) return 0;
    const int64_t layer = LargestLayer(), embed = shape_.blocks[kEmbedBlock];
    return kFloat * std::max(kReductionsAlive * layer + (shape_.arch.tied_embeddings ? embed : 0),
                             2 * std::max(embed, shape_.blocks[kVisionBlock]));
  }
  int64_t VisionActivations() const {
    const VisionArchitecture& v = shape_.arch.vision;
    if (in_.config.actor.freeze_vision_tower) return 0;
    const std::vector<SequenceSize> sequences = in_.Sequences();
    int64_t images = 0;  // of a unit: its groups
    for (const TrainUnit& unit : in_.Units()) {
      std::set<int> groups;
      for (int i : SequencesOfUnits({unit})) groups.insert(sequences[i].group);
      images = std::max(images, static_cast<int64_t>(groups.size()));
    }
    return VisionActivationBytes(v, element_, images * in_.visual * v.merge * v.merge) *
           WorkersAtOnce(in_);
  }
  // A block of logits (in bf16: as computed, in fp32, and its gradient), in backward the gradient
  // of the head's matrix in fp32 and as stored; a layer's gradients before they are added.
  int64_t Backward() const {
    const int64_t columns = std::min<int64_t>(kLogitColumns, shape_.arch.vocab);
    const int64_t rows = std::min(in_.PackRows(), std::max<int64_t>(1, kLogitBlock / columns));
    const int64_t narrow = element_ == 2 ? element_ : 0;
    const int64_t head = rows * columns * (kFloat + 2 * narrow) + shape_.head * (kFloat + narrow);
    return std::max(head, LargestLayer() * element_) * WorkersAtOnce(in_);
  }

 private:
  int64_t PassesOfAWorker() const {
    int64_t packs = 0;
    for (const TrainUnit& unit : in_.Units()) packs += static_cast<int64_t>(unit.packs.size());
    return CeilDiv(packs, in_.workers());
  }
  int Level() const { return in_.learners() > 1 ? in_.config.actor.zero : 0; }
  bool Sharded() const { return Level() >= 3; }
  // Trained elements of a rank, every block's part rounded up.
  int64_t TrainedShare() const {
    int64_t share = 0;
    for (int64_t block : shape_.blocks) share += CeilDiv(block, in_.learners());
    return share;
  }
  int64_t LargestLayer() const { return shape_.blocks[LayerBlock(0)]; }

  const PlanInput& in_;
  const ModelShape& shape_;
  const int64_t element_;
};

// Pixels and tower outputs that VisualFeatures keeps: of the run's images, up to its capacity.
int64_t Features(const PlanInput& in) {
  const VisionArchitecture& v = in.arch.vision;
  if (in.visual == 0) return 0;
  const int64_t patch = int64_t{v.in_channels} * v.temporal_patch * v.patch * v.patch * kFloat;
  const int64_t image = in.visual * (v.merge * v.merge * patch + in.arch.hidden * in.element());
  const int64_t steps = in.config.trainer.max_steps;
  if (steps == 0) return kFeatureStore;
  return std::min(kFeatureStore, image * in.config.actor.global_batch_size * steps);
}

// One prompt on its way through a layer, of each batch: residual streams of the branches before and
// behind it, projections, what attention widens, the MLP's inner rows; or one image in the tower.
int64_t Prefill(const PlanInput& in) {
  const Architecture& a = in.arch;
  const int64_t e = in.element(), d = a.head_dim;
  const int64_t branches = in.Selections();
  const int64_t row = (2 * branches + 3) * a.hidden * e + (3 * a.heads + 4 * a.kv_heads) * d * e +
                      (e == 2 ? (2 * a.heads + 2 * a.kv_heads) * d * kFloat : 0);
  const int64_t inner =
      (FloatPrompts(in) ? std::min(in.prompt, kInnerRows) : in.prompt) * 3 * a.intermediate * e;
  const int64_t tower = VisionActivationBytes(a.vision, e, 1) / a.vision.depth;
  const int64_t patches = in.visual * a.vision.merge * a.vision.merge;
  return std::max(in.prompt * row + inner, patches * tower) * BatchesAtOnce(in);
}

// The sampler's: as computed and in fp32, of each batch.
int64_t Logits(const PlanInput& in) {
  return SequencesAtOnce(in) * in.arch.vocab * (kFloat + (FloatLayers(in) ? kFloat : in.element()));
}

void Add(const char* name, int64_t bytes, MemoryPhase* phase) {
  if (bytes > 0) phase->parts.push_back({name, bytes});
}

MemoryPhase Start(const char* name, const PlanInput& in) {
  MemoryPhase phase{name, {}};
  if (!in.machine.gpu) Add("process", in.process, &phase);
  return phase;
}

void AddGeneration(const PlanInput& in, MemoryPhase* phase) {
  Add("images", Features(in), phase);
  Add("kv cache", SequencesAtOnce(in) / in.config.rollout.n * GroupCacheBytes(in), phase);
  Add("prefill", Prefill(in), phase);
  Add("logits", Logits(in), phase);
}

RoleMemory LearnerRole(const PlanInput& in, const ModelShape& shape) {
  const LearnerMemory memory(in, shape);
  RoleMemory role{in.alone() ? "one process" : "learner", in.learners(), {}, {}};
  const auto common = [&](MemoryPhase* phase, int64_t weights) {
    Add("weights", weights, phase);
    Add("reference", memory.Reference(), phase);
    Add("optimizer", memory.Optimizer(), phase);
    if (in.learners() > 1) Add("gradients", memory.Gradients(), phase);
  };
  const int64_t snapshots = in.shared() || in.device_broadcast() ? 0 : 2 * memory.Weights();
  const bool on_host = in.machine.gpu && snapshots > 0;
  if (on_host) role.host.push_back({"snapshots", snapshots});
  const int64_t held = on_host ? 0 : snapshots;

  MemoryPhase between = Start(in.shared() ? "generate" : "publish", in);
  common(&between, memory.Weights());
  Add("snapshots", held, &between);
  if (in.device_broadcast()) Add("broadcast pieces", kBroadcastPieces, &between);
  if (in.shared()) AddGeneration(in, &between);

  MemoryPhase update = Start("update", in);
  common(&update, memory.WeightsAtRest());
  if (in.learners() == 1) Add("gradients", memory.Gradients(), &update);
  Add("snapshots", held, &update);
  Add("gathered block", memory.Gathered(), &update);
  Add("reductions", memory.Reductions(), &update);
  Add("activations", PassActivationBytes(in, in.Recompute()), &update);
  Add("tower activations", memory.VisionActivations(), &update);
  Add("backward", memory.Backward(), &update);
  Add("images", Features(in), &update);

  role.phases = {between, update};
  return role;
}

RoleMemory RolloutRole(const PlanInput& in, const ModelShape& shape) {
  RoleMemory role{"rollout", in.rollouts(), {}, {}};
  const int64_t weights = shape.parameters * in.element();
  MemoryPhase generate = Start("generate", in);
  Add("weights", weights, &generate);
  AddGeneration(in, &generate);
  // From GPU to GPU the version that arrives, on the host where there is no room; else the one it
  // has, base of the next delta, and the one that arrives.
  const int64_t arriving = in.device_broadcast() ? weights : 2 * weights;
  const char* const name = in.device_broadcast() ? "arriving weights" : "snapshots";
  const bool room =
      static_cast<double>(generate.bytes() + arriving + kContextBytes) <= in.machine.memory;
  if (in.machine.gpu && !(in.device_broadcast() && room)) {
    role.host.push_back({name, arriving});
  } else {
    Add(name, arriving, &generate);
  }
  role.phases = {generate};
  return role;
}

}  // namespace

int64_t MemoryPhase::bytes() const {
  int64_t sum = 0;
  for (const MemoryPart& part : parts) sum += part.bytes;
  return sum;
}

const MemoryPhase& RoleMemory::peak() const {
  return *std::max_element(
      phases.begin(), phases.end(),
      [](const MemoryPhase& a, const MemoryPhase& b) { return a.bytes() < b.bytes(); });
}

int64_t GroupsAtATime(const PlanInput& in) {
  const int64_t batch = in.config.actor.global_batch_size;
  const int64_t workers = in.rollouts();
  if (in.shared() && workers == 1) return batch;
  return std::max<int64_t>(1, batch / (2 * std::max<int64_t>(workers, 1)));
}

int64_t SequencesAtOnce(const PlanInput& in) {
  return std::min(BatchesAtOnce(in) * GroupsInABatch(in), GroupsAtATime(in)) * in.config.rollout.n;
}

int64_t PassActivationBytes(const PlanInput& in, bool recompute) {
  const int64_t rows = in.PackRows(), element = in.element();
  const int64_t graphs = ActivationBytes(in.arch, element, rows);
  if (!recompute) return graphs * WorkersAtOnce(in);
  const int64_t inputs = rows * in.arch.hidden * element * in.arch.layers;
  return (inputs + graphs / in.arch.layers) * WorkersAtOnce(in);
}

int64_t GroupCacheBytes(const PlanInput& in) {
  const Architecture& a = in.arch;
  const int64_t n = in.config.rollout.n, interval = in.config.rollout.rescore_interval;
  const auto kept = static_cast<int64_t>(in.kept_ratio * static_cast<double>(in.prompt) + 0.5);
  const bool recompressed = !in.dense() && interval > 0 && in.response > interval;
  // Once re-compressed a sequence shares nothing.
  const int64_t full = kept / kPageRows, selections = recompressed ? n : in.Selections();
  const int64_t pages = selections * full + n * (CeilDiv(kept + in.response, kPageRows) - full);
  int64_t floats = pages * kPageRows * 2 * a.kv_heads * a.head_dim;
  // The queries of the newest tokens, where re-compressions will ask for them.
  if (recompressed) floats += n * Capacity(kLeastRows, interval) * a.heads * a.head_dim;
  return floats * kFloat * a.layers;
}

std::vector<RoleMemory> PlanMemory(const PlanInput& input, const ModelShape& shape) {
  std::vector<RoleMemory> roles = {LearnerRole(input, shape)};
  if (!input.shared()) roles.push_back(RolloutRole(input, shape));
  return roles;
}

}  // namespace ziprl
