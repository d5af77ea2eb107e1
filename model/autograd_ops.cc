#include "model/autograd_ops.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>
#include <optional>

#include "kernels/gather_rows.h"
#include "model/device.h"
#include "model/row_ops.h"
#include "model/tiled_product.h"

namespace ziprl {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr double kQuickGelu = 1.702;

// The row loops of row_ops.h serve these; everything else goes through tensor ops.
bool FloatOnCpu(const at::Tensor& t) { return t.is_cpu() && t.scalar_type() == at::kFloat; }

const float* Data(const at::Tensor& t) { return t.const_data_ptr<float>(); }
float* MutableData(const at::Tensor& t) { return t.mutable_data_ptr<float>(); }

template <typename T>
at::Tensor FromHost(const std::vector<T>& values, at::ScalarType type, c10::Device device) {
  at::Tensor host = at::empty({static_cast<int64_t>(values.size())},
                              at::TensorOptions().dtype(type).device(at::kCPU));
  if (!values.empty())
    std::memcpy(host.mutable_data_ptr(), values.data(), values.size() * sizeof(T));
  return host.to(device);
}

struct LinearFunction : Function<LinearFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, int64_t tile_rows) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["bias"] = bias.has_value();
    at::Tensor out = TiledProduct(Multiplicand(x), Multiplicand(weight).t(), tile_rows);
    if (bias.has_value()) out.add_(*bias);
    return out.to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor grad = Multiplicand(grads[0]);  // [N, Out]
    const auto type = grads[0].scalar_type();
    at::Tensor grad_x, grad_w, grad_b;
    if (ctx->needs_input_grad(0)) grad_x = grad.mm(Multiplicand(saved[1])).to(type);
    if (ctx->needs_input_grad(1)) grad_w = grad.t().mm(Multiplicand(saved[0])).to(type);
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) grad_b = grad.sum(0).to(type);
    return {grad_x, grad_w, grad_b, at::Tensor()};
  }
};

struct RmsNormFunction : Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight,
                            double eps) {
    const at::Tensor x = input.contiguous();
    at::Tensor out, rstd;
    if (FloatOnCpu(x)) {
      out = at::empty_like(x, x.options());
      rstd = at::empty({x.size(0)}, x.options());
      RmsNormRows(Data(x), Data(weight), static_cast<float>(eps), x.size(0), x.size(1),
                  MutableData(out), MutableData(rstd));
    } else {
      const at::Tensor wide = x.to(at::kFloat);
      rstd = wide.square().mean(-1, /*keepdim=*/true).add_(eps).rsqrt_();
      out = weight * (wide * rstd).to(x.scalar_type());
    }
    ctx->save_for_backward({x, weight, rstd});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &rstd = saved[2];
    const bool want_weight = ctx->needs_input_grad(1);
    at::Tensor grad_x, grad_w;
    if (FloatOnCpu(x)) {
      const at::Tensor grad = grads[0].contiguous();
      grad_x = at::empty_like(x, x.options());
      if (want_weight) grad_w = at::empty_like(weight, weight.options());
      RmsNormRowsBackward(Data(grad), Data(x), Data(weight), Data(rstd), x.size(0), x.size(1),
                          MutableData(grad_x), want_weight ? MutableData(grad_w) : nullptr);
    } else {
      const at::Tensor grad = grads[0].to(at::kFloat);
      const at::Tensor unit = x.to(at::kFloat) * rstd;
      const at::Tensor inner = grad * weight;
      grad_x =
          (inner - unit * (inner * unit).mean(-1, /*keepdim=*/true)).mul_(rstd).to(x.scalar_type());
      if (want_weight) grad_w = (grad * unit).sum(0).to(weight.scalar_type());
    }
    return {grad_x, grad_w, at::Tensor()};
  }
};

struct SwiGluFunction : Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_in,
                            const at::Tensor& up_in) {
    const at::Tensor gate = gate_in.contiguous(), up = up_in.contiguous();
    ctx->save_for_backward({gate, up});
    if (!FloatOnCpu(gate)) return at::silu(gate) * up;
    at::Tensor out = at::empty_like(gate, gate.options());
    SwiGluRows(Data(gate), Data(up), gate.numel(), MutableData(out));
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    if (!FloatOnCpu(gate))
      return {at::silu_backward(grads[0] * up, gate), grads[0] * at::silu(gate)};
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor grad_gate = at::empty_like(gate, gate.options());
    at::Tensor grad_up = at::empty_like(up, up.options());
    SwiGluRowsBackward(Data(grad), Data(gate), Data(up), gate.numel(), MutableData(grad_gate),
                       MutableData(grad_up));
    return {grad_gate, grad_up};
  }
};

