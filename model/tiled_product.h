// GEMM whose rows do not feel each other: fixed-size row tiles.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ziprl {

// x [N, In] @ right [In, Out]. tile_rows > 0: as products of exactly [tile_rows, In] x [In, Out],
// the last one padded with zero rows, so that a row's bits are those it has alone. tile_rows 0: one
// product. No gradient.
at::Tensor TiledProduct(const at::Tensor& x, const at::Tensor& right, int64_t tile_rows);
// The same into out [N, Out], contiguous and of the products' type.
void TiledProductOut(const at::Tensor& x, const at::Tensor& right, int64_t tile_rows,
                     at::Tensor out);

// Whether x is bf16 where bf16 products would be emulated.
bool IsWidened(const at::Tensor& x);
// x as matrix products take it: in fp32 if IsWidened. Results are then rounded by the caller, once.
at::Tensor Multiplicand(const at::Tensor& x);

}  // namespace ziprl
