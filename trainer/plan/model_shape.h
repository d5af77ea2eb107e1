// Sizes and work of a model, from its config.json alone. No torch.
//
// Work: a multiply-add is two operations; a matrix of E elements does 2 E a row forward and 4 E
// backward (Kaplan et al. 2020, arXiv 2001.08361, section 2.1), attention 4 H D for every pair of
// query and key that see each other.
#pragma once

#include <cstdint>
#include <vector>

#include "model/architecture.h"

namespace ziprl {

struct ModelShape {
  Architecture arch;
  int64_t parameters = 0;         // the tower's included
  int64_t vision_parameters = 0;  // of the tower, trained or not
  int64_t trained = 0;
  std::vector<int64_t> blocks;  // trained elements of each (trainer/param_blocks.h)
  int64_t head = 0;             // elements of the matrix that gives logits
  int64_t largest_tensor = 0;   // elements
};

ModelShape ShapeOf(const Architecture& arch, bool freeze_vision);

// Forward through all decoder layers of `rows` tokens of which `kept` attend; a layer's other work
// is for all of them. Without the head.
double DecoderFlops(const ModelShape& shape, double rows, double kept);
// Forward of one generated token whose layers hold `cached` entries, without the head.
double DecodeFlops(const ModelShape& shape, double cached);
double HeadFlops(const ModelShape& shape, double rows);
// Forward of the tower over an image of so many merged (visual) tokens.
double VisionFlops(const ModelShape& shape, double visual_tokens);

// Bytes of activations that the graphs of all layers hold for a pack of `rows` rows, elements of
// `element` bytes: what autograd saves of model/decoder_layer, attention in fp32.
int64_t ActivationBytes(const Architecture& arch, int64_t element, int64_t rows);
// The same of the tower for so many patches.
int64_t VisionActivationBytes(const VisionArchitecture& vision, int64_t element, int64_t patches);

}  // namespace ziprl
