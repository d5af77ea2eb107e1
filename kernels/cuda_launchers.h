// The launchers: defined in op.cuh, compiled by op.cu (or the host shim), listed in the table.
// Contracts: the headers of the ops.
#pragma once

#include "kernels/cuda_table.h"

namespace ziprl::kernels::cuda {

void ProbeMass(const ProbeMassParams& params, int64_t* mass, float* lse, Stream stream);
void ProbeMassBackward(const ProbeMassParams& params, const float* lse, const float* da, float* dq,
                       float* dk, Stream stream);
void TopPSelect(const TopPParams& params, uint8_t* keep, float* score, TopPResult* result,
                Stream stream);
void GatherRows(const void* src, const int64_t* index, int64_t count, int64_t row_bytes, void* dst,
                Stream stream);
void ScatterRows(const void* src, const int64_t* index, int64_t count, int64_t row_bytes, void* dst,
                 int64_t num_rows, Stream stream);
void RaggedAttention(const RaggedAttentionParams& params, float* out, float* lse, int kv_head_begin,
                     int kv_head_end, Stream stream);
void RaggedAttentionBackward(const RaggedAttentionParams& params, const float* out,
                             const float* lse, const float* dout, float* dq, float* dk, float* dv,
                             int kv_head_begin, int kv_head_end, Stream stream);
void AppendKv(const AppendKvParams& params, Stream stream);
void DecodeAttention(const DecodeAttentionParams& params, float* out, Stream stream);
void TokenLogprob(const TokenLogprobParams& params, LogprobState* state, float* logprob, float* lse,
                  float* entropy, Stream stream);
void TokenLogprobBackward(const TokenLogprobParams& params, const float* lse, const float* dlogprob,
                          Stream stream);
void AdamW(const AdamWParams& params, float* param, const float* grad, float* m, float* v,
           int64_t n, Stream stream);
void SampleToken(const SampleTokenParams& params, int32_t* token, float* logprob, Stream stream);

// Puts the launchers above into the table.
inline void FillOps(CudaTable& table) {
  table.probe_mass = ProbeMass;
  table.probe_mass_backward = ProbeMassBackward;
  table.top_p_select = TopPSelect;
  table.gather_rows = GatherRows;
  table.scatter_rows = ScatterRows;
  table.ragged_attention = RaggedAttention;
  table.ragged_attention_backward = RaggedAttentionBackward;
  table.append_kv = AppendKv;
  table.decode_attention = DecodeAttention;
  table.token_logprob = TokenLogprob;
  table.token_logprob_backward = TokenLogprobBackward;
  table.adamw = AdamW;
  table.sample_token = SampleToken;
}

}  // namespace ziprl::kernels::cuda
