#include "rollout/kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "model/autograd_ops.h"
#include "rollout/host_tensor.h"

namespace ziprl {
namespace {

constexpr int64_t kSpareRows = 16;  // room for a short answer without growing

}  // namespace

void RowBuffer::Reserve(int64_t capacity, const at::Tensor& like, const Device& device) {
  if (storage_.defined() && storage_.size(0) >= capacity) return;
  const int64_t grown = storage_.defined() ? storage_.size(0) + storage_.size(0) / 2 : kSpareRows;
  at::Tensor larger =
      at::empty({std::max(capacity, grown), like.size(1), like.size(2)}, device.Float());
  if (length_ > 0) larger.narrow(0, 0, length_).copy_(rows());
  storage_ = std::move(larger);
  data_ = storage_.data_ptr<float>();
}

void RowBuffer::Assign(const at::Tensor& rows, int64_t spare, const Device& device) {
  length_ = 0;
  storage_.reset();
  Reserve(rows.size(0) + spare, rows, device);
  storage_.narrow(0, 0, rows.size(0)).copy_(rows);
  length_ = rows.size(0);
}

void RowBuffer::Append(const at::Tensor& rows, int64_t from, int64_t count, const Device& device) {
  Reserve(length_ + count, rows, device);
  if (rows.is_cpu()) {
    const int64_t row = rows.size(1) * rows.size(2);
    std::memcpy(data_ + length_ * row, rows.data_ptr<float>() + from * row,
                count * row * sizeof(float));
  } else {
    storage_.narrow(0, length_, count).copy_(rows.narrow(0, from, count));
  }
  length_ += count;
}

void LayerCache::Fill(const at::Tensor& k, const at::Tensor& v, std::vector<uint8_t> visual,
                      const Device& device) {
  k_.Assign(k, kSpareRows, device);
  v_.Assign(v, kSpareRows, device);
  visual_ = std::move(visual);
}

void LayerCache::Append(const at::Tensor& k, const at::Tensor& v, int64_t from, int64_t count,
                        const Device& device) {
  k_.Append(k, from, count, device);
  v_.Append(v, from, count, device);
  visual_.resize(visual_.size() + count, 0);
}

void LayerCache::Compact(const Bitmap& keep, const Device& device) {
  const at::Tensor index = KeptIndex(keep, device);
  const int64_t spare = length() - index.size(0) + kSpareRows;
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
