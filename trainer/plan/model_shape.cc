#include "trainer/plan/model_shape.h"

#include <algorithm>

#include "trainer/param_blocks.h"

namespace ziprl {
namespace {

int64_t Elements(const ParamSpec& spec) {
  int64_t count = 1;
  for (int64_t extent : spec.shape) count *= extent;
  return count;
}

// Elements of one decoder layer's matrices.
double LayerMatrices(const Architecture& a) {
  const double c = a.hidden, kv = double(a.kv_heads) * a.head_dim;
  return 2 * c * c + 2 * c * kv + 3 * c * a.intermediate;
}

double AttentionFlops(const Architecture& a, double pairs) {
  return 4.0 * a.heads * a.head_dim * pairs;
}

}  // namespace

ModelShape ShapeOf(const Architecture& arch, bool freeze_vision) {
  ModelShape shape;
  shape.arch = arch;
  std::vector<std::string> names;
  std::vector<int64_t> numel;
  for (const ParamSpec& spec : ParamSpecs(arch)) {
    names.push_back(spec.name);
    numel.push_back(Elements(spec));
    shape.parameters += numel.back();
    if (IsVisionParam(spec.name)) shape.vision_parameters += numel.back();
    shape.largest_tensor = std::max(shape.largest_tensor, numel.back());
  }
  for (const ParamBlock& block : ParamBlocks(arch, names, numel, freeze_vision)) {
    shape.blocks.push_back(block.size);
    shape.trained += block.size;
  }
  shape.head = int64_t{arch.vocab} * arch.hidden;
  return shape;
}

double DecoderFlops(const ModelShape& shape, double rows, double kept) {
  const Architecture& a = shape.arch;
  return a.layers * (2 * LayerMatrices(a) * rows + AttentionFlops(a, kept * kept / 2));
}

double DecodeFlops(const ModelShape& shape, double cached) {
  const Architecture& a = shape.arch;
  return a.layers * (2 * LayerMatrices(a) + AttentionFlops(a, cached));
}

double HeadFlops(const ModelShape& shape, double rows) {
  return 2.0 * static_cast<double>(shape.head) * rows;
}

double VisionFlops(const ModelShape& shape, double visual_tokens) {
  const VisionArchitecture& v = shape.arch.vision;
  const double merged = double(v.merge) * v.merge, patches = visual_tokens * merged, c = v.hidden;
  const double mlp = (v.mlp == VisionMlp::kSwiGlu ? 3.0 : 2.0) * c * v.intermediate;
  const double merger = merged * c * (merged * c + v.out_hidden);
  const double window = double(v.window / v.patch) * (v.window / v.patch);
  double seen = 0;  // keys that a patch sees, over all blocks
  for (int block = 0; block < v.depth; ++block) {
    const bool whole = v.window == 0 || std::count(v.full_attention_blocks.begin(),
                                                   v.full_attention_blocks.end(), block) > 0;
    seen += whole ? patches : std::min(window, patches);
  }
  const double embed = c * v.in_channels * v.temporal_patch * v.patch * v.patch;
  return 2 * patches * (embed + v.depth * (4 * c * c + mlp)) + 2 * visual_tokens * merger +
         4 * c * patches * seen;
}

int64_t ActivationBytes(const Architecture& a, int64_t element, int64_t rows) {
  const int64_t hidden = 6 * a.hidden;  // inputs, norms, residuals, outputs
  const int64_t heads = (2 * a.heads + 2 * a.kv_heads) * a.head_dim;  // q, k, v, out in fp32
  const int64_t narrow = element == 4 ? 0 : a.heads * a.head_dim;     // out once more
  const int64_t mlp = 3 * a.intermediate;
  return rows * a.layers * ((hidden + narrow + mlp) * element + heads * 4);
}

int64_t VisionActivationBytes(const VisionArchitecture& v, int64_t element, int64_t patches) {
  const int64_t narrow = element == 4 ? 0 : v.hidden;
  const int64_t mlp = (v.mlp == VisionMlp::kSwiGlu ? 3 : 2) * v.intermediate;
  return patches * v.depth * ((6 * v.hidden + narrow + mlp) * element + 4 * v.hidden * 4);
}

}  // namespace ziprl
