// The language model's layers for inference in fp32 on the CPU: loops over rows of raw memory, for
// decode steps and prompts alike. What autograd_ops does for every other device and type, and for
// gradients.
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
    std::vector<float> normed, rstd, gate, up, unrotated;
  };

  static bool Serve(const Device& device) {
    return device.device.is_cpu() && device.dtype == c10::kFloat;
  }
  // All must outlive it; weights stay the model's.
  FloatLayers(const Architecture& arch, const ParamStore& params,
              const std::vector<DecoderLayerWeights>& layers);

  // Rows of q [H, D] and k [Hk, D] after rotary, v [Hk, D].
  struct Heads {
    float *q, *k, *v;
  };
  // Input norm, projections, rotary. x [rows, C]; cos, sin [rows, D].
  void Project(int layer, const float* x, int64_t rows, const float* cos, const float* sin,
               const Heads& out, Workspace& space) const;
  // x += o_proj(attention [rows, H * D]).
  void AddAttention(int layer, const float* attention, int64_t rows, float* x) const;
  // x += MLP(norm(x)).
  void AddMlp(int layer, int64_t rows, float* x, Workspace& space) const;
  // Final norm and head: logits [rows, V].
  void Logits(const float* x, int64_t rows, float* logits, Workspace& space) const;

 private:
  struct Linear {
    const float *weight = nullptr, *bias = nullptr;
    int out = 0, in = 0;
  };
  struct Layer {
    const float *input_norm, *post_norm;
    Linear q, k, v, o, gate, up, down;
  };

  static Linear LinearOf(const at::Tensor& weight, const at::Tensor& bias);
  // y = x W^T + bias, or y += x W^T.
  static void Multiply(const Linear& linear, const float* x, int64_t rows, float* y,
                       bool accumulate);
  const float* Norm(const float* x, const float* weight, int64_t rows, Workspace& space) const;

  const Architecture& arch_;
  std::vector<Layer> layers_;
  const float* final_norm_;
  Linear head_;
};

}  // namespace ziprl
