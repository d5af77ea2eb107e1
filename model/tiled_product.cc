#include "model/tiled_product.h"

#include <ATen/ATen.h>

#include "model/device.h"

namespace ziprl {

bool IsWidened(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 && !HasBf16Products(x.device());
}

at::Tensor Multiplicand(const at::Tensor& x) { return IsWidened(x) ? x.to(at::kFloat) : x; }

at::Tensor TiledProduct(const at::Tensor& x, const at::Tensor& right, int64_t tile_rows) {
  if (tile_rows <= 0) return at::mm(x, right);
  const at::Tensor out = at::empty({x.size(0), right.size(1)}, x.options());
  TiledProductOut(x, right, tile_rows, out);
  return out;
}

void TiledProductOut(const at::Tensor& input, const at::Tensor& right, int64_t tile_rows,
                     at::Tensor out) {
  if (tile_rows <= 0) {
    at::mm_out(out, input, right);
    return;
  }
  const at::Tensor x = input.contiguous();
  const int64_t rows = x.size(0), full = rows / tile_rows * tile_rows, rest = rows - full;
  for (int64_t begin = 0; begin < full; begin += tile_rows) {
    at::Tensor tile = out.narrow(0, begin, tile_rows);
    at::mm_out(tile, x.narrow(0, begin, tile_rows), right);
  }
  if (rest > 0) {
    at::Tensor padded = at::zeros({tile_rows, x.size(1)}, x.options());
    padded.narrow(0, 0, rest).copy_(x.narrow(0, full, rest));
    out.narrow(0, full, rest).copy_(at::mm(padded, right).narrow(0, 0, rest));
  }
}

}  // namespace ziprl
