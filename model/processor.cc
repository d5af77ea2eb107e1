#include "model/processor.h"

#include <xxhash.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

// The processor and the model must cut images alike, and placeholders must be single tokens of the
// ids that config.json names.
absl::Status CheckAgreement(const std::string& dir, const Architecture& arch,
                            const Tokenizer& tokenizer, const ImageProcessorConfig& images) {
  const VisionArchitecture& v = arch.vision;
  if (images.patch != v.patch || images.temporal_patch != v.temporal_patch ||
      images.merge != v.merge) {
    return absl::InvalidArgumentError(absl::StrCat(
        dir, ": the image processor's patch_size, temporal_patch_size, merge_size ", images.patch,
        ", ", images.temporal_patch, ", ", images.merge, " differ from config.json's ", v.patch,
        ", ", v.temporal_patch, ", ", v.merge));
  }
  const std::pair<const char*, int32_t> tokens[] = {{"<|image_pad|>", arch.image_token},
                                                    {"<|video_pad|>", arch.video_token},
                                                    {"<|vision_start|>", arch.vision_start_token},
                                                    {"<|vision_end|>", arch.vision_end_token}};
  for (const auto& [token, id] : tokens) {
    if (tokenizer.TokenId(token) == id) continue;
    // Nothing reads the other ids where config.json leaves transformers' defaults beyond the
    // vocabulary.
    if (id != arch.image_token && id >= arch.vocab) continue;
    return absl::InvalidArgumentError(absl::StrCat(dir, ": config.json gives ", token, " the id ",
                                                   id, ", tokenizer.json ",
                                                   tokenizer.TokenId(token)));
  }
  if (tokenizer.vocab_size() > arch.vocab) {
    return absl::InvalidArgumentError(absl::StrCat(dir, ": tokenizer.json holds ids up to ",
                                                   tokenizer.vocab_size() - 1,
                                                   ", config.json's vocab_size is ", arch.vocab));
  }
  return absl::OkStatus();
}

size_t CountImages(const std::vector<Message>& messages) {
  size_t count = 0;
  for (const Message& message : messages) {
    for (const ContentItem& item : message.content) count += item.kind == ContentItem::Kind::kImage;
  }
  return count;
}

bool HasVideo(const std::vector<Message>& messages) {
  for (const Message& message : messages) {
    for (const ContentItem& item : message.content) {
      if (item.kind == ContentItem::Kind::kVideo) return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Processor>> Processor::Load(const std::string& model_dir) {
  auto processor = std::unique_ptr<Processor>(new Processor());
  ZIPRL_ASSIGN_OR_RETURN(processor->arch_, LoadArchitecture(model_dir));
  ZIPRL_ASSIGN_OR_RETURN(processor->tokenizer_,
                         Tokenizer::Load(absl::StrCat(model_dir, "/tokenizer.json")));
  ZIPRL_ASSIGN_OR_RETURN(processor->images_, LoadImageProcessorConfig(model_dir));
  ZIPRL_ASSIGN_OR_RETURN(processor->chat_, LoadChatTemplate(model_dir));
  ZIPRL_RETURN_IF_ERROR(
      CheckAgreement(model_dir, processor->arch_, *processor->tokenizer_, processor->images_));
  return processor;
}

absl::StatusOr<std::vector<int32_t>> Processor::PromptIds(const std::vector<Message>& messages,
                                                          const std::vector<MediaRef>& images,
                                                          bool add_generation_prompt) const {
  if (HasVideo(messages)) return absl::UnimplementedError("videos are not supported, images are");
  if (const size_t marks = CountImages(messages); marks != images.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the messages hold ", marks, " image marks, but ", images.size(), " images are given"));
  }
  ZIPRL_ASSIGN_OR_RETURN(const std::string text,
                         RenderChat(messages, add_generation_prompt, chat_));
  std::vector<int32_t> ids;
  size_t image = 0;
  for (int32_t id : tokenizer_->Encode(text)) {
    if (id == arch_.video_token || (id == arch_.image_token && image == images.size())) {
      return absl::InvalidArgumentError(absl::StrCat("the text itself holds the placeholder token ",
                                                     tokenizer_->Decode({id}, false)));
    }
    if (id != arch_.image_token) {
      ids.push_back(id);
      continue;
    }
    ZIPRL_ASSIGN_OR_RETURN(const Grid grid, GridOf(images[image++]));
    ids.insert(ids.end(), size_t(grid.t) * (grid.h / images_.merge) * (grid.w / images_.merge), id);
  }
  return ids;
}

absl::StatusOr<ImagePatches> PatchesOf(const ImageProcessorConfig& config, const MediaRef& image) {
  if (image.bytes == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(image.source, ": the image has no bytes"));
  }
  ZIPRL_ASSIGN_OR_RETURN(const Image decoded, DecodeImage(*image.bytes, image.source));
  return ProcessImage(config, decoded);
}

absl::StatusOr<ImagePatches> Processor::Patches(const MediaRef& image) const {
  return PatchesOf(images_, image);
}

absl::StatusOr<Grid> Processor::GridOf(const MediaRef& image) const {
  if (image.bytes == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(image.source, ": the image has no bytes"));
  }
  ZIPRL_ASSIGN_OR_RETURN(const auto size, ImageSize(*image.bytes, image.source));
  const absl::StatusOr<Grid> grid = ImageGrid(images_, size.second, size.first);
  if (!grid.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(image.source, ": ", grid.status().message()));
  }
  return *grid;
}

std::vector<uint8_t> Processor::SuppressedIds() const {
  std::vector<uint8_t> suppressed(arch_.vocab, 0);
  for (int32_t id : {arch_.image_token, arch_.video_token, arch_.vision_start_token,
                     arch_.vision_end_token, tokenizer_->TokenId("<|vision_pad|>")}) {
    if (id >= 0 && id < arch_.vocab) suppressed[id] = 1;
  }
  for (int32_t id = tokenizer_->vocab_size(); id < arch_.vocab; ++id) suppressed[id] = 1;
  return suppressed;
}

MediaRef MediaFromBytes(std::string bytes, std::string source) {
  MediaRef ref;
  ref.content_hash = XXH3_64bits(bytes.data(), bytes.size());
  ref.source = std::move(source);
  ref.bytes = std::make_shared<const std::string>(std::move(bytes));
  return ref;
}

absl::StatusOr<MediaRef> ReadMedia(const std::string& path) {
  ZIPRL_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  return MediaFromBytes(std::move(bytes), path);
}

}  // namespace ziprl
