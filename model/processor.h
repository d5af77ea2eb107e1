// Tokenizer + chat template + image and video processor of one checkpoint: data rows -> prompts. No
// torch.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/base/media_ref.h"
#include "model/architecture.h"
#include "model/chat_template.h"
#include "model/image_processor.h"
#include "model/tokenizer.h"
#include "model/video_processor.h"

namespace ziprl {

class VideoInfoCache;

// How images and videos become patches.
struct MediaConfig {
  ImageProcessorConfig image;
  VideoProcessorConfig video;
};

class Processor {
 public:
  static absl::StatusOr<std::unique_ptr<Processor>> Load(const std::string& model_dir);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Architecture& arch() const { return arch_; }
  const ChatTemplate& chat() const { return chat_; }
  const MediaConfig& media() const { return media_; }
  MediaConfig& mutable_media() { return media_; }  // bounds from the run's config

  // Token ids of the rendered messages with the placeholder of every image and video repeated
  // t*h*w/merge^2 times. `media`: images and videos in order of appearance, one per item. Of images
  // the header is read, of videos the container.
  absl::StatusOr<std::vector<int32_t>> PromptIds(const std::vector<Message>& messages,
                                                 const std::vector<MediaRef>& media,
                                                 bool add_generation_prompt) const;

  absl::StatusOr<ImagePatches> Patches(const MediaRef& medium) const;
  absl::StatusOr<Grid> GridOf(const MediaRef& medium) const;

  // [vocab] 1 where an id may never be sampled: image/video placeholders, vision markers, ids
  // beyond the tokenizer. The same mask in rollout, learner and reference.
  std::vector<uint8_t> SuppressedIds() const;

  ~Processor();

 private:
  Processor();
  Architecture arch_;
  std::unique_ptr<Tokenizer> tokenizer_;
  MediaConfig media_;
  std::unique_ptr<VideoInfoCache> videos_;  // asked by threads of all roles
  ChatTemplate chat_;
};

// Decoded and processed pixels of one image or video.
absl::StatusOr<ImagePatches> PatchesOf(const MediaConfig& config, const MediaRef& medium);

// Content-hashed reference to an image file's bytes. Errors name the path.
absl::StatusOr<MediaRef> ReadMedia(const std::string& path);
MediaRef MediaFromBytes(std::string bytes, std::string source, MediaKind kind = MediaKind::kImage);

// Content-hashed reference to a video file, whose bytes stay where they are. Errors name the path.
absl::StatusOr<MediaRef> ReferToVideo(const std::string& path);

}  // namespace ziprl
