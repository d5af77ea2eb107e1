#include "trainer/pack_pass.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <utility>

#include "configs/base/status_macros.h"
#include "trainer/host_tensor.h"
#include "trainer/param_blocks.h"

namespace ziprl {
namespace {

at::Tensor Rows(const at::Tensor& x, const at::Tensor& rows) {
  if (!rows.defined()) return x;
  return GatherRows(x.flatten(1), rows).view({rows.size(0), x.size(1), x.size(2)});
}

at::Tensor Repeated(const at::Tensor& x, const at::Tensor& rows) {
  return RepeatRows(x.flatten(1), rows).view({rows.size(0), x.size(1), x.size(2)});
}

// Keys of a pack, in the order of the rows from which they are seen.
struct KeyList {
  std::vector<int64_t> rows;
  std::vector<int32_t> positions, ends, offsets = {0};

  void Add(const LayerPlan& plan, int64_t first_row) {
    auto again = plan.again.begin();
    for (size_t i = 0; i < plan.rows.size(); ++i) {
      for (; again != plan.again.end() && again->from <= plan.rows[i]; ++again) {
        AddKey(first_row + again->row, again->from, again->end);
      }
      AddKey(first_row + plan.rows[i], plan.rows[i], plan.end[i]);
    }
    for (; again != plan.again.end(); ++again) {
      AddKey(first_row + again->row, again->from, again->end);
    }
    offsets.push_back(static_cast<int32_t>(rows.size()));
  }

