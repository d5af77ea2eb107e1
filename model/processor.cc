#include "model/processor.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/video_info_cache.h"
#include "model/video_source.h"

namespace ziprl {
namespace {

absl::Status CheckGeometry(const std::string& dir, const VisionArchitecture& v, const char* kind,
                           const ImageProcessorConfig& given) {
  if (given.patch == v.patch && given.temporal_patch == v.temporal_patch &&
      given.merge == v.merge) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(dir, ": the ", kind, " processor's patch_size, temporal_patch_size, merge_size ",
                   given.patch, ", ", given.temporal_patch, ", ", given.merge,
                   " differ from config.json's ", v.patch, ", ", v.temporal_patch, ", ", v.merge));
}

// The processor and the model must cut images alike, and placeholders must be single tokens of the
// ids that config.json names.
absl::Status CheckAgreement(const std::string& dir, const Architecture& arch,
                            const Tokenizer& tokenizer, const MediaConfig& media) {
  ZIPRL_RETURN_IF_ERROR(CheckGeometry(dir, arch.vision, "image", media.image));
  ZIPRL_RETURN_IF_ERROR(CheckGeometry(dir, arch.vision, "video", media.video.frame));
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

const char* NameOf(MediaKind kind) { return kind == MediaKind::kVideo ? "video" : "image"; }

// The items must be the given media, in order.
absl::Status CheckMarks(const std::vector<Message>& messages, const std::vector<MediaRef>& media) {
  std::vector<MediaKind> marks;
  for (const Message& message : messages) {
    for (const ContentItem& item : message.content) {
      if (item.kind == ContentItem::Kind::kImage) marks.push_back(MediaKind::kImage);
      if (item.kind == ContentItem::Kind::kVideo) marks.push_back(MediaKind::kVideo);
    }
  }
  for (MediaKind kind : {MediaKind::kImage, MediaKind::kVideo}) {
    const auto held = std::count(marks.begin(), marks.end(), kind);
    const auto given = std::count_if(media.begin(), media.end(),
                                     [&](const MediaRef& one) { return one.kind == kind; });
    if (held == given) continue;
    return absl::InvalidArgumentError(absl::StrCat("the messages hold ", held, " ", NameOf(kind),
                                                   " marks, but ", given, " ", NameOf(kind),
                                                   "s are given"));
  }
  for (size_t i = 0; i < marks.size(); ++i) {
    if (marks[i] == media[i].kind) continue;
    return absl::InvalidArgumentError(absl::StrCat("mark ", i + 1, " is a ", NameOf(marks[i]),
                                                   "'s, the medium in its place a ",
                                                   NameOf(media[i].kind)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Processor>> Processor::Load(const std::string& model_dir) {
  auto processor = std::unique_ptr<Processor>(new Processor());
  ZIPRL_ASSIGN_OR_RETURN(processor->arch_, LoadArchitecture(model_dir));
  ZIPRL_ASSIGN_OR_RETURN(processor->tokenizer_,
                         Tokenizer::Load(absl::StrCat(model_dir, "/tokenizer.json")));
  ZIPRL_ASSIGN_OR_RETURN(processor->media_.image, LoadImageProcessorConfig(model_dir));
  ZIPRL_ASSIGN_OR_RETURN(processor->media_.video, LoadVideoProcessorConfig(model_dir));
  ZIPRL_ASSIGN_OR_RETURN(processor->chat_, LoadChatTemplate(model_dir));
  ZIPRL_RETURN_IF_ERROR(
      CheckAgreement(model_dir, processor->arch_, *processor->tokenizer_, processor->media_));
  return processor;
}

Processor::Processor() : videos_(std::make_unique<VideoInfoCache>()) {}
Processor::~Processor() = default;

absl::StatusOr<std::vector<int32_t>> Processor::PromptIds(const std::vector<Message>& messages,
                                                          const std::vector<MediaRef>& media,
                                                          bool add_generation_prompt) const {
  ZIPRL_RETURN_IF_ERROR(CheckMarks(messages, media));
  ZIPRL_ASSIGN_OR_RETURN(const std::string text,
                         RenderChat(messages, add_generation_prompt, chat_));
  std::vector<int32_t> ids;
  size_t next = 0;
  for (int32_t id : tokenizer_->Encode(text)) {
    if (id != arch_.image_token && id != arch_.video_token) {
      ids.push_back(id);
      continue;
    }
    const MediaKind kind = id == arch_.video_token ? MediaKind::kVideo : MediaKind::kImage;
    if (next == media.size() || media[next].kind != kind) {
      return absl::InvalidArgumentError(absl::StrCat("the text itself holds the placeholder token ",
                                                     tokenizer_->Decode({id}, false)));
    }
    ZIPRL_ASSIGN_OR_RETURN(const Grid grid, GridOf(media[next++]));
    const int merge = media_.image.merge;
    ids.insert(ids.end(), size_t(grid.t) * (grid.h / merge) * (grid.w / merge), id);
  }
  return ids;
}

absl::StatusOr<ImagePatches> PatchesOf(const MediaConfig& config, const MediaRef& medium) {
  if (medium.kind == MediaKind::kVideo) {
    ZIPRL_ASSIGN_OR_RETURN(const VideoInfo info, ReadVideoInfo(medium));
    return ProcessVideo(config.video, medium, info);
  }
  if (medium.bytes == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(medium.source, ": the image has no bytes"));
  }
  ZIPRL_ASSIGN_OR_RETURN(const Image decoded, DecodeImage(*medium.bytes, medium.source));
  return ProcessImage(config.image, decoded);
}

absl::StatusOr<ImagePatches> Processor::Patches(const MediaRef& medium) const {
  return PatchesOf(media_, medium);
}

namespace {

absl::StatusOr<Grid> ImageGridOf(const ImageProcessorConfig& config, const MediaRef& image) {
  if (image.bytes == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(image.source, ": the image has no bytes"));
  }
  ZIPRL_ASSIGN_OR_RETURN(const auto size, ImageSize(*image.bytes, image.source));
  const absl::StatusOr<Grid> grid = ImageGrid(config, size.second, size.first);
  if (!grid.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(image.source, ": ", grid.status().message()));
  }
  return *grid;
}

}  // namespace

absl::StatusOr<Grid> Processor::GridOf(const MediaRef& medium) const {
  if (medium.kind == MediaKind::kImage) return ImageGridOf(media_.image, medium);
  ZIPRL_ASSIGN_OR_RETURN(const VideoInfo info, videos_->Get(medium));
  const absl::StatusOr<Grid> grid = VideoGrid(media_.video, info);
  if (!grid.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(medium.source, ": ", grid.status().message()));
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

MediaRef MediaFromBytes(std::string bytes, std::string source, MediaKind kind) {
  MediaRef ref;
  ref.content_hash = ContentHash(kind, bytes);
  ref.kind = kind;
  ref.source = std::move(source);
  ref.bytes = std::make_shared<const std::string>(std::move(bytes));
  return ref;
}

absl::StatusOr<MediaRef> ReadMedia(const std::string& path) {
  ZIPRL_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  return MediaFromBytes(std::move(bytes), path);
}

absl::StatusOr<MediaRef> ReferToVideo(const std::string& path) {
  MediaRef ref;
  ref.source = path;
  ref.kind = MediaKind::kVideo;
  std::error_code error;
  ref.path = std::filesystem::absolute(path, error).lexically_normal().string();
  ZIPRL_ASSIGN_OR_RETURN(const VideoSource file, VideoSource::Open(ref));
  ZIPRL_ASSIGN_OR_RETURN(ref.content_hash, file.Hash());
  return ref;
}

}  // namespace ziprl
