// Forward and backward of one pack of sequences, one decoder layer at a time. Forward keeps each
// layer's input and, unless layers are recomputed, its graph; backward walks down, takes each
// layer's gradients and lets go.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "model/decoder_layer.h"
#include "model/language_model.h"
#include "model/tensor.h"
#include "trainer/batch.h"
#include "trainer/gradients.h"
#include "trainer/layer_plan.h"
#include "trainer/pass_listener.h"

namespace ziprl {

struct PassConfig {
  Compute compute;
  bool recompute = false;  // run each layer again in backward instead of keeping its graph
  bool gradients = true;   // false: forward only
  bool entropy = false;    // entropies wanted
  double temperature = 1.0;
  at::Tensor suppressed;  // uint8 [V]; undefined = none
  PassListener* listener = nullptr;
};

// A further output of a layer that enters the loss, and the loss's gradient by it.
struct LayerOutput {
  at::Tensor value, grad;
};

// Who attends in each layer, and what else of it the loss sees. Called layer by layer, sequence by
// sequence.
class LayerPolicy {
 public:
  virtual ~LayerPolicy() = default;

  // Plan of sequence `s` (index in the pack), of all its branches. q [N, H, D], k [N, Hk, D]: its
  // rows, without gradient.
  virtual absl::StatusOr<LayerPlan> Plan(int layer, int s, const at::Tensor& q,
                                         const at::Tensor& k) = 0;

  // Appends further outputs of the layer; q and k carry the graph. Called once per layer and
  // sequence, after Plan, and only when gradients are wanted.
  virtual absl::Status Outputs(int layer, int s, const at::Tensor& q, const at::Tensor& k,
                               std::vector<LayerOutput>* outputs) = 0;
};

struct PassResult {
  std::vector<float> logprob;  // of all targets, sequence by sequence
  std::vector<float> entropy;  // the same, when wanted
};

class PackPass {
 public:
  // `leaves`: parameters as autograd leaves (plain tensors when config.gradients is false). policy
  // null: dense attention. Everything given must outlive the pass.
  PackPass(const Architecture& arch, const Device& device, const ParamStore& leaves,
           const PassConfig& config, std::vector<const TrainSequence*> sequences,
           LayerPolicy* policy);

  // visual [M, C]: embeddings of all image placeholders of the pack in order; undefined if there
  // are none.
  absl::StatusOr<PassResult> Forward(const at::Tensor& visual);

  // dlogprob: dLoss/dlogprob of every target. Adds to `grads`; returns dLoss/dvisual when wanted.
  absl::StatusOr<at::Tensor> Backward(const std::vector<float>& dlogprob, bool want_visual,
                                      GradientSum* grads);

  const std::vector<const TrainSequence*>& sequences() const { return sequences_; }
  // Input embeddings [N, C] of sequence s, no gradient.
  at::Tensor Embeddings(int s) const;

 private:
  struct Geometry {
    at::Tensor rows;  // int64 rows of the pack that attend; undefined = every row
    at::Tensor keys;  // rows that are attended to; undefined = those that attend
    Visibility visibility;
  };
  struct Tape {
    at::Tensor in, out;
    std::vector<LayerOutput> outputs;
    Geometry geometry;
    bool planned = false;
  };

  absl::StatusOr<at::Tensor> RunLayer(int layer, const at::Tensor& x, bool with_outputs);
  absl::Status PlanLayer(int layer, const Qkv& qkv);
  absl::StatusOr<at::Tensor> LayerBackward(int layer, const at::Tensor& grad, GradientSum* grads);
  absl::StatusOr<at::Tensor> HeadBackward(const std::vector<float>& dlogprob, GradientSum* grads);
  at::Tensor EmbeddingBackward(const at::Tensor& grad, bool want_visual, GradientSum* grads);
  absl::Status Embed(const at::Tensor& visual);
  absl::StatusOr<PassResult> RunHead(const at::Tensor& x);
  Geometry MakeGeometry(const std::vector<LayerPlan>& plans) const;

  const Architecture& arch_;
  const Device& device_;
  const ParamStore& leaves_;
  const PassConfig& config_;
  std::vector<const TrainSequence*> sequences_;
  LayerPolicy* policy_;
  std::vector<int64_t> offsets_;  // first row of each sequence, and the total
  std::vector<int32_t> ids_;
  Rotary rotary_;
  at::Tensor embeddings_;
  Geometry dense_;
  std::vector<Tape> tape_;
  at::Tensor head_in_, head_out_;
};

// What a pass tells its listener, without a pass: a rank that has nothing to do keeps step with the
// others.
absl::Status IdlePass(const Architecture& arch, PassListener& listener, GradientSum* grads);

}  // namespace ziprl
