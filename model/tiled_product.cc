#include "model/tiled_product.h"

#include <ATen/ATen.h>

namespace ziprl {

at::Tensor TiledProduct(const at::Tensor& input, const at::Tensor& right, int64_t tile_rows) {
  if (tile_rows <= 0) return at::mm(input, right);
  const at::Tensor x = input.contiguous();
  const int64_t rows = x.size(0), full = rows / tile_rows * tile_rows, rest = rows - full;
  at::Tensor out = at::empty({rows, right.size(1)}, x.options());
  for (int64_t begin = 0; begin < full; begin += tile_rows) {
    at::Tensor tile = out.narrow(0, begin, tile_rows);
    at::mm_out(tile, x.narrow(0, begin, tile_rows), right);
  }
  if (rest > 0) {
    at::Tensor padded = at::zeros({tile_rows, x.size(1)}, x.options());
    padded.narrow(0, 0, rest).copy_(x.narrow(0, full, rest));
    out.narrow(0, full, rest).copy_(at::mm(padded, right).narrow(0, 0, rest));
  }
  return out;
}

}  // namespace ziprl