struct QuickGeluFunction : Function<QuickGeluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input) {
    const at::Tensor x = input.contiguous();
    ctx->save_for_backward({x});
    if (!FloatOnCpu(x)) return x * at::sigmoid(x * kQuickGelu);
    at::Tensor out = at::empty_like(x, x.options());
    QuickGeluRows(Data(x), x.numel(), MutableData(out));
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    if (!FloatOnCpu(x)) {
      const at::Tensor s = at::sigmoid(x * kQuickGelu);
      return {grads[0] * (s + x * kQuickGelu * s * (1 - s))};
    }
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor grad_x = at::empty_like(x, x.options());
    QuickGeluRowsBackward(Data(grad), Data(x), x.numel(), MutableData(grad_x));
    return {grad_x};
  }
};

// x [N, H, D], possibly with a row stride of its own, into out likewise.
void Rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool transposed,
            const at::Tensor& out) {
  const int64_t head_dim = x.size(2), half = head_dim / 2;
  if (FloatOnCpu(x)) {
    RotateRows(Data(x), x.stride(0), Data(cos), Data(sin), x.size(0), static_cast<int>(x.size(1)),
               static_cast<int>(head_dim), transposed, MutableData(out), out.stride(0));
    return;
  }
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor a = wide.narrow(2, 0, half), b = wide.narrow(2, half, half);
  const at::Tensor c = cos.narrow(1, 0, half).unsqueeze(1);
  at::Tensor s = sin.narrow(1, 0, half).unsqueeze(1);
  if (transposed) s = s.neg();
  out.narrow(2, 0, half).copy_(a * c - b * s);
  out.narrow(2, half, half).copy_(b * c + a * s);
}

struct RotaryFunction : Function<RotaryFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& cos,
                            const at::Tensor& sin) {
    const at::Tensor x = input.contiguous();
    at::Tensor out = at::empty_like(x, x.options());
    Rotate(x, cos, sin, /*transposed=*/false, out);
    ctx->save_for_backward({cos, sin});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor grad_x = at::empty_like(grad, grad.options());
    Rotate(grad, saved[0], saved[1], /*transposed=*/true, grad_x);
    return {grad_x, at::Tensor(), at::Tensor()};
  }
};

struct SplitQkvFunction : Function<SplitQkvFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& qkv, int64_t heads,
                               const at::Tensor& cos, const at::Tensor& sin) {
    const at::Tensor x = qkv.contiguous().view({qkv.size(0), 3, heads, -1});  // [N, 3, H, D]
    variable_list out;
    for (int part = 0; part < 3; ++part) {
      const at::Tensor source = x.select(1, part);
      out.push_back(at::empty({x.size(0), heads, x.size(3)}, x.options()));
      if (part == 2) {
        out[part].copy_(source);
      } else {
        Rotate(source, cos, sin, /*transposed=*/false, out[part]);
      }
    }
    ctx->save_for_backward({cos, sin});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& like = grads[0];  // [N, H, D]
    at::Tensor grad = at::empty({like.size(0), 3, like.size(1), like.size(2)}, like.options());
    for (int part = 0; part < 2; ++part) {
      Rotate(grads[part].contiguous(), saved[0], saved[1], /*transposed=*/true,
             grad.select(1, part));
    }
    grad.select(1, 2).copy_(grads[2]);
    return {grad.view({like.size(0), -1}), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

int64_t RowBytes(const at::Tensor& x) {
  return x.size(0) == 0 ? 0 : x.numel() / x.size(0) * static_cast<int64_t>(x.element_size());
}

at::Tensor Gathered(const at::Tensor& input, const at::Tensor& index) {
  const at::Tensor x = input.contiguous();
  std::vector<int64_t> shape = x.sizes().vec();
  shape[0] = index.numel();
  at::Tensor out = at::empty(shape, x.options());
  kernels::GatherRows(BackendOf(x), x.const_data_ptr(), index.const_data_ptr<int64_t>(),
                      index.numel(), RowBytes(x), out.mutable_data_ptr(),
                      CurrentStream(x.device()));
  return out;
}

at::Tensor Scattered(const at::Tensor& input, const at::Tensor& index, int64_t num_rows) {
  const at::Tensor x = input.contiguous();
  std::vector<int64_t> shape = x.sizes().vec();
  shape[0] = num_rows;
  if (x.size(0) == 0) return at::zeros(shape, x.options());
  at::Tensor out = at::empty(shape, x.options());
  kernels::ScatterRows(BackendOf(x), x.const_data_ptr(), index.const_data_ptr<int64_t>(),
                       index.numel(), RowBytes(x), out.mutable_data_ptr(), num_rows,
                       CurrentStream(x.device()));
  return out;
}

struct GatherFunction : Function<GatherFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& index) {
    ctx->save_for_backward({index});
    ctx->saved_data["rows"] = x.size(0);
    return Gathered(x, index);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {Scattered(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["rows"].toInt()),
            at::Tensor()};
  }
};

