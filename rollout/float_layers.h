// The language model's layers for inference on the CPU: loops over rows of floats in raw memory,
// for decode steps and prompts alike. What autograd_ops does for other devices, for gradients, and
// for bf16 prompts where the processor has bf16 products (EngineContext::float_prompts).
// Of bf16 models the weights are read as they are and every result is rounded where autograd_ops
// stores it in bf16: the learner's log-probs stay near the rollout's.
//
// A row's bits depend on that row alone, so batches of any composition agree. Thread-safe, with a
// workspace for each thread, in which nothing is allocated once a number of rows has been seen.
// Products are split over torch's threads.
#pragma once

#include <cstdint>
#include <vector>

#include "model/decoder_layer.h"
#include "model/params.h"

namespace ziprl {

class FloatLayers {
 public:
  struct Workspace {
    std::vector<float> normed, gate, up, unrotated, attended, added;
  };

  static bool Serve(const Device& device) { return device.device.is_cpu(); }
  // All must outlive it; weights stay the model's.
  FloatLayers(const Architecture& arch, const ParamStore& params,
              const std::vector<DecoderLayerWeights>& layers);

  // Rows of q [H, D] and k [Hk, D] after rotary, v [Hk, D].
  struct Heads {
    float *q, *k, *v;
  };
  // Of a token: x [C].
  void Embed(int32_t token, float* x) const;
  // Input norm, projections, rotary. x [rows, C]; cos, sin [rows, D].
  void Project(int layer, const float* x, int64_t rows, const float* cos, const float* sin,
               const Heads& out, Workspace& space) const;
  // x += o_proj(attention [rows, H * D]).
  void AddAttention(int layer, const float* attention, int64_t rows, float* x,
                    Workspace& space) const;
  // x += MLP(norm(x)).
  void AddMlp(int layer, int64_t rows, float* x, Workspace& space) const;
  // Final norm and head: logits [rows, V].
  void Logits(const float* x, int64_t rows, float* logits, Workspace& space) const;

 private:
  struct Linear {
    const void* weight = nullptr;  // float or, of narrow models, bfloat16
    const float* bias = nullptr;
    int out = 0, in = 0;
  };
  struct Layer {
    const float *input_norm, *post_norm;
    Linear q, k, v, o, gate, up, down;
  };

  const float* Widened(const at::Tensor& vector);
  Linear LinearOf(const at::Tensor& weight, const at::Tensor& bias);
  // Rows of a product's x, spread (see .cc).
  struct Input {
    const float* data;
    int64_t row;  // floats from one to the next
  };
  Input Norm(const float* x, const float* weight, int64_t rows, Workspace& space) const;
  // y = x W^T + bias, or y += x W^T; rows of y lie y_row apart. Not rounded.
  void Product(const Linear& linear, const Input& x, int64_t rows, float* y, int64_t y_row,
               bool accumulate) const;
  void Multiply(const Linear& linear, const Input& x, int64_t rows, float* y, int64_t y_row) const;
  void Multiply(const Linear& linear, const Input& x, int64_t rows, float* y) const {
    Multiply(linear, x, rows, y, linear.out);
  }
  // y += x W^T.
  void Add(const Linear& linear, const Input& x, int64_t rows, float* y, Workspace& space) const;

  const Architecture& arch_;
  const bool narrow_;                // bf16
  std::vector<at::Tensor> widened_;  // biases and norms in fp32: the model's own unless narrow
  std::vector<Layer> layers_;
  const float* final_norm_;
  const void* embedding_;
  Linear head_;
};

}  // namespace ziprl
