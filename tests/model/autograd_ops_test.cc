// Each op against plain tensor ops in fp64 (values and gradients), and the bits of tiled rows.
#include "model/autograd_ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "model/library_attention.h"
#include "model/tiled_product.h"

namespace ziprl {
namespace {

using Tensors = std::vector<at::Tensor>;
using Op = std::function<at::Tensor(const Tensors&)>;

at::TensorOptions Float() { return at::TensorOptions().dtype(at::kFloat).device(at::kCPU); }
at::Tensor Randn(at::IntArrayRef shape) { return at::randn(shape, Float()); }
c10::Device Cpu() { return c10::Device(c10::kCPU); }

struct Outcome {
  at::Tensor value;
  Tensors gradients;
};

// Value and gradients of sum(op(inputs) * weight) at inputs converted to `type`.
Outcome Evaluate(const Op& op, const Tensors& inputs, const at::Tensor& weight,
                 at::ScalarType type) {
  Tensors leaves;
  for (const at::Tensor& input : inputs)
    leaves.push_back(input.detach().to(type).clone().requires_grad_());
  const at::Tensor value = op(leaves);
  return {value, torch::autograd::grad({(value * weight.to(value.scalar_type())).sum()}, leaves)};
}

// `ours` in fp32 and, looser, in bf16 against `reference` in fp64.
void ExpectSame(const Op& ours, const Op& reference, const Tensors& inputs,
                double fp32_tolerance = 2e-6) {
  at::manual_seed(1);
  const at::Tensor weight = at::randn_like(reference(inputs), Float());
  const Outcome truth = Evaluate(reference, inputs, weight, at::kDouble);
  for (const auto& [type, tolerance] :
       {std::pair{at::kFloat, fp32_tolerance}, std::pair{at::kBFloat16, 2e-2}}) {
    const Outcome actual = Evaluate(ours, inputs, weight, type);
    EXPECT_EQ(actual.value.scalar_type(), type);
    const auto error = [](const at::Tensor& a, const at::Tensor& b) {
      return ((a.to(at::kDouble) - b).norm() / b.norm()).item<double>();
    };
    EXPECT_LE(error(actual.value, truth.value), tolerance);
    for (size_t i = 0; i < inputs.size(); ++i) {
      EXPECT_EQ(actual.gradients[i].scalar_type(), type);
      EXPECT_LE(error(actual.gradients[i], truth.gradients[i]), tolerance) << "input " << i;
    }
  }
}

TEST(OpsTest, RmsNorm) {
  at::manual_seed(2);
  for (int64_t cols : {2, 7, 16, 96, 130}) {
    ExpectSame([](const Tensors& t) { return RmsNorm(t[0], t[1], 1e-6); },
               [](const Tensors& t) {
                 return t[0] * (t[0].square().mean(-1, true) + 1e-6).rsqrt() * t[1];
               },
               {Randn({11, cols}) * 3, Randn({cols})});
  }
}

TEST(OpsTest, SwiGlu) {
  at::manual_seed(3);
  at::Tensor gate = Randn({5, 37}) * 4;
  gate[0][0] = 120.0f;  // beyond exp's range on either side
  gate[0][1] = -120.0f;
  ExpectSame([](const Tensors& t) { return SwiGlu(t[0], t[1]); },
             [](const Tensors& t) { return t[0] * at::sigmoid(t[0]) * t[1]; },
             {gate, Randn({5, 37})});
}

TEST(OpsTest, LayerNorm) {
  at::manual_seed(12);
  for (int64_t cols : {3, 16, 130}) {
    ExpectSame([](const Tensors& t) { return LayerNorm(t[0], t[1], t[2], 1e-6); },
               [](const Tensors& t) {
                 const at::Tensor centred = t[0] - t[0].mean(-1, true);
                 return centred * (centred.square().mean(-1, true) + 1e-6).rsqrt() * t[1] + t[2];
               },
               {Randn({11, cols}) * 3 + 1, Randn({cols}), Randn({cols})});
  }
}

TEST(OpsTest, QuickGelu) {
  at::manual_seed(13);
  at::Tensor x = Randn({5, 37}) * 4;
  x[0][0] = 120.0f;
  x[0][1] = -120.0f;
  ExpectSame([](const Tensors& t) { return QuickGelu(t[0]); },
             [](const Tensors& t) { return t[0] * at::sigmoid(t[0] * 1.702); }, {x});
}

struct Turn {
  at::Tensor cos, sin;
};
Turn MakeTurn(int64_t rows, int64_t half) {
  const at::Tensor angles = Randn({rows, half});
  const at::Tensor both = at::cat({angles, angles}, 1);
  return {both.cos(), both.sin()};
}

at::Tensor RotateReference(const at::Tensor& x, const Turn& turn) {
  const at::Tensor half = at::cat({-x.chunk(2, -1)[1], x.chunk(2, -1)[0]}, -1);
  return x * turn.cos.unsqueeze(1) + half * turn.sin.unsqueeze(1);
}

TEST(OpsTest, ApplyRotary) {
  at::manual_seed(4);
  const Turn turn = MakeTurn(6, 5);
  ExpectSame([&](const Tensors& t) { return ApplyRotary(t[0], turn.cos, turn.sin); },
             [&](const Tensors& t) { return RotateReference(t[0], turn); }, {Randn({6, 3, 10})});
}

TEST(OpsTest, SplitQkvRotary) {
  at::manual_seed(5);
  const Turn turn = MakeTurn(6, 4);
  ExpectSame(
      [&](const Tensors& t) {
        const QkvHeads heads = SplitQkvRotary(t[0], 3, turn.cos, turn.sin);
        return at::cat({heads.q, heads.k * 2, heads.v * 3}, 1);
      },
      [&](const Tensors& t) {
        const at::Tensor x = t[0].view({6, 3, 3, 8});
        return at::cat({RotateReference(x.select(1, 0), turn),
                        RotateReference(x.select(1, 1), turn) * 2, x.select(1, 2) * 3},
                       1);
      },
      {Randn({6, 3 * 3 * 8})});
}

TEST(OpsTest, GatherAndScatterRows) {
  at::manual_seed(6);
  const at::Tensor index = LongTensor({0, 2, 5}, Cpu());
  ExpectSame([&](const Tensors& t) { return GatherRows(t[0], index); },
             [&](const Tensors& t) { return t[0].index_select(0, index); }, {Randn({6, 2, 3})});
  ExpectSame([&](const Tensors& t) { return ScatterRows(t[0], index, 7); },
             [&](const Tensors& t) {
               return at::zeros({7, 4}, t[0].options()).index_copy(0, index, t[0]);
             },
             {Randn({3, 4})});
  const at::Tensor none = LongTensor({}, Cpu());
  EXPECT_EQ(ScatterRows(Randn({0, 4}), none, 2).abs().sum().item<float>(), 0.0f);
}

TEST(OpsTest, LinearInBothModes) {
  at::manual_seed(7);
  const Op reference = [](const Tensors& t) { return at::linear(t[0], t[1], t[2]); };
  for (int tile : {0, 4, 32}) {
    ExpectSame([&](const Tensors& t) { return Linear(t[0], t[1], t[2], {tile}); }, reference,
               {Randn({9, 12}), Randn({7, 12}), Randn({7})});
    ExpectSame([&](const Tensors& t) { return Linear(t[0], t[1], at::Tensor(), {tile}); },
               [](const Tensors& t) { return at::linear(t[0], t[1]); },
               {Randn({9, 12}), Randn({7, 12})});
  }
}

// Attention of grouped heads by plain operations; mask [Nq, Nk] is added to the logits.
at::Tensor MaskedAttention(const Tensors& t, const at::Tensor& mask) {
  const int64_t heads = t[0].size(1), group = heads / t[1].size(1);
  const double scale = 1 / std::sqrt(static_cast<double>(t[0].size(2)));
  Tensors out;
  for (int64_t h = 0; h < heads; ++h) {
    const at::Tensor k = t[1].select(1, h / group), v = t[2].select(1, h / group);
    const at::Tensor logits = t[0].select(1, h).mm(k.t()) * scale + mask.to(k.scalar_type());
    out.push_back(at::softmax(logits, -1).mm(v));
  }
  return at::stack(out, 1);
}

// Attention of two ragged segments, grouped heads, one key evicted half-way.
TEST(OpsTest, RaggedAttention) {
  at::manual_seed(8);
  Visibility see = FullVisibility({4, 3}, /*causal=*/true, Cpu(), {});
  see.k_end =
      IntTensor({2, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX}, Cpu());
  at::Tensor mask = at::full({7, 7}, -1e30, Float().dtype(at::kDouble));
  for (int q = 0; q < 7; ++q) {
    for (int k = q < 4 ? 0 : 4; k <= q; ++k) {
      if (k != 0 || q < 2) mask[q][k] = 0;
    }
  }
  ExpectSame([&](const Tensors& t) { return RaggedAttention(t[0], t[1], t[2], see); },
             [&](const Tensors& t) { return MaskedAttention(t, mask); },
             {Randn({7, 4, 6}), Randn({7, 2, 6}), Randn({7, 2, 6})});
}

// The library's choice on a CPU (fused where heads are not grouped), forward and backward.
TEST(OpsTest, LibraryAttention) {
  at::manual_seed(9);
  const std::vector<int> run = {0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2};  // of each row
  for (bool causal : {true, false}) {
    const Visibility see = FullVisibility({4, 1, 6}, causal, Cpu(), {});
    EXPECT_EQ(see.runs, (std::vector<int32_t>{4, 1, 6}));
    EXPECT_EQ(see.causal, causal);
    at::Tensor mask = at::full({11, 11}, -1e30, Float().dtype(at::kDouble));
    for (int q = 0; q < 11; ++q) {
      for (int k = 0; k < 11; ++k) {
        if (run[q] == run[k] && (k <= q || !causal)) mask[q][k] = 0;
      }
    }
    ExpectSame([&](const Tensors& t) { return LibraryAttention(t[0], t[1], t[2], see); },
               [&](const Tensors& t) { return MaskedAttention(t, mask); },
               {Randn({11, 4, 8}), Randn({11, 2, 8}), Randn({11, 2, 8})});
    ExpectSame([&](const Tensors& t) { return LibraryAttention(t[0], t[1], t[2], see); },
               [&](const Tensors& t) { return MaskedAttention(t, mask); },
               {Randn({11, 3, 8}), Randn({11, 3, 8}), Randn({11, 3, 8})});
  }
  const Compute tiles{kDeterministicTileRows};
  EXPECT_TRUE(FullVisibility({4}, true, Cpu(), tiles).runs.empty()) << "bits alone as in company";
  const Visibility see = FullVisibility({400}, true, Cpu(), {});
  EXPECT_FALSE(LibraryAttentionServes(Randn({400, 4, 8}).to(at::kBFloat16), see)) << "no GPU";
}

struct HeadCase {
  Tensors inputs;  // hidden [T, C], weight [V, C]
  std::vector<int32_t> targets;
  std::vector<int64_t> suppressed;
  double temperature;
  int tile;  // beside none
  double fp32_tolerance, entropy_tolerance;
};

void ExpectLogprobsOf(const HeadCase& c) {
  const at::Tensor target = IntTensor(c.targets, Cpu());
  const at::Tensor suppressed = at::zeros({c.inputs[1].size(0)}, Float().dtype(at::kByte));
  for (int64_t id : c.suppressed) suppressed[id] = 1;
  const auto log_p = [&](const Tensors& t) {
    const at::Tensor logits = t[0].mm(t[1].t()) / c.temperature;
    return at::log_softmax(logits.masked_fill(suppressed.to(at::kBool), -1e30), -1);
  };
  for (int tile : {0, c.tile}) {
    ExpectSame(
        [&](const Tensors& t) {
          return TokenLogprob(t[0], t[1], target, suppressed, c.temperature, false, {tile})
              .logprob.to(t[0].scalar_type());
        },
        [&](const Tensors& t) {
          return log_p(t).gather(1, target.to(at::kLong).unsqueeze(1)).squeeze(1);
        },
        c.inputs, c.fp32_tolerance);
  }
  const at::Tensor all = log_p(c.inputs);
  const at::Tensor entropy = -(all.exp() * all.clamp_min(-1e9)).sum(-1);
  const LogprobResult with =
      TokenLogprob(c.inputs[0], c.inputs[1], target, suppressed, c.temperature, true, {});
  EXPECT_LE((with.entropy - entropy).abs().max().item<double>(), c.entropy_tolerance);
}

TEST(OpsTest, TokenLogprobWithTemperatureAndSuppressedIds) {
  at::manual_seed(9);
  ExpectLogprobsOf({{Randn({5, 6}), Randn({11, 6})}, {1, 4, 0, 9, 9}, {3, 7}, 0.7, 2, 2e-6, 1e-5});
}

// More rows and more of a vocabulary than one block of logits holds (2,048 x 4,096), the last ones
// smaller; targets and suppressed ids at the blocks' borders.
TEST(OpsTest, TokenLogprobOverSeveralBlocks) {
  at::manual_seed(10);
  const int64_t vocab = 9000, rows = 2100;
  const std::vector<int32_t> borders = {0, 4095, 4096, 8191, 8192, 8999, 77};
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < rows; ++r) targets.push_back(borders[r % borders.size()]);
  ExpectLogprobsOf({{Randn({rows, 4}), Randn({vocab, 4})},
                    targets,
                    {1, 4094, 4097, 8190, 8193, 8998},
                    1.0,
                    32,
                    1e-5,  // sums of 2,100 rows
                    1e-4});
}

TEST(TileTest, OtherOpsKeepRowBitsToo) {
  at::manual_seed(12);
  const at::Tensor x = Randn({50, 100}), y = Randn({50, 100}), w = Randn({100});
  const at::Tensor norm = RmsNorm(x, w, 1e-6), glu = SwiGlu(x, y);
  for (int64_t row : {0, 13, 49}) {
    EXPECT_TRUE(at::equal(norm[row], RmsNorm(x.narrow(0, row, 1), w, 1e-6)[0]));
    EXPECT_TRUE(at::equal(glu[row], SwiGlu(x.narrow(0, row, 1), y.narrow(0, row, 1))[0]));
  }
}

TEST(OpsTest, FrozenInputsGetNoGradient) {
  const at::Tensor x = Randn({4, 6}).requires_grad_(), w = Randn({3, 6});
  for (int tile : {0, 32}) {
    const at::Tensor out = RmsNorm(Linear(x, w, at::Tensor(), {tile}), Randn({3}), 1e-6);
    const at::Tensor lp =
        TokenLogprob(out, Randn({9, 3}), IntTensor({1, 2, 3, 4}, Cpu()), {}, 1.0, false, {tile})
            .logprob;
    EXPECT_TRUE(torch::autograd::grad({lp.sum()}, {x})[0].defined());
  }
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(Linear(x, w, at::Tensor(), {32}).requires_grad());
}

}  // namespace
}  // namespace ziprl
