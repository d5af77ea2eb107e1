#include "trainer/sft_sequence.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/model.h"

namespace ziprl {
namespace {

constexpr char kEndToken[] = "<|im_end|>";

// Appends pieces of a dialogue, each tokenised alone, placeholders of media repeated.
class SequenceWriter {
 public:
  SequenceWriter(const Model& model, const std::vector<MediaRef>& media)
      : model_(model), media_(media) {}

  absl::Status Add(const std::string& text, bool is_target) {
    for (int32_t id : model_.processor->tokenizer().Encode(text)) {
      const bool video = id == model_.arch.video_token;
      if (id != model_.arch.image_token && !video) {
        AddId(id, is_target);
        continue;
      }
      const MediaKind kind = video ? MediaKind::kVideo : MediaKind::kImage;
      if (is_target || next_ >= media_.size() || media_[next_].kind != kind) {
        return absl::InvalidArgumentError(absl::StrCat(
            video ? "video" : "image", " mark, number ", next_ + 1, " of ", media_.size(),
            " images and videos", is_target ? " in an assistant turn" : ""));
      }
      ZIPRL_ASSIGN_OR_RETURN(const Grid grid, model_.processor->GridOf(media_[next_++]));
      const int merge = model_.arch.vision.merge;
      for (int i = grid.t * (grid.h / merge) * (grid.w / merge); i > 0; --i) AddId(id, false);
    }
    return absl::OkStatus();
  }

  void AddId(int32_t id, bool is_target) {
    if (is_target) {
      out_.target_rows.push_back(static_cast<int32_t>(out_.ids.size()) - 1);
      out_.target_ids.push_back(id);
    }
    out_.ids.push_back(id);
  }

  absl::StatusOr<TrainSequence> Finish() && {
    if (next_ != media_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(media_.size(), " images and videos for ", next_, " marks"));
    }
    out_.prompt_length = out_.target_rows.front() + 1;
    out_.ids.resize(out_.target_rows.back() + 1);
    out_.media = media_;
    ZIPRL_ASSIGN_OR_RETURN(out_.positions, SequencePositions(model_, out_.ids, media_, 0));
    return std::move(out_);
  }

 private:
  const Model& model_;
  const std::vector<MediaRef>& media_;
  size_t next_ = 0;  // of media_
  TrainSequence out_;
};

std::string ContentText(const Message& message) {
  std::string text;
  for (const ContentItem& item : message.content) text += item.text;
  return text;
}

absl::Status CheckAssistant(const Message& message) {
  for (const ContentItem& item : message.content) {
    if (item.kind != ContentItem::Kind::kText) {
      return absl::InvalidArgumentError(
          "an assistant turn holds an image or a video; text is allowed");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrainSequence> DialogueSequence(const Model& model,
                                               const std::vector<Message>& messages,
                                               const std::vector<MediaRef>& media) {
  const int32_t end = model.processor->tokenizer().TokenId(kEndToken);
  if (end < 0) {
    return absl::FailedPreconditionError(absl::StrCat("the tokenizer has no token ", kEndToken));
  }
  SequenceWriter writer(model, media);
  std::string written;  // text already in the sequence
  bool any = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != "assistant") continue;
    ZIPRL_RETURN_IF_ERROR(CheckAssistant(messages[i]));
    const std::vector<Message> before(messages.begin(), messages.begin() + static_cast<int>(i));
    ZIPRL_ASSIGN_OR_RETURN(const std::string prompt,
                           RenderChat(before, true, model.processor->chat()));
    ZIPRL_RETURN_IF_ERROR(writer.Add(prompt.substr(written.size()), false));
    const std::string content = ContentText(messages[i]);
    ZIPRL_RETURN_IF_ERROR(writer.Add(content, true));
    writer.AddId(end, true);
    written = absl::StrCat(prompt, content, kEndToken);
    any = true;
  }
  if (!any)
    return absl::InvalidArgumentError("there is no answer and no assistant turn to learn from");
  return std::move(writer).Finish();
}

}  // namespace ziprl
