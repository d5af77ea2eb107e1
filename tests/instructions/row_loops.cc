#include <memory>

#include "configs/base/bfloat16.h"
#include "kernels/adamw.h"
#include "kernels/gather_rows.h"
#include "kernels/row_gemm.h"
#include "kernels/tile_gemm.h"
#include "model/narrow_rows.h"
#include "model/row_ops.h"
#include "tests/instructions/loops.h"

namespace ziprl {
namespace {

using kernels::Backend;

constexpr int64_t kRows = 500, kCols = 768, kSize = kRows * kCols;
constexpr int kHeads = 12, kDim = 64;

// Rows of a hidden state, and room for what is computed from them.
struct Rows {
  std::vector<float> x = UniformFloats(41, kSize, 3.0f), y = UniformFloats(42, kSize, 3.0f);
  std::vector<float> grad = UniformFloats(43, kSize);
  std::vector<float> weight = UniformFloats(44, kCols), grad_weight = weight;
  std::vector<float> out = x, other = y;
  std::vector<float> rstd = std::vector<float>(kRows, 0.5f);
  std::vector<uint16_t> narrow;  // y in bf16

  Rows() {
    for (float& value : other) value *= value;  // AdamW's second moment
    for (float value : y) narrow.push_back(ToBfloat16(value));
  }
};

// A loop over such rows.
Loop OverRows(const std::string& name, void (*loop)(Rows&)) {
  return {name, [loop] {
            auto rows = std::make_shared<Rows>();
            return [rows, loop] { loop(*rows); };
          }};
}

// m rows of 768 by a weight [496, 768].
template <int m, typename Weight>
void ProductWith(Rows& r, const std::vector<Weight>& weight) {
  kernels::RowGemmParams<Weight> p;
  p.x = r.x.data(), p.x_row = kCols;
  p.w = weight.data();
  p.y = r.out.data(), p.y_row = 496;
  p.m = m, p.n = 496, p.k = kCols;
  kernels::RowGemm(p);
}
template <int m>
void Product(Rows& r) {
  ProductWith<m>(r, r.y);
}
template <int m>
void NarrowProduct(Rows& r) {
  ProductWith<m>(r, r.narrow);
}

// 2,000 of 4,000 rows of 520 bytes.
struct Compaction {
  static constexpr int64_t kCount = 2000, kAll = 4000, kBytes = 520;
  std::vector<uint8_t> all = std::vector<uint8_t>(kAll * kBytes, 3);
  std::vector<uint8_t> kept = std::vector<uint8_t>(kCount * kBytes, 5);
  std::vector<int64_t> index;

  Compaction() {
    for (uint32_t skip : UniformInts(45, kCount, 2)) {
      index.push_back(2 * static_cast<int64_t>(index.size()) + skip);
    }
  }
  void Gather() {
    kernels::GatherRows(Backend::kCpu, all.data(), index.data(), kCount, kBytes, kept.data(),
                        nullptr);
  }
  void Scatter() {
    kernels::ScatterRows(Backend::kCpu, kept.data(), index.data(), kCount, kBytes, all.data(), kAll,
                         nullptr);
  }
};

}  // namespace

std::vector<Loop> RowLoops() {
  return {
      OverRows("tile_gemm",
               [](Rows& r) {  // [64, 768] x [768, 496]
                 kernels::TileGemm(64, 496, kCols, {r.x.data(), kCols, 1}, r.y.data(), 496,
                                   r.out.data(), 496, false);
               }),
      OverRows("row_gemm_2", Product<2>),
      OverRows("row_gemm_32", Product<32>),
      OverRows("row_gemm_bf16_1", NarrowProduct<1>),
      OverRows("row_gemm_bf16_8", NarrowProduct<8>),
      OverRows("adamw",
               [](Rows& r) {
                 kernels::AdamWParams p;
                 p.lr = 1e-3f, p.weight_decay = 0.1f, p.step = 3;
                 kernels::AdamW(Backend::kCpu, p, r.x.data(), r.grad.data(), r.out.data(),
                                r.other.data(), kSize, nullptr);
               }),
      {"gather_rows",
       [] {
         auto in = std::make_shared<Compaction>();
         return [in] { in->Gather(); };
       }},
      {"scatter_rows",
       [] {
         auto in = std::make_shared<Compaction>();
         return [in] { in->Scatter(); };
       }},
      OverRows("rms_norm",
               [](Rows& r) {
                 RmsNormRows(r.x.data(), r.weight.data(), 1e-6f, kRows, kCols, r.out.data(),
                             r.rstd.data());
               }),
      OverRows("rms_norm_backward",
               [](Rows& r) {
                 RmsNormRowsBackward(r.grad.data(), r.x.data(), r.weight.data(), r.rstd.data(),
                                     kRows, kCols, r.out.data(), r.grad_weight.data());
               }),
      OverRows("swiglu", [](Rows& r) { SwiGluRows(r.x.data(), r.y.data(), kSize, r.out.data()); }),
      OverRows("swiglu_backward",
               [](Rows& r) {
                 SwiGluRowsBackward(r.grad.data(), r.x.data(), r.y.data(), kSize, r.out.data(),
                                    r.other.data());
               }),
      OverRows("quick_gelu", [](Rows& r) { QuickGeluRows(r.x.data(), kSize, r.out.data()); }),
      OverRows("bf16_rms_norm",
               [](Rows& r) {
                 NarrowRmsNormRows(r.x.data(), r.weight.data(), 1e-6f, kRows, kCols, r.out.data(),
                                   r.rstd.data());
               }),
      OverRows("bf16_swiglu",
               [](Rows& r) { NarrowSwiGluRows(r.x.data(), r.y.data(), kSize, r.out.data()); }),
      OverRows("bf16_add", [](Rows& r) { NarrowAdd(r.y.data(), kSize, r.out.data()); }),
      OverRows("bf16_widen", [](Rows& r) { WidenBfloat16(r.narrow.data(), kSize, r.out.data()); }),
      OverRows(
          "quick_gelu_backward",
          [](Rows& r) { QuickGeluRowsBackward(r.grad.data(), r.x.data(), kSize, r.out.data()); }),
      OverRows("rotary",
               [](Rows& r) {
                 RotateRows(r.x.data(), kCols, r.y.data(), r.grad.data(), kRows, kHeads, kDim,
                            false, r.out.data(), kCols);
               }),
  };
}

}  // namespace ziprl
