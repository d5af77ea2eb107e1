#include "rollout/step_buffers.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

namespace ziprl {
namespace {

// Words of `count` values of 4 bytes; parts begin at multiples of 16 bytes.
int64_t WordsOf(int64_t count) { return (count + 3) / 4 * 2; }

}  // namespace

StepBuffers::StepBuffers(const EngineContext& context, int64_t rows)
    : context_(context), rows_(rows) {
  const Architecture& arch = context.arch();
  fixed_ = 2 * WordsOf(rows * arch.head_dim) + WordsOf(rows) + WordsOf(rows * arch.layers);
}

void StepBuffers::Allocate(int64_t words) {
  const Architecture& arch = context_.arch();
  words_ = at::empty({words}, context_.device().Long());
  int64_t at = 0;
  const auto part = [&](c10::ScalarType type, int64_t count) {
    const at::Tensor view = words_.narrow(0, at, WordsOf(count)).view(type).narrow(0, 0, count);
    at += WordsOf(count);
    return view;
  };
  rotary_.cos = part(c10::kFloat, rows_ * arch.head_dim).view({rows_, arch.head_dim});
  rotary_.sin = part(c10::kFloat, rows_ * arch.head_dim).view({rows_, arch.head_dim});
  ids_ = part(c10::kInt, rows_);
  lengths_ = part(c10::kInt, rows_ * arch.layers);
}

float* const* const* StepBuffers::pages(int layer) const {
  return reinterpret_cast<float* const* const*>(words_.const_data_ptr<int64_t>() + fixed_) +
         layer * rows_;
}

const int32_t* StepBuffers::lengths(int layer) const {
  return lengths_.const_data_ptr<int32_t>() + layer * rows_;
}

StepBuffers::Caches StepBuffers::CachesOf(const Rows& rows) const {
  Caches out;
  out.lengths.assign(rows_ * context_.arch().layers, 0);
  out.begin.assign(out.lengths.size(), 0);
  for (size_t i = 0; i < out.lengths.size(); ++i) {
    out.begin[i] = static_cast<int64_t>(out.pages.size());
    const size_t r = i % rows_;
    if (r >= rows.size() || rows[r] == nullptr) continue;
    LayerCache& cache = rows[r]->layers[i / rows_].cache;
    cache.ReserveRow(context_.device());
    for (const float* page : cache.pages()) out.pages.push_back(reinterpret_cast<int64_t>(page));
    out.lengths[i] = cache.length() + 1;
  }
  return out;
}

bool StepBuffers::Fill(const Rows& rows) {
  std::vector<int32_t> ids(rows_, 0), position(rows_, 0);
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] == nullptr) continue;
    ids[r] = rows[r]->out.token_ids.back();
    position[r] = rows[r]->next_position + rows[r]->fed;
  }
  const Rotary rotary = MakeRotary(context_.arch(), {position, position, position}, Device{});
  const Caches caches = CachesOf(rows);
  const auto lists = static_cast<int64_t>(caches.begin.size());
  const auto words = fixed_ + lists + static_cast<int64_t>(caches.pages.size());
  const bool stays = words_.defined() && words <= words_.numel();
  if (!stays) Allocate(words + words / 2);

  std::vector<int64_t> host(fixed_);
  char* to = reinterpret_cast<char*>(host.data());
  const auto put = [&to](const void* from, int64_t count) {
    std::memcpy(to, from, count * 4);
    to += WordsOf(count) * 8;
  };
  put(rotary.cos.const_data_ptr(), rotary.cos.numel());
  put(rotary.sin.const_data_ptr(), rotary.sin.numel());
  put(ids.data(), rows_);
  put(caches.lengths.data(), lists);
  const int64_t* const pages = words_.const_data_ptr<int64_t>() + fixed_ + lists;
  for (const int64_t begin : caches.begin) host.push_back(reinterpret_cast<int64_t>(pages + begin));
  host.insert(host.end(), caches.pages.begin(), caches.pages.end());
  words_.narrow(0, 0, words).copy_(at::from_blob(host.data(), {words}, Device{}.Long()));
  return stays;
}

}  // namespace ziprl
