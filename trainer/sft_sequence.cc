#include "trainer/sft_sequence.h"

#include <algorithm>
#include <limits>
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

// Rows that all sequences have in common and none of them predicts from; none where media follow.
size_t CommonPrefix(const std::vector<TrainSequence>& sequences, const Architecture& arch) {
  const TrainSequence& first = sequences.front();
  size_t length = first.ids.size();
  for (const TrainSequence& s : sequences) {
    length = std::min(length, static_cast<size_t>(s.target_rows.front()));
    size_t same = 0;
    while (same < length && s.ids[same] == first.ids[same]) ++same;
    length = same;
  }
  for (const TrainSequence& s : sequences) {
    const bool media_follow =
        std::any_of(s.ids.begin() + static_cast<int64_t>(length), s.ids.end(),
                    [&](int32_t id) { return id == arch.image_token || id == arch.video_token; });
    if (media_follow) return 0;
  }
  return length;
}

}  // namespace

TrainSequence SharePrefix(const std::vector<TrainSequence>& sequences, const Architecture& arch) {
  const size_t prefix = CommonPrefix(sequences, arch);
  TrainSequence out = sequences.front();
  if (prefix == 0) out.media.clear();
  out.ids.resize(prefix);
  for (auto& axis : out.positions) axis.resize(prefix);
  out.target_rows.clear();
  out.target_ids.clear();
  out.row_ends.assign(prefix, std::numeric_limits<int32_t>::max());
  out.prompt_length = static_cast<int>(prefix);
  for (const TrainSequence& s : sequences) {
    const auto shift = static_cast<int32_t>(out.ids.size() - prefix);
    if (prefix == 0) out.media.insert(out.media.end(), s.media.begin(), s.media.end());
    out.ids.insert(out.ids.end(), s.ids.begin() + prefix, s.ids.end());
    for (size_t a = 0; a < out.positions.size(); ++a) {
      out.positions[a].insert(out.positions[a].end(), s.positions[a].begin() + prefix,
                              s.positions[a].end());
    }
    for (int32_t row : s.target_rows) out.target_rows.push_back(row + shift);
    out.target_ids.insert(out.target_ids.end(), s.target_ids.begin(), s.target_ids.end());
    out.row_ends.resize(out.ids.size(), static_cast<int32_t>(out.ids.size()));
  }
  return out;
}

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
