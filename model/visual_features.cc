#include "model/visual_features.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <array>
#include <cstring>
#include <limits>
#include <list>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "configs/base/mutex.h"
#include "configs/base/status_macros.h"
#include "model/decode_ahead.h"
#include "model/vision_tower.h"

namespace ziprl {
namespace {

constexpr int64_t kFrozenVersion = -1;
constexpr int kDecodeThreads = 2;

// What was computed: pixels (model null) or tower outputs of one model at one version, tile size
// included.
struct Key {
  uint64_t content = 0;
  int64_t min_pixels = 0, max_pixels = 0;
  int patch = 0;
  std::array<double, 6> sampling = {};  // of a video
  const Model* model = nullptr;
  int64_t version = 0;
  int tile_rows = 0;

  auto Tie() const {
    return std::tie(content, min_pixels, max_pixels, patch, sampling, model, version, tile_rows);
  }
  bool operator<(const Key& other) const { return Tie() < other.Tie(); }
};

Key PixelKey(const Model& model, const MediaRef& medium) {
  const MediaConfig& media = model.processor->media();
  const bool is_video = medium.kind == MediaKind::kVideo;
  const VideoProcessorConfig& video = media.video;
  const ImageProcessorConfig& config = is_video ? video.frame : media.image;
  Key key;
  key.content = medium.content_hash;
  if (is_video) {
    key.sampling = {video.fps,
                    static_cast<double>(video.num_frames),
                    static_cast<double>(video.min_frames),
                    static_cast<double>(video.max_frames),
                    static_cast<double>(video.cap_pixels_per_frame),
                    static_cast<double>(video.max_video_tokens)};
  }
  key.min_pixels = config.min_pixels;
  key.max_pixels = config.max_pixels;
  key.patch = config.patch;
  return key;
}

// Filled once under its own lock, so that two threads that want one medium compute it once.
struct Slot {
  Mutex mutex;
  bool filled ABSL_GUARDED_BY(mutex) = false;
  PatchTensor value ABSL_GUARDED_BY(mutex);  // tower outputs use `values` alone
};

absl::StatusOr<PatchTensor> DecodePatches(const MediaConfig& config, const at::Device& device,
                                          const MediaRef& medium) {
  ZIPRL_ASSIGN_OR_RETURN(const ImagePatches patches, PatchesOf(config, medium));
  const int64_t rows = static_cast<int64_t>(patches.values.size()) / patches.patch_dim;
  at::Tensor host =
      at::empty({rows, patches.patch_dim}, at::TensorOptions().dtype(at::kFloat).device(at::kCPU));
  std::memcpy(host.mutable_data_ptr(), patches.values.data(),
              patches.values.size() * sizeof(float));
  return PatchTensor{host.to(device), patches.grid};
}

}  // namespace

struct VisualFeatures::Impl {
  struct Entry {
    std::shared_ptr<Slot> slot = std::make_shared<Slot>();
    std::list<Key>::iterator age;
    int64_t bytes = 0;
  };

  explicit Impl(int64_t capacity_bytes) : capacity(capacity_bytes) {}

  // The value of `key`, computed by `compute` (StatusOr<PatchTensor>()) unless it is held.
  template <typename Compute>
  absl::StatusOr<PatchTensor> Get(const Key& key, Compute&& compute) {
    const std::shared_ptr<Slot> slot = Acquire(key);
    MutexLock lock(&slot->mutex);
    if (!slot->filled) {
      auto value = compute();
      if (!value.ok()) return value.status();
      slot->value = *std::move(value);
      slot->filled = true;
      Account(key, static_cast<int64_t>(slot->value.values.nbytes()));
    }
    return slot->value;
  }

  absl::StatusOr<PatchTensor> Pixels(const Key& key, const MediaConfig& config,
                                     const at::Device& device, const MediaRef& medium) {
    return Get(key, [&]() -> absl::StatusOr<PatchTensor> {
      {
        MutexLock lock(&mutex);
        ++decoded;
      }
      return DecodePatches(config, device, medium);
    });
  }

  // Whether the pixels are held or on their way, or the tower's output for this model's version.
  bool Holds(const Key& pixels, const Model& model, int64_t version) {
    MutexLock lock(&mutex);
    if (entries.count(pixels) > 0) return true;
    Key tower = pixels;
    tower.model = &model;
    tower.version = model.vision_frozen ? kFrozenVersion : version;
    tower.tile_rows = std::numeric_limits<int>::min();  // of any tile size
    const auto it = entries.lower_bound(tower);
    if (it == entries.end()) return false;
    tower.tile_rows = it->first.tile_rows;
    return it->first.Tie() == tower.Tie();
  }

