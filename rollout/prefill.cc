#include "rollout/prefill.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>

#include "configs/base/bfloat16.h"
#include "model/token_selection.h"
#include "rollout/host_tensor.h"
#include "rollout/prompt_layers.h"

namespace ziprl {
namespace {

struct Branch {
  at::Tensor x;              // residual stream [n, C]; [1, C] after the last layer
  std::vector<int> members;  // places in the group
};

// Members whose kept sets of a layer are equal.
struct Part {
  LayerSelection selection;
  std::vector<int> members;
};

class GroupPrefill {
 public:
  GroupPrefill(const EngineContext& context, const PreparedPrompt& prompt,
               const std::vector<Sequence*>& group)
      : context_(context), layers_(context), prompt_(prompt), group_(group) {}

  at::Tensor Run();

 private:
  std::vector<Branch> AdvanceLayer(int layer, const Branch& branch);
  std::vector<Part> Select(int layer, const Branch& branch, const Qkv& qkv);
  LayerSelection SelectOne(int layer, const Sequence& sequence, const MassResult& mass) const;
  at::Tensor Attend(int layer, const at::Tensor& x, const Qkv& qkv, const Part& part);
  at::Tensor FinishLast(const at::Tensor& x, const Qkv& qkv, const at::Tensor& k,
                        const at::Tensor& v, bool last_kept);
  static void RecordLogits(const std::vector<float>& logits, Sequence* sequence);
  void Record(int layer, const Part& part, const at::Tensor& k, const at::Tensor& v);
  void FillRatios(Sequence* sequence) const;
  bool IsLast(int layer) const { return layer + 1 == context_.arch().layers; }

