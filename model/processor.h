// Tokenizer + chat template + image processor of one checkpoint: data rows -> prompts. No torch.
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

namespace ziprl {

class Processor {
 public:
  static absl::StatusOr<std::unique_ptr<Processor>> Load(const std::string& model_dir);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Architecture& arch() const { return arch_; }
  const ChatTemplate& chat() const { return chat_; }
  const ImageProcessorConfig& images() const { return images_; }
  ImageProcessorConfig& mutable_images() {
    return images_;
  }  // min/max pixels from the run's config

  // Token ids of the rendered messages with every image placeholder repeated t*h*w/merge^2 times.
  // The number of image items must equal images.size(). Reads image headers only.
  absl::StatusOr<std::vector<int32_t>> PromptIds(const std::vector<Message>& messages,
                                                 const std::vector<MediaRef>& images,
                                                 bool add_generation_prompt) const;

  absl::StatusOr<ImagePatches> Patches(const MediaRef& image) const;
  absl::StatusOr<Grid> GridOf(const MediaRef& image) const;

  // [vocab] 1 where an id may never be sampled: image/video placeholders, vision markers, ids
  // beyond the tokenizer. The same mask in rollout, learner and reference.
  std::vector<uint8_t> SuppressedIds() const;

 private:
  Processor() = default;
  Architecture arch_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ImageProcessorConfig images_;
  ChatTemplate chat_;
};

// Decoded and processed pixels of one image.
absl::StatusOr<ImagePatches> PatchesOf(const ImageProcessorConfig& config, const MediaRef& image);

// Content-hashed reference to a file's bytes. Errors name the path.
absl::StatusOr<MediaRef> ReadMedia(const std::string& path);
MediaRef MediaFromBytes(std::string bytes, std::string source);

}  // namespace ziprl
