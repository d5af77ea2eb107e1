// One decoder layer's keys and values of one sequence, compacted: the kept prompt tokens, then
// every generated token, less what re-compressions evicted. fp32. Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "model/device.h"
#include "model/tensor.h"
#include "proto/types.h"

namespace ziprl {

// Rows [length, heads, D] appended one by one; capacity grows by half as needed.
class RowBuffer {
 public:
  // Replaces the content by a copy of rows [K, heads, D].
  void Assign(const at::Tensor& rows, const Device& device);
  // Appends rows [from, from + count) of `rows`.
  void Append(const at::Tensor& rows, int64_t from, int64_t count, const Device& device);
  // Appends one row [heads, D]; memory of the host on both sides.
  void AppendRow(const float* row, int64_t heads, int64_t dim);
  void Clear() { length_ = 0; }

  int64_t length() const { return length_; }
  at::Tensor rows() const { return storage_.narrow(0, 0, length_); }  // a view

 private:
  void Reserve(int64_t capacity, int64_t heads, int64_t dim, const Device& device);

  at::Tensor storage_;  // [capacity, heads, D]
  float* data_ = nullptr;
  int64_t length_ = 0;
};

// In pages as kernels/decode_attention takes them. A copy has the same pages; full ones stay common
// to both, and whoever appends first to a page that is not full takes a copy of it. A page is freed
// with the last cache that has it.
class LayerCache {
 public:
  // Prefill: kept keys and values [K, Hk, D] replace the content; visual[j] says whether entry j is
  // an image/video token.
  void Fill(const at::Tensor& k, const at::Tensor& v, std::vector<uint8_t> visual,
            const Device& device);
  // Generated tokens: rows [from, from + count) of k and v [B, Hk, D], fp32 and contiguous.
  void Append(const at::Tensor& k, const at::Tensor& v, int64_t from, int64_t count,
              const Device& device);
  // One generated token: k and v [Hk, D]; memory of the host on both sides.
  void AppendRow(const float* k, const float* v);
  // Makes room for a generated token now, so that pages() lists where it will go.
  void ReserveRow(const Device& device) { PageToAppendTo(device); }
  // The reserved row was written by kernels::AppendKv.
  void CountReservedRow() {
    ++rows_;
    visual_.push_back(0);
  }
  // Keeps the entries whose bit is set, in pages of its own; keep.size is length().
  void Compact(const Bitmap& keep, const Device& device);

  int32_t length() const { return static_cast<int32_t>(visual_.size()); }
  // The list that DecodeAttentionParams wants, until the cache changes; behind the entries a
  // reserved page, where one is. In memory of the host.
  const std::vector<const float*>& pages() const { return data_; }
  at::Tensor GatherKeys() const { return Gather(0); }  // [length, Hk, D], a copy
  at::Tensor GatherValues() const { return Gather(1); }
  const std::vector<uint8_t>& visual() const { return visual_; }

 private:
  // The last page, with room for a row, no other cache's.
  at::Tensor& PageToAppendTo(const Device& device);
  void AppendRows(const at::Tensor& k, const at::Tensor& v, int64_t from, int64_t count,
                  const Device& device);
  at::Tensor Gather(int64_t half) const;

  std::vector<at::Tensor> pages_;  // [2, kPageRows, Hk, D] each
  std::vector<const float*> data_;
  std::vector<uint8_t> visual_;
  int64_t rows_ = 0, heads_ = 0, dim_ = 0;
};

// The set bits of `keep`, ascending, as an int64 index on the device.
at::Tensor KeptIndex(const Bitmap& keep, const Device& device);

// A kept set that holds all n entries.
Bitmap FullBitmap(uint32_t n);

}  // namespace ziprl