  const EngineContext& context_;
  PromptLayers layers_;
  const PreparedPrompt& prompt_;
  const std::vector<Sequence*>& group_;
};

bool SelectionIsSampled(const EngineContext& context, double p) {
  return context.config->stochastic && p < 1.0;
}

at::Tensor GroupPrefill::Run() {
  for (Sequence* sequence : group_) {
    sequence->prompt_length = prompt_.length;
    sequence->next_position = prompt_.next_position;
    sequence->layers.resize(context_.arch().layers);
    sequence->out.kept.events.assign(1, std::vector<Bitmap>(context_.arch().layers));
    sequence->out.kept_mass = 0.0;
  }
  std::vector<int> everyone(group_.size());
  std::iota(everyone.begin(), everyone.end(), 0);
  std::vector<Branch> branches;
  branches.push_back({prompt_.embeddings, std::move(everyone)});
  for (int layer = 0; layer < context_.arch().layers; ++layer) {
    std::vector<Branch> next;
    for (Branch& branch : branches) {
      for (Branch& grown : AdvanceLayer(layer, branch)) next.push_back(std::move(grown));
      branch.x.reset();
    }
    branches = std::move(next);
  }
  for (Sequence* sequence : group_) FillRatios(sequence);
  std::vector<at::Tensor> rows(group_.size());
  for (const Branch& branch : branches) {
    for (int member : branch.members) rows[member] = branch.x;
  }
  return at::cat(rows, 0);
}

std::vector<Branch> GroupPrefill::AdvanceLayer(int layer, const Branch& branch) {
  const Qkv qkv = layers_.Project(layer, branch.x, prompt_.rotary);
  std::vector<Branch> grown;
  for (Part& part : Select(layer, branch, qkv)) {
    at::Tensor x = Attend(layer, branch.x, qkv, part);
    grown.push_back({std::move(x), std::move(part.members)});
  }
  return grown;
}

// The kept set of every member, computed once per distinct (p, selection), gathered by equality.
std::vector<Part> GroupPrefill::Select(int layer, const Branch& branch, const Qkv& qkv) {
  MassResult mass;
  bool wanted = false;
  for (int member : branch.members) wanted = wanted || group_[member]->out.p < 1.0;
  if (wanted) mass = ProbeMass(GatherRows(qkv.q, prompt_.probe_index), qkv.k, prompt_.limit);

  std::vector<Part> parts;
  std::vector<std::pair<double, size_t>> decided;  // p of deterministic selections -> part
  for (int member : branch.members) {
    const Sequence& sequence = *group_[member];
    const double p = sequence.out.p;
    size_t part = parts.size();
    for (const auto& [known, place] : decided) {
      if (known == p) part = place;
    }
    if (part == parts.size()) {
      LayerSelection selection = SelectOne(layer, sequence, mass);
      RecordLogits(selection.logits, group_[member]);
      for (part = 0; part < parts.size(); ++part) {
        if (parts[part].selection.keep == selection.keep) break;
      }
      if (part == parts.size()) parts.push_back({std::move(selection), {}});
      if (!SelectionIsSampled(context_, p)) decided.emplace_back(p, part);
    }
    parts[part].members.push_back(member);
  }
  return parts;
}

LayerSelection GroupPrefill::SelectOne(int layer, const Sequence& sequence,
                                       const MassResult& mass) const {
  LayerSelection selection;
  if (sequence.out.p >= 1.0) {
    selection.keep = FullBitmap(prompt_.length);
    selection.budget = prompt_.length;
    selection.kept_mass = 1.0;
    return selection;
  }
  SelectionSpec spec;
  spec.p = sequence.out.p;
  spec.stochastic = context_.config->stochastic;
  spec.temperature = context_.config->selection_temperature;
  spec.rollout_seed = sequence.out.seed;
  spec.logits = context_.config->selection_logits;
  return SelectTokens(mass, prompt_.seen, prompt_.forced, context_.arch().heads,
                      static_cast<int>(prompt_.probes.size()), spec, layer);
}

// Attention over the kept tokens and the rest of the layer. After the last layer only the last
// position's row is needed.
at::Tensor GroupPrefill::Attend(int layer, const at::Tensor& x, const Qkv& qkv, const Part& part) {
  const Bitmap& keep = part.selection.keep;
  const int32_t kept = static_cast<int32_t>(keep.Count());
  at::Tensor rows;  // undefined: every row is kept
  Qkv compact = qkv;
  if (kept < prompt_.length) {
    rows = KeptIndex(keep, context_.device());
    compact.k = GatherRows(qkv.k, rows);
    compact.v = GatherRows(qkv.v, rows);
  }
  Record(layer, part, compact.k, compact.v);
  if (IsLast(layer)) return FinishLast(x, qkv, compact.k, compact.v, keep.Test(keep.size - 1));
  if (rows.defined()) compact.q = GatherRows(qkv.q, rows);
  const at::Tensor attention = RaggedAttention(
      compact.q, compact.k, compact.v,
      FullVisibility({kept}, /*causal=*/true, context_.device().device, context_.prefill));
  return layers_.Finish(
      layer, x, attention.reshape({kept, context_.arch().heads * context_.arch().head_dim}), rows);
}

at::Tensor GroupPrefill::FinishLast(const at::Tensor& x, const Qkv& qkv, const at::Tensor& k,
                                    const at::Tensor& v, bool last_kept) {
  const Architecture& arch = context_.arch();
  const int64_t n = prompt_.length;
  const int64_t width = static_cast<int64_t>(arch.heads) * arch.head_dim;
  at::Tensor attention = at::zeros({1, width}, qkv.q.options());
  if (last_kept) {
    const int32_t kept = static_cast<int32_t>(k.size(0));
    attention =
        RaggedAttention(qkv.q.narrow(0, n - 1, 1), k, v, TailVisibility(1, kept, context_.device()))
            .reshape({1, width});
  }
  return layers_.Finish(arch.layers - 1, x.narrow(0, n - 1, 1), attention, at::Tensor());
}

// Of the next layer.
void GroupPrefill::RecordLogits(const std::vector<float>& logits, Sequence* sequence) {
  std::vector<uint16_t>& out = sequence->out.selection_logits;
  if (out.empty()) out.reserve(logits.size() * sequence->layers.size());
  for (float z : logits) out.push_back(ToBfloat16(z));
}

void GroupPrefill::Record(int layer, const Part& part, const at::Tensor& k, const at::Tensor& v) {
  const Bitmap& keep = part.selection.keep;
  std::vector<uint8_t> visual;
  visual.reserve(k.size(0));
  for (uint32_t j = 0; j < keep.size; ++j) {
    if (keep.Test(j)) visual.push_back(prompt_.visual[j]);
  }
  LayerCache cache;
  cache.Fill(k, v, std::move(visual), context_.device());
  for (int member : part.members) {
    Sequence& sequence = *group_[member];
    sequence.layers[layer].cache = cache;
    sequence.out.kept.events[0][layer] = keep;
    sequence.out.kept_mass += part.selection.kept_mass / context_.arch().layers;
  }
}

void GroupPrefill::FillRatios(Sequence* sequence) const {
  Completion& out = sequence->out;
  int64_t kept = 0, visual = 0;
  for (uint8_t flag : prompt_.visual) visual += flag;
  for (const SequenceLayer& layer : sequence->layers) {
    for (uint8_t flag : layer.cache.visual()) kept += flag;
  }
  const int64_t layers = static_cast<int64_t>(sequence->layers.size());
  out.kept_ratio = out.kept.KeptRatio();
  out.visual_kept_ratio = visual == 0 ? 1.0 : static_cast<double>(kept) / (visual * layers);
}

}  // namespace

Visibility TailVisibility(int32_t num_queries, int32_t num_keys, const Device& device) {
  std::vector<int32_t> k_pos(num_keys);
  std::iota(k_pos.begin(), k_pos.end(), 0);
  const std::vector<int32_t> q_pos(k_pos.end() - num_queries, k_pos.end());
  const std::vector<int32_t> k_end(num_keys, std::numeric_limits<int32_t>::max());
  Visibility visibility;
  visibility.q_pos = ToDevice(q_pos, device);
  visibility.k_pos = ToDevice(k_pos, device);
  visibility.k_end = ToDevice(k_end, device);
  visibility.q_offsets = ToDevice(std::vector<int32_t>{0, num_queries}, device);
  visibility.k_offsets = ToDevice(std::vector<int32_t>{0, num_keys}, device);
  return visibility;
}

at::Tensor PrefillGroup(const EngineContext& context, const PreparedPrompt& prompt,
                        const std::vector<Sequence*>& group) {
  return GroupPrefill(context, prompt, group).Run();
}

}  // namespace ziprl
