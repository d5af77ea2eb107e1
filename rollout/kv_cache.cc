#include "rollout/kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/decode_attention.h"
#include "model/autograd_ops.h"
#include "rollout/host_tensor.h"

namespace ziprl {
namespace {

using kernels::kPageRows;

constexpr int64_t kLeastRows = 16;

}  // namespace

void RowBuffer::Reserve(int64_t capacity, int64_t heads, int64_t dim, const Device& device) {
  if (storage_.defined() && storage_.size(0) >= capacity) return;
  const int64_t grown = storage_.defined() ? storage_.size(0) + storage_.size(0) / 2 : kLeastRows;
  at::Tensor larger = at::empty({std::max(capacity, grown), heads, dim}, device.Float());
  if (length_ > 0) larger.narrow(0, 0, length_).copy_(rows());
  storage_ = std::move(larger);
  data_ = storage_.data_ptr<float>();
}

void RowBuffer::Assign(const at::Tensor& rows, const Device& device) {
  length_ = 0;
  storage_.reset();
  Append(rows, 0, rows.size(0), device);
}

void RowBuffer::Append(const at::Tensor& rows, int64_t from, int64_t count, const Device& device) {
  Reserve(length_ + count, rows.size(1), rows.size(2), device);
  storage_.narrow(0, length_, count).copy_(rows.narrow(0, from, count));
  length_ += count;
}

void RowBuffer::AppendRow(const float* row, int64_t heads, int64_t dim) {
  Reserve(length_ + 1, heads, dim, Device{});
  std::memcpy(data_ + length_ * heads * dim, row, heads * dim * sizeof(float));
  ++length_;
}

void LayerCache::Fill(const at::Tensor& k, const at::Tensor& v, std::vector<uint8_t> visual,
                      const Device& device) {
  pages_.clear();
  data_.clear();
  rows_ = 0, heads_ = k.size(1), dim_ = k.size(2);
  AppendRows(k, v, 0, k.size(0), device);
  visual_ = std::move(visual);
}

void LayerCache::Append(const at::Tensor& k, const at::Tensor& v, int64_t from, int64_t count,
                        const Device& device) {
  AppendRows(k, v, from, count, device);
  visual_.resize(visual_.size() + count, 0);
}

void LayerCache::AppendRow(const float* k, const float* v) {
  const int64_t row = heads_ * dim_;
  float* to = PageToAppendTo(Device{}).data_ptr<float>() + rows_ % kPageRows * row;
  std::memcpy(to, k, row * sizeof(float));
  std::memcpy(to + kPageRows * row, v, row * sizeof(float));
  ++rows_;
  visual_.push_back(0);
}

void LayerCache::Compact(const Bitmap& keep, const Device& device) {
  const at::Tensor index = KeptIndex(keep, device);
  std::vector<uint8_t> visual;
  visual.reserve(index.size(0));
  for (uint32_t j = 0; j < keep.size; ++j) {
    if (keep.Test(j)) visual.push_back(visual_[j]);
  }
  Fill(GatherRows(GatherKeys(), index), GatherRows(GatherValues(), index), std::move(visual),
       device);
}

at::Tensor& LayerCache::PageToAppendTo(const Device& device) {
  if (rows_ == static_cast<int64_t>(pages_.size()) * kPageRows) {
    pages_.push_back(at::empty({2, kPageRows, heads_, dim_}, device.Float()));
    data_.push_back(pages_.back().const_data_ptr<float>());
  } else if (pages_.back().use_count() > 1) {
    pages_.back() = pages_.back().clone();
    data_.back() = pages_.back().const_data_ptr<float>();
  }
  return pages_.back();
}

void LayerCache::AppendRows(const at::Tensor& k, const at::Tensor& v, int64_t from, int64_t count,
                            const Device& device) {
  for (const int64_t end = from + count; from < end;) {
    const at::Tensor& page = PageToAppendTo(device);
    const int64_t at = rows_ % kPageRows, taken = std::min(kPageRows - at, end - from);
    page[0].narrow(0, at, taken).copy_(k.narrow(0, from, taken));
    page[1].narrow(0, at, taken).copy_(v.narrow(0, from, taken));
    rows_ += taken, from += taken;
  }
}

at::Tensor LayerCache::Gather(int64_t half) const {
  std::vector<at::Tensor> rows;
  for (int64_t begin = 0; begin < rows_; begin += kPageRows) {
    const at::Tensor& page = pages_[begin / kPageRows];
    rows.push_back(page[half].narrow(0, 0, std::min<int64_t>(kPageRows, rows_ - begin)));
  }
  return at::cat(rows, 0);
}

at::Tensor KeptIndex(const Bitmap& keep, const Device& device) {
  std::vector<int64_t> index;
  index.reserve(keep.Count());
  for (uint32_t j = 0; j < keep.size; ++j) {
    if (keep.Test(j)) index.push_back(j);
  }
  return ToDevice(index, device);
}

Bitmap FullBitmap(uint32_t n) {
  Bitmap all(n);
  for (uint64_t& word : all.words) word = ~uint64_t{0};
  if (n % 64 != 0) all.words.back() = (uint64_t{1} << (n % 64)) - 1;
  return all;
}

}  // namespace ziprl
