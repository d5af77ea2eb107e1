// Pixels and tower outputs, once per distinct image or video: a bounded least-recently-used store
// keyed by content hash (and, for tower outputs, by the policy version unless the tower is frozen).
// Thread-safe.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "model/autograd_ops.h"
#include "model/model.h"

namespace ziprl {

struct PatchTensor {
  at::Tensor values;  // [t*h*w, patch_dim] fp32
  Grid grid;
};

class VisualFeatures {
 public:
  explicit VisualFeatures(int64_t capacity_bytes = int64_t{512} << 20);
  ~VisualFeatures();

  absl::StatusOr<PatchTensor> Patches(const Model& model, const MediaRef& medium);

  // Has threads of its own decode these images and videos before they are asked for, in this order,
  // as far as half the capacity goes; those whose pixels or tower outputs (of `version`) are held
  // are left out. Errors show when the medium is asked for. Reads no weights: the model may be
  // getting others meanwhile.
  void Prefetch(const Model& model, const std::vector<const MediaRef*>& media, int64_t version);
  void WaitForPrefetch();  // for tests

  // Tower output of all images and videos of a prompt, in order, [M, C]; no gradient. Undefined
  // tensor if none. Each is its own tower call, so its bits do not depend on its neighbours.
  absl::StatusOr<at::Tensor> Embeddings(const Model& model, const std::vector<MediaRef>& media,
                                        const Compute& compute);

  // Forgets the tower outputs that the next version makes useless: those of a tower that trains.
  void DropOutputs();

  int64_t decoded_images() const;  // how many decodes happened, videos' too (a test counts them)
  int64_t held_bytes() const;      // of the tensors that are kept

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ziprl
