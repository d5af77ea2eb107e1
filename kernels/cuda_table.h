// The launchers of libziprl_kernels_cuda.so: one struct of function pointers behind one exported C
// function, so that a program that never asks for CUDA starts without it.
#pragma once

#include "kernels/adamw.h"
#include "kernels/decode_attention.h"
#include "kernels/gather_rows.h"
#include "kernels/probe_mass.h"
#include "kernels/ragged_attention.h"
#include "kernels/sample_token.h"
#include "kernels/token_logprob.h"
#include "kernels/top_p_select.h"

namespace ziprl::kernels {

inline constexpr int kCudaTableVersion = 3;  // goes up with every change of this struct

// Each pointer has its op's contract, without the Backend. All pointers are device memory; calls
// are asynchronous on the stream; a failed launch or allocation aborts with CUDA's error text.
struct CudaTable {
  int version = kCudaTableVersion;

  int (*device_count)();           // 0 when there is no device or no driver
  void (*set_device)(int device);  // of the calling thread: where its launches go
  void* (*allocate)(int64_t bytes);
  void (*release)(void* pointer);
  void (*copy_to_device)(void* dst, const void* src, int64_t bytes);  // both copies block
  void (*copy_to_host)(void* dst, const void* src, int64_t bytes);
  void (*device_name)(char* name, int capacity);

  void (*probe_mass)(const ProbeMassParams&, int64_t* mass, float* lse, Stream);
  void (*probe_mass_backward)(const ProbeMassParams&, const float* lse, const float* da, float* dq,
                              float* dk, Stream);
  void (*top_p_select)(const TopPParams&, uint8_t* keep, float* score, TopPResult*, Stream);
  void (*gather_rows)(const void* src, const int64_t* index, int64_t count, int64_t row_bytes,
                      void* dst, Stream);
  void (*scatter_rows)(const void* src, const int64_t* index, int64_t count, int64_t row_bytes,
                       void* dst, int64_t num_rows, Stream);
  void (*ragged_attention)(const RaggedAttentionParams&, float* out, float* lse, int kv_head_begin,
                           int kv_head_end, Stream);
  void (*ragged_attention_backward)(const RaggedAttentionParams&, const float* out,
                                    const float* lse, const float* dout, float* dq, float* dk,
                                    float* dv, int kv_head_begin, int kv_head_end, Stream);
  void (*append_kv)(const AppendKvParams&, Stream);
  void (*decode_attention)(const DecodeAttentionParams&, float* out, Stream);
  void (*token_logprob)(const TokenLogprobParams&, LogprobState* state, float* logprob, float* lse,
                        float* entropy, Stream);
  void (*token_logprob_backward)(const TokenLogprobParams&, const float* lse, const float* dlogprob,
                                 Stream);
  void (*adamw)(const AdamWParams&, float* param, const float* grad, float* m, float* v, int64_t n,
                Stream);
  void (*sample_token)(const SampleTokenParams&, int32_t* token, float* logprob, Stream);
};

// What the library exports, by this name.
inline constexpr char kCudaTableSymbol[] = "ziprl_kernels_cuda_table";
using CudaTableFunction = const CudaTable* (*)();

}  // namespace ziprl::kernels