struct RepeatFunction : Function<RepeatFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& index) {
    ctx->save_for_backward({index});
    ctx->saved_data["rows"] = x.size(0);
    return Gathered(x, index);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor grad = grads[0].contiguous(), index = ctx->get_saved_variables()[0];
    std::vector<int64_t> shape = grad.sizes().vec();
    shape[0] = ctx->saved_data["rows"].toInt();
    const at::Tensor sum = at::zeros(shape, grad.options());
    if (!FloatOnCpu(grad)) {
      return {sum.index_put_(c10::List<std::optional<at::Tensor>>({index}), grad,
                             /*accumulate=*/true),
              at::Tensor()};
    }
    const int64_t* rows = index.const_data_ptr<int64_t>();
    const int64_t cols = index.numel() == 0 ? 0 : grad.numel() / index.numel();
    for (int64_t i = 0; i < index.numel(); ++i) {
      float* to = MutableData(sum) + rows[i] * cols;
      const float* from = Data(grad) + i * cols;
      for (int64_t c = 0; c < cols; ++c) to[c] += from[c];
    }
    return {sum, at::Tensor()};
  }
};

struct ScatterFunction : Function<ScatterFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& index,
                            int64_t num_rows) {
    ctx->save_for_backward({index});
    return Scattered(x, index, num_rows);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {Gathered(grads[0], ctx->get_saved_variables()[0]), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor IntTensor(const std::vector<int32_t>& values, c10::Device device) {
  return FromHost(values, at::kInt, device);
}

at::Tensor LongTensor(const std::vector<int64_t>& values, c10::Device device) {
  return FromHost(values, at::kLong, device);
}

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const Compute& compute) {
  std::optional<at::Tensor> maybe_bias;  // an undefined tensor is no argument to a Function
  if (bias.defined()) maybe_bias = bias;
  if (compute.tile_rows <= 0 && !IsWidened(x)) return at::linear(x, weight, maybe_bias);
  return LinearFunction::apply(x, weight, maybe_bias, static_cast<int64_t>(compute.tile_rows));
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return RmsNormFunction::apply(x, weight, eps);
}

at::Tensor SwiGlu(const at::Tensor& gate, const at::Tensor& up) {
  return SwiGluFunction::apply(gate, up);
}

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double eps) {
  return at::layer_norm(x, {x.size(-1)}, weight, bias, eps);
}

at::Tensor QuickGelu(const at::Tensor& x) { return QuickGeluFunction::apply(x); }

at::Tensor ApplyRotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  return RotaryFunction::apply(x, cos, sin);
}

QkvHeads SplitQkvRotary(const at::Tensor& qkv, int heads, const at::Tensor& cos,
                        const at::Tensor& sin) {
  variable_list parts = SplitQkvFunction::apply(qkv, static_cast<int64_t>(heads), cos, sin);
  return {parts[0], parts[1], parts[2]};
}

at::Tensor GatherRows(const at::Tensor& x, const at::Tensor& index) {
  return GatherFunction::apply(x, index);
}

at::Tensor ScatterRows(const at::Tensor& x, const at::Tensor& index, int64_t num_rows) {
  return ScatterFunction::apply(x, index, num_rows);
}

at::Tensor RepeatRows(const at::Tensor& x, const at::Tensor& index) {
  return RepeatFunction::apply(x, index);
}

}  // namespace ziprl
