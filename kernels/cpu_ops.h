// The CPU implementations behind the dispatch in op.cc; also the reference of the CUDA kernels.
// Contracts: the headers of the ops. Arguments are already checked.
#pragma once

#include "kernels/adamw.h"
#include "kernels/decode_attention.h"
#include "kernels/gather_rows.h"
#include "kernels/probe_mass.h"
#include "kernels/ragged_attention.h"
#include "kernels/sample_token.h"
#include "kernels/token_logprob.h"
#include "kernels/top_p_select.h"

namespace ziprl::kernels::cpu {

void ProbeMass(const ProbeMassParams& params, int64_t* mass, float* lse);
void ProbeMassBackward(const ProbeMassParams& params, const float* lse, const float* da, float* dq,
                       float* dk);
void TopPSelect(const TopPParams& params, uint8_t* keep, float* score, TopPResult* result);
void GatherRows(const void* src, const int64_t* index, int64_t count, int64_t row_bytes, void* dst);
void ScatterRows(const void* src, const int64_t* index, int64_t count, int64_t row_bytes, void* dst,
                 int64_t num_rows);
void RaggedAttention(const RaggedAttentionParams& params, float* out, float* lse, int kv_head_begin,
                     int kv_head_end);
void RaggedAttentionBackward(const RaggedAttentionParams& params, const float* out,
                             const float* lse, const float* dout, float* dq, float* dk, float* dv,
                             int kv_head_begin, int kv_head_end);
void AppendKv(const AppendKvParams& params);
void DecodeAttention(const DecodeAttentionParams& params, float* out);
void TokenLogprob(const TokenLogprobParams& params, LogprobState* state, float* logprob, float* lse,
                  float* entropy);
void TokenLogprobBackward(const TokenLogprobParams& params, const float* lse,
                          const float* dlogprob);
void AdamW(const AdamWParams& params, float* param, const float* grad, float* m, float* v,
           int64_t n);
void SampleToken(const SampleTokenParams& params, int32_t* token, float* logprob);

}  // namespace ziprl::kernels::cpu