  std::shared_ptr<Slot> Acquire(const Key& key) {
    MutexLock lock(&mutex);
    const auto [it, fresh] = entries.try_emplace(key);
    if (fresh) {
      ages.push_front(key);
      it->second.age = ages.begin();
    } else {
      ages.splice(ages.begin(), ages, it->second.age);
    }
    return it->second.slot;
  }

  // Counts a filled entry and drops the longest unused ones above the capacity, never `key` itself.
  void Account(const Key& key, int64_t bytes) {
    MutexLock lock(&mutex);
    const auto it = entries.find(key);
    if (it == entries.end()) return;
    used += bytes - std::exchange(it->second.bytes, bytes);
    while (used > capacity && ages.size() > 1) {
      const auto oldest = entries.find(ages.back());
      if (oldest == it) break;
      used -= oldest->second.bytes;
      entries.erase(oldest);
      ages.pop_back();
    }
  }

  const int64_t capacity;
  Mutex mutex;
  int64_t used ABSL_GUARDED_BY(mutex) = 0;
  int64_t decoded ABSL_GUARDED_BY(mutex) = 0;
  std::map<Key, Entry> entries ABSL_GUARDED_BY(mutex);
  std::list<Key> ages ABSL_GUARDED_BY(mutex);  // most recently used first
  DecodeAhead ahead{kDecodeThreads};           // last: its threads use the rest
};

VisualFeatures::VisualFeatures(int64_t capacity_bytes)
    : impl_(std::make_unique<Impl>(capacity_bytes)) {}
VisualFeatures::~VisualFeatures() = default;

absl::StatusOr<PatchTensor> VisualFeatures::Patches(const Model& model, const MediaRef& medium) {
  return impl_->Pixels(PixelKey(model, medium), model.processor->media(), model.device.device,
                       medium);
}

void VisualFeatures::Prefetch(const Model& model, const std::vector<const MediaRef*>& media,
                              int64_t version) {
  const MediaConfig& config = model.processor->media();
  const ImageProcessorConfig& cut = config.image;
  const int64_t patch_bytes = int64_t{4} * 3 * cut.temporal_patch * cut.patch * cut.patch;
  std::set<Key> queued;
  int64_t bytes = 0;
  for (const MediaRef* medium : media) {
    const Key key = PixelKey(model, *medium);
    if (queued.count(key) > 0 || impl_->Holds(key, model, version)) continue;
    const absl::StatusOr<Grid> grid = model.processor->GridOf(*medium);
    if (!grid.ok()) continue;
    bytes += patch_bytes * grid->t * grid->h * grid->w;
    if (bytes > impl_->capacity / 2) return;
    queued.insert(key);
    // The task may outlive the model: it holds copies.
    impl_->ahead.Add(
        [impl = impl_.get(), key, config, device = model.device.device, medium = *medium] {
          try {
            impl->Pixels(key, config, device, medium).IgnoreError();
          } catch (const std::exception&) {  // out of memory: whoever asks for the medium sees it
          }
        });
  }
}

void VisualFeatures::WaitForPrefetch() { impl_->ahead.Drain(); }

absl::StatusOr<at::Tensor> VisualFeatures::Embeddings(const Model& model,
                                                      const std::vector<MediaRef>& media,
                                                      const Compute& compute) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> outputs;
  for (const MediaRef& medium : media) {
    Key key = PixelKey(model, medium);
    key.model = &model;
    key.version = model.vision_frozen ? kFrozenVersion : model.version;
    key.tile_rows = compute.tile_rows;
    ZIPRL_ASSIGN_OR_RETURN(
        PatchTensor output, impl_->Get(key, [&]() -> absl::StatusOr<PatchTensor> {
          ZIPRL_ASSIGN_OR_RETURN(const PatchTensor patches, Patches(model, medium));
          return PatchTensor{
              VisionTower(model.arch, model.params, patches.values, {patches.grid}, compute),
              patches.grid};
        }));
    outputs.push_back(output.values);
  }
  if (outputs.empty()) return at::Tensor();
  return outputs.size() == 1 ? outputs[0] : at::cat(outputs, 0);
}

void VisualFeatures::DropOutputs() {
  MutexLock lock(&impl_->mutex);
  for (auto it = impl_->entries.begin(); it != impl_->entries.end();) {
    const bool passing = it->first.model != nullptr && it->first.version != kFrozenVersion;
    if (!passing) {
      ++it;
      continue;
    }
    impl_->used -= it->second.bytes;
    impl_->ages.erase(it->second.age);
    it = impl_->entries.erase(it);
  }
}

int64_t VisualFeatures::held_bytes() const {
  MutexLock lock(&impl_->mutex);
  return impl_->used;
}

int64_t VisualFeatures::decoded_images() const {
  MutexLock lock(&impl_->mutex);
  return impl_->decoded;
}

}  // namespace ziprl