 private:
  void AddKey(int64_t row, int32_t position, int32_t end) {
    rows.push_back(row);
    positions.push_back(position);
    ends.push_back(end);
  }
};

// Whether its rows that attend see all of them up to themselves.
bool IsCausal(const LayerPlan& plan, int64_t num_rows) {
  return plan.again.empty() && std::all_of(plan.end.begin(), plan.end.end(),
                                           [&](int32_t end) { return end >= num_rows; });
}

std::vector<LayerPlan> DensePlans(const std::vector<const TrainSequence*>& sequences) {
  std::vector<LayerPlan> plans;
  for (const TrainSequence* s : sequences) {
    plans.push_back(DensePlan(s->num_rows()));
    if (!s->row_ends.empty()) plans.back().end = s->row_ends;
  }
  return plans;
}

int HeadParam(const Architecture& arch, const ParamStore& params) {
  return arch.tied_embeddings ? params.Find("model.embed_tokens.weight")
                              : params.Find("lm_head.weight");
}

absl::Status Enter(PassListener* listener, int block) {
  return listener == nullptr ? absl::OkStatus() : listener->Enter(block);
}

void Leave(PassListener* listener, int block) {
  if (listener != nullptr) listener->Leave(block);
}

absl::Status Ready(PassListener* listener, int block, GradientSum* grads) {
  return listener == nullptr ? absl::OkStatus() : listener->GradientsReady(block, grads);
}

// The head is entered once for forward and backward; a tied one uses the embedding's block too.
absl::Status EnterHead(const Architecture& arch, PassListener* listener) {
  ZIPRL_RETURN_IF_ERROR(Enter(listener, kHeadBlock));
  return arch.tied_embeddings ? Enter(listener, kEmbedBlock) : absl::OkStatus();
}

void LeaveHead(const Architecture& arch, PassListener* listener) {
  if (arch.tied_embeddings) Leave(listener, kEmbedBlock);
  Leave(listener, kHeadBlock);
}

}  // namespace

PackPass::PackPass(const Architecture& arch, const Device& device, const ParamStore& leaves,
                   const PassConfig& config, std::vector<const TrainSequence*> sequences,
                   LayerPolicy* policy)
    : arch_(arch),
      device_(device),
      leaves_(leaves),
      config_(config),
      sequences_(std::move(sequences)),
      policy_(policy),
      tape_(arch.layers) {
  offsets_.push_back(0);
  for (const TrainSequence* s : sequences_) {
    ids_.insert(ids_.end(), s->ids.begin(), s->ids.end());
    offsets_.push_back(static_cast<int64_t>(ids_.size()));
  }
}

absl::Status PackPass::Embed(const at::Tensor& visual) {
  std::array<std::vector<int32_t>, 3> positions;
  for (const TrainSequence* s : sequences_) {
    for (int a = 0; a < 3; ++a) {
      positions[a].insert(positions[a].end(), s->positions[a].begin(), s->positions[a].end());
    }
  }
  const at::NoGradGuard no_grad;
  rotary_ = MakeRotary(arch_, positions, device_);
  ZIPRL_RETURN_IF_ERROR(Enter(config_.listener, kEmbedBlock));
  embeddings_ = EmbedTokens(arch_, leaves_, ids_, visual).detach();
  Leave(config_.listener, kEmbedBlock);
  return absl::OkStatus();
}

absl::StatusOr<PassResult> PackPass::Forward(const at::Tensor& visual) {
  ZIPRL_RETURN_IF_ERROR(Embed(visual));
  if (policy_ == nullptr) dense_ = MakeGeometry(DensePlans(sequences_));
  at::Tensor x = embeddings_;
  const bool keep_graph = config_.gradients && !config_.recompute;
  for (int layer = 0; layer < arch_.layers; ++layer) {
    const at::AutoGradMode mode(keep_graph);
    Tape& tape = tape_[layer];
    tape.in = keep_graph ? x.detach().requires_grad_(true) : x;
    ZIPRL_RETURN_IF_ERROR(Enter(config_.listener, LayerBlock(layer)));
    ZIPRL_ASSIGN_OR_RETURN(at::Tensor out, RunLayer(layer, tape.in, keep_graph));
    Leave(config_.listener, LayerBlock(layer));
    x = out.detach();
    if (keep_graph) tape.out = std::move(out);
    if (!config_.gradients) tape = Tape();
  }
  return RunHead(x);
}

absl::StatusOr<PassResult> PackPass::RunHead(const at::Tensor& x) {
  std::vector<int64_t> rows;
  std::vector<int32_t> targets;
  for (size_t s = 0; s < sequences_.size(); ++s) {
    for (int32_t r : sequences_[s]->target_rows) rows.push_back(offsets_[s] + r);
    targets.insert(targets.end(), sequences_[s]->target_ids.begin(),
                   sequences_[s]->target_ids.end());
  }
  ZIPRL_RETURN_IF_ERROR(EnterHead(arch_, config_.listener));
  const at::AutoGradMode mode(config_.gradients);
  head_in_ = config_.gradients ? x.detach().requires_grad_(true) : x;
  const at::Tensor hidden =
      FinalNorm(arch_, leaves_, GatherRows(head_in_, LongTensor(rows, device_.device)));
  const LogprobResult result =
      TokenLogprob(hidden, HeadWeight(arch_, leaves_), IntTensor(targets, device_.device),
                   config_.suppressed, config_.temperature, config_.entropy, config_.compute);
  head_out_ = result.logprob;
  PassResult out;
  out.logprob = HostFloats(result.logprob);
  if (config_.entropy) out.entropy = HostFloats(result.entropy);
  if (!config_.gradients) LeaveHead(arch_, config_.listener);
  return out;
}

absl::StatusOr<at::Tensor> PackPass::RunLayer(int layer, const at::Tensor& x, bool with_outputs) {
  Tape& tape = tape_[layer];
  const DecoderLayerWeights weights = LayerWeights(leaves_, layer);
  const Qkv qkv = ProjectQkv(arch_, weights, x, rotary_, config_.compute);
  if (policy_ == nullptr) {
    tape.geometry = dense_;
  } else if (!tape.planned) {
    ZIPRL_RETURN_IF_ERROR(PlanLayer(layer, qkv));
  }
  if (policy_ != nullptr && with_outputs) {
    for (size_t s = 0; s < sequences_.size(); ++s) {
      const int64_t from = offsets_[s], count = offsets_[s + 1] - from;
      ZIPRL_RETURN_IF_ERROR(policy_->Outputs(layer, static_cast<int>(s),
                                             qkv.q.narrow(0, from, count),
                                             qkv.k.narrow(0, from, count), &tape.outputs));
    }
  }
  const at::Tensor &rows = tape.geometry.rows, &keys = tape.geometry.keys;
  const auto key_rows = [&](const at::Tensor& x) {
    return keys.defined() ? Repeated(x, keys) : Rows(x, rows);
  };
  const at::Tensor attention = RaggedAttention(Rows(qkv.q, rows), key_rows(qkv.k), key_rows(qkv.v),
                                               tape.geometry.visibility);
  return FinishLayer(arch_, weights, x, attention.flatten(1), rows, config_.compute);
}

absl::Status PackPass::PlanLayer(int layer, const Qkv& qkv) {
  std::vector<LayerPlan> plans;
  const at::Tensor q = qkv.q.detach(), k = qkv.k.detach();
  for (size_t s = 0; s < sequences_.size(); ++s) {
    const int64_t from = offsets_[s], count = offsets_[s + 1] - from;
    ZIPRL_ASSIGN_OR_RETURN(LayerPlan plan,
                           policy_->Plan(layer, static_cast<int>(s), q.narrow(0, from, count),
                                         k.narrow(0, from, count)));
    plans.push_back(std::move(plan));
  }
  tape_[layer].geometry = MakeGeometry(plans);
  tape_[layer].planned = true;
  return absl::OkStatus();
}

PackPass::Geometry PackPass::MakeGeometry(const std::vector<LayerPlan>& plans) const {
  std::vector<int64_t> rows;
  std::vector<int32_t> positions, offsets = {0};
  KeyList keys;
  bool all_rows = true, again = false, runs = config_.compute.tile_rows == 0;
  for (size_t s = 0; s < plans.size(); ++s) {
    for (int32_t r : plans[s].rows) rows.push_back(offsets_[s] + r);
    positions.insert(positions.end(), plans[s].rows.begin(), plans[s].rows.end());
    offsets.push_back(static_cast<int32_t>(rows.size()));
    keys.Add(plans[s], offsets_[s]);
    all_rows = all_rows && plans[s].all_rows;
    again = again || !plans[s].again.empty();
    runs = runs && IsCausal(plans[s], offsets_[s + 1] - offsets_[s]);
  }
  Geometry out;
  if (!all_rows) out.rows = LongTensor(rows, device_.device);
  if (again) out.keys = LongTensor(keys.rows, device_.device);
  out.visibility.q_pos = IntTensor(positions, device_.device);
  out.visibility.q_offsets = IntTensor(offsets, device_.device);
  out.visibility.k_pos = IntTensor(keys.positions, device_.device);
  out.visibility.k_offsets = IntTensor(keys.offsets, device_.device);
  out.visibility.k_end = IntTensor(keys.ends, device_.device);
  for (size_t s = 0; runs && s < plans.size(); ++s) {
    out.visibility.runs.push_back(offsets[s + 1] - offsets[s]);
  }
  out.visibility.causal = true;
  return out;
}

absl::StatusOr<at::Tensor> PackPass::Backward(const std::vector<float>& dlogprob, bool want_visual,
                                              GradientSum* grads) {
  ZIPRL_ASSIGN_OR_RETURN(at::Tensor grad, HeadBackward(dlogprob, grads));
  for (int layer = arch_.layers - 1; layer >= 0; --layer) {
    ZIPRL_RETURN_IF_ERROR(Enter(config_.listener, LayerBlock(layer)));
    ZIPRL_ASSIGN_OR_RETURN(grad, LayerBackward(layer, grad, grads));
    Leave(config_.listener, LayerBlock(layer));
    ZIPRL_RETURN_IF_ERROR(Ready(config_.listener, LayerBlock(layer), grads));
  }
  at::Tensor visual = EmbeddingBackward(grad, want_visual, grads);
  ZIPRL_RETURN_IF_ERROR(Ready(config_.listener, kEmbedBlock, grads));
  return visual;
}

absl::StatusOr<at::Tensor> PackPass::HeadBackward(const std::vector<float>& dlogprob,
                                                  GradientSum* grads) {
  const int norm = leaves_.Find("model.norm.weight");
  const int head = HeadParam(arch_, leaves_);
  const at::AutoGradMode mode(true);
  const auto result = torch::autograd::grad(
      {head_out_}, {head_in_, leaves_.tensor(norm), leaves_.tensor(head)},
      {FloatTensor(dlogprob, device_)}, /*retain_graph=*/false, /*create_graph=*/false,
      /*allow_unused=*/true);
  head_in_.reset();
  head_out_.reset();
  grads->Add(norm, result[1]);
  grads->Add(head, result[2]);
  LeaveHead(arch_, config_.listener);
  ZIPRL_RETURN_IF_ERROR(Ready(config_.listener, kHeadBlock, grads));
  return result[0];
}

absl::StatusOr<at::Tensor> PackPass::LayerBackward(int layer, const at::Tensor& grad,
                                                   GradientSum* grads) {
  const at::AutoGradMode mode(true);
  Tape& tape = tape_[layer];
  if (config_.recompute) {
    tape.in = tape.in.detach().requires_grad_(true);
    ZIPRL_ASSIGN_OR_RETURN(tape.out, RunLayer(layer, tape.in, true));
  }
  const std::vector<int> indices = LayerParamIndices(leaves_, layer);
  std::vector<at::Tensor> outputs = {tape.out}, output_grads = {grad}, inputs = {tape.in};
  for (const LayerOutput& output : tape.outputs) {
    outputs.push_back(output.value);
    output_grads.push_back(output.grad);
  }
  for (int i : indices) inputs.push_back(leaves_.tensor(i));
  const auto result = torch::autograd::grad(outputs, inputs, output_grads, /*retain_graph=*/false,
                                            /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < indices.size(); ++i) grads->Add(indices[i], result[i + 1]);
  tape = Tape();
  return result[0];
}

at::Tensor PackPass::EmbeddingBackward(const at::Tensor& grad, bool want_visual,
                                       GradientSum* grads) {
  std::vector<int64_t> text_rows, text_ids, visual_rows;
  for (size_t r = 0; r < ids_.size(); ++r) {
    if (ids_[r] == arch_.image_token || ids_[r] == arch_.video_token) {
      visual_rows.push_back(static_cast<int64_t>(r));
    } else {
      text_rows.push_back(static_cast<int64_t>(r));
      text_ids.push_back(ids_[r]);
    }
  }
  const at::NoGradGuard no_grad;
  const int table = leaves_.Find("model.embed_tokens.weight");
  grads->AddRows(table, leaves_.tensor(table), LongTensor(text_ids, device_.device),
                 grad.index_select(0, LongTensor(text_rows, device_.device)));
  if (!want_visual || visual_rows.empty()) return at::Tensor();
  return grad.index_select(0, LongTensor(visual_rows, device_.device));
}

absl::Status IdlePass(const Architecture& arch, PassListener& listener, GradientSum* grads) {
  ZIPRL_RETURN_IF_ERROR(listener.Enter(kEmbedBlock));
  listener.Leave(kEmbedBlock);
  for (int layer = 0; layer < arch.layers; ++layer) {
    ZIPRL_RETURN_IF_ERROR(listener.Enter(LayerBlock(layer)));
    listener.Leave(LayerBlock(layer));
  }
  ZIPRL_RETURN_IF_ERROR(EnterHead(arch, &listener));
  LeaveHead(arch, &listener);
  ZIPRL_RETURN_IF_ERROR(listener.GradientsReady(kHeadBlock, grads));
  for (int layer = arch.layers - 1; layer >= 0; --layer) {
    ZIPRL_RETURN_IF_ERROR(listener.Enter(LayerBlock(layer)));
    listener.Leave(LayerBlock(layer));
    ZIPRL_RETURN_IF_ERROR(listener.GradientsReady(LayerBlock(layer), grads));
  }
  return listener.GradientsReady(kEmbedBlock, grads);
}

at::Tensor PackPass::Embeddings(int s) const {
  return embeddings_.narrow(0, offsets_[s], offsets_[s + 1] - offsets_[s]);
}

}  // namespace ziprl
