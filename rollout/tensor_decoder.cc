// Decode steps by tensor operations: any device and type.
#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "kernels/decode_attention.h"
#include "model/language_model.h"
#include "rollout/decoder.h"
#include "rollout/recompress.h"
#include "rollout/step_buffers.h"

namespace ziprl {
namespace {

// What a step leaves on the device.
struct StepResult {
  std::vector<at::Tensor> queries;  // [L] of [R, H, D], where re-compressions will ask for them
  at::Tensor logits;                // [R, V] fp32
};

at::Tensor HeadLogits(const EngineContext& context, const at::Tensor& x) {
  const Model& model = *context.model;
  return Linear(FinalNorm(model.arch, model.params, x), HeadWeight(model.arch, model.params),
                at::Tensor(), context.decode)
      .to(at::kFloat)
      .contiguous();
}

at::Tensor AttendCaches(const EngineContext& context, const StepBuffers& in, int layer,
                        const at::Tensor& q) {
  const Architecture& arch = context.arch();
  const at::Tensor out = at::empty_like(q);  // [R, H, D]
  kernels::DecodeAttentionParams params;
  params.q = q.data_ptr<float>();
  params.pages = in.pages(layer);
  params.length = in.lengths(layer);
  params.batch = static_cast<int>(q.size(0));
  params.num_heads = arch.heads;
  params.num_kv_heads = arch.kv_heads;
  params.head_dim = arch.head_dim;
  params.scale = 1.0f / std::sqrt(static_cast<float>(arch.head_dim));
  kernels::DecodeAttention(context.device().backend(), params, out.data_ptr<float>(),
                           CurrentStream(context.device().device));
  return out.reshape({out.size(0), static_cast<int64_t>(arch.heads) * arch.head_dim})
      .to(context.device().dtype);
}

void AppendToCaches(const EngineContext& context, const StepBuffers& in, int layer,
                    const Qkv& qkv) {
  const Architecture& arch = context.arch();
  kernels::AppendKvParams params;
  params.k = qkv.k.const_data_ptr<float>();
  params.v = qkv.v.const_data_ptr<float>();
  params.pages = in.pages(layer);
  params.length = in.lengths(layer);
  params.batch = static_cast<int>(qkv.k.size(0));
  params.num_kv_heads = arch.kv_heads;
  params.head_dim = arch.head_dim;
  kernels::AppendKv(context.device().backend(), params, CurrentStream(context.device().device));
}

Qkv ToFloat(Qkv qkv) {
  for (at::Tensor* tensor : {&qkv.q, &qkv.k, &qkv.v}) {
    *tensor = tensor->to(at::kFloat).contiguous();
  }
  return qkv;
}

// The rows' tokens through all layers. Reads the device's memory alone and launches the same
// whatever lies there: a graph can hold it. Once more over the same buffers it gives the same.
StepResult RunStep(const EngineContext& context, const StepBuffers& in) {
  const Model& model = *context.model;
  StepResult out;
  at::Tensor x = EmbedIds(model.arch, model.params, in.ids());
  for (int layer = 0; layer < model.arch.layers; ++layer) {
    const DecoderLayerWeights& weights = context.layers[layer];
    const Qkv qkv = ToFloat(ProjectQkv(model.arch, weights, x, in.rotary(), context.decode));
    AppendToCaches(context, in, layer, qkv);
    const at::Tensor attention = AttendCaches(context, in, layer, qkv.q);
    if (RecordsQueries(*context.config, /*p=*/0.0)) out.queries.push_back(qkv.q);
    x = FinishLayer(model.arch, weights, x, attention, at::Tensor(), context.decode);
  }
  out.logits = HeadLogits(context, x);
  return out;
}

// The host's side of a step that was run: entries counted, re-compressions that are due.
void Book(const EngineContext& context, const StepResult& step, const Rows& rows) {
  for (int layer = 0; layer < context.arch().layers; ++layer) {
    for (size_t r = 0; r < rows.size(); ++r) {
      if (rows[r] == nullptr) continue;
      SequenceLayer& state = rows[r]->layers[layer];
      state.cache.CountReservedRow();
      if (!RecordsQueries(*context.config, rows[r]->out.p)) continue;
      state.window.Append(step.queries[layer], static_cast<int64_t>(r), 1, context.device());
    }
    RecompressDue(context, rows, layer);
  }
  for (Sequence* sequence : rows) {
    if (sequence != nullptr) ++sequence->fed;
  }
}

class TensorDecoder : public Decoder {
 public:
  explicit TensorDecoder(const EngineContext& context) : context_(context) {}

  const float* Logits(const at::Tensor& rows) override {
    logits_ = HeadLogits(context_, rows);
    return logits_.const_data_ptr<float>();
  }

  const float* Step(const Rows& rows) override {
    Run& run = RunOf(static_cast<int64_t>(rows.size()));
    if (!run.buffers.Fill(rows)) run.graph = nullptr, run.steps = 0;
    Compute(run);
    Book(context_, run.result, rows);
    return run.result.logits.const_data_ptr<float>();
  }

 private:
  // Steps of so many rows.
  struct Run {
    StepBuffers buffers;
    StepResult result;
    std::unique_ptr<DeviceGraph> graph;
    int64_t steps = 0;  // over these buffers
  };

  // Graphs are made for whole tiles of rows: batches shrink row by row. Without them one size is
  // kept at a time.
  Run& RunOf(int64_t rows) {
    const bool graphs = context_.graphs != nullptr;
    if (graphs) rows = (rows + kDecodeTileRows - 1) / kDecodeTileRows * kDecodeTileRows;
    const auto found = runs_.find(rows);
    if (found != runs_.end()) return found->second;
    if (!graphs) runs_.clear();
    return runs_.emplace(rows, Run{StepBuffers(context_, rows), {}, nullptr}).first->second;
  }

  // The first step is computed as it comes, which prepares what libraries prepare; with the second
  // one a graph is made.
  void Compute(Run& run) {
    if (context_.graphs != nullptr && run.graph == nullptr && run.steps > 0) Capture(run);
    ++run.steps;
    if (run.graph != nullptr) return run.graph->Replay();
    run.result = RunStep(context_, run.buffers);
  }

  void Capture(Run& run) {
    if (refused_) return;
    std::string error;
    run.graph =
        context_.graphs->Capture([&] { run.result = RunStep(context_, run.buffers); }, &error);
    refused_ = run.graph == nullptr;
    if (refused_) {
      LogWarn(absl::StrCat("decode steps are not captured as graphs: ", error));
    } else {
      LogDebug(absl::StrCat("a graph of a decode step of ", run.buffers.rows(), " rows"));
    }
  }

  const EngineContext& context_;
  at::Tensor logits_;
  std::map<int64_t, Run> runs_;
  bool refused_ = false;
};

}  // namespace

std::unique_ptr<Decoder> MakeTensorDecoder(const EngineContext& context) {
  return std::make_unique<TensorDecoder>(context);
}

}  // namespace ziprl
