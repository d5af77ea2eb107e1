#include "rollout/kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "model/autograd_ops.h"
#include "rollout/host_tensor.h"

namespace ziprl {
namespace {

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

void RowBuffer::Assign(const at::Tensor& rows, int64_t spare, const Device& device) {
  length_ = 0;
  storage_.reset();
  Reserve(rows.size(0) + spare, rows.size(1), rows.size(2), device);
  storage_.narrow(0, 0, rows.size(0)).copy_(rows);
  length_ = rows.size(0);
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
                      int64_t spare, const Device& device) {
  k_.Assign(k, spare, device);
  v_.Assign(v, spare, device);
  visual_ = std::move(visual);
}

void LayerCache::Append(const at::Tensor& k, const at::Tensor& v, int64_t from, int64_t count,
                        const Device& device) {
  k_.Append(k, from, count, device);
  v_.Append(v, from, count, device);
  visual_.resize(visual_.size() + count, 0);
}

void LayerCache::AppendRow(const float* k, const float* v) {
  const int64_t heads = k_.rows().size(1), dim = k_.rows().size(2);
  k_.AppendRow(k, heads, dim);
  v_.AppendRow(v, heads, dim);
  visual_.push_back(0);
}

void LayerCache::Compact(const Bitmap& keep, const Device& device) {
  const at::Tensor index = KeptIndex(keep, device);
  const int64_t spare = length() - index.size(0) + kLeastRows;
  k_.Assign(GatherRows(k(), index), spare, device);
  v_.Assign(GatherRows(v(), index), spare, device);
  std::vector<uint8_t> visual;
  visual.reserve(index.size(0));
  for (uint32_t j = 0; j < keep.size; ++j) {
    if (keep.Test(j)) visual.push_back(visual_[j]);
  }
  visual_ = std::move(visual);
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
