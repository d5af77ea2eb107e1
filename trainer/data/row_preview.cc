#include "trainer/data/row_preview.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "configs/base/status_macros.h"
#include "model/image_processor.h"
#include "model/png_writer.h"
#include "model/resize.h"
#include "model/video_processor.h"
#include "trainer/data/image_store.h"
#include "trainer/data/row_group_cache.h"
#include "trainer/data/row_set.h"

namespace ziprl {
namespace {

constexpr int64_t kPreviewFrames = 6;  // of a video
constexpr int kPreviewHeight = 160;    // pixels

constexpr char kHead[] =
    "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>ziprl data preview</title>\n"
    "<style>\n"
    "body { font: 15px sans-serif; max-width: 60em; margin: 2em auto; }\n"
    ".row { border: 1px solid #bbb; border-radius: 4px; padding: 0 1em; margin: 1em 0; }\n"
    ".bad { border-color: #c00; }\n"
    "h2 { font-size: 1em; color: #555; }\n"
    "pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; margin: .4em 0; }\n"
    "img { max-width: 100%; max-height: 24em; display: block; }\n"
    ".video img { display: inline-block; margin: 0 .2em .2em 0; }\n"
    "figcaption, dt, .role { color: #777; font-size: .85em; }\n"
    "</style></head><body>\n";

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

const char* MimeTypeOf(const std::string& bytes) {
  if (absl::StartsWith(bytes, "\x89PNG")) return "image/png";
  if (absl::StartsWith(bytes, "\xff\xd8")) return "image/jpeg";
  if (absl::StartsWith(bytes, "GIF8")) return "image/gif";
  if (absl::StartsWith(bytes, "RIFF") && bytes.compare(8, 4, "WEBP") == 0) return "image/webp";
  if (absl::StartsWith(bytes, "BM")) return "image/bmp";
  return "application/octet-stream";
}

std::string ImageHtml(const MediaRef& image) {
  const auto size = ImageSize(*image.bytes, image.source);
  const std::string caption = size.ok()
                                  ? absl::StrFormat("%s, %d x %d, %d bytes", image.source,
                                                    size->first, size->second, image.bytes->size())
                                  : std::string(size.status().message());
  return absl::StrCat("<figure><img alt=\"\" src=\"data:", MimeTypeOf(*image.bytes), ";base64,",
                      absl::Base64Escape(*image.bytes), "\"><figcaption>", Escaped(caption),
                      "</figcaption></figure>\n");
}

// A few frames from all over the video, small.
absl::StatusOr<std::string> FramesHtml(const MediaRef& video, const VideoInfo& info) {
  VideoProcessorConfig few;
  few.num_frames = static_cast<int>(std::min<int64_t>(kPreviewFrames, info.frames));
  few.frame.temporal_patch = 1;
  ZIPRL_ASSIGN_OR_RETURN(const auto indices, SampleFrames(few, info));
  const int height = std::min(info.height, kPreviewHeight);
  const int width = std::max(1, static_cast<int>(int64_t{info.width} * height / info.height));
  std::string html;
  ZIPRL_RETURN_IF_ERROR(DecodeFrames(video, info, indices, [&](const Image& frame) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string png, EncodePng(ResizeBicubic(frame, height, width)));
    absl::StrAppend(&html, "<img alt=\"\" src=\"data:image/png;base64,", absl::Base64Escape(png),
                    "\">");
    return absl::OkStatus();
  }));
  return html;
}

std::string VideoHtml(const MediaRef& video) {
  const absl::StatusOr<VideoInfo> info = ReadVideoInfo(video);
  const absl::StatusOr<std::string> frames = info.ok() ? FramesHtml(video, *info) : info.status();
  const std::string caption =
      frames.ok() ? absl::StrFormat("%s, %d x %d, %d frames, %.3g a second", video.source,
                                    info->width, info->height, info->frames, info->fps)
                  : std::string(frames.status().message());
  return absl::StrCat("<figure class=\"video\">", frames.value_or(""), "<figcaption>",
                      Escaped(caption), "</figcaption></figure>\n");
}

std::string TurnsHtml(const Row& row) {
  std::string html;
  size_t image = 0, video = 0;
  for (const Message& turn : row.messages) {
    absl::StrAppend(&html, "<div class=\"role\">", Escaped(turn.role), "</div>\n");
    for (const ContentItem& item : turn.content) {
      if (item.kind == ContentItem::Kind::kText) {
        absl::StrAppend(&html, "<pre>", Escaped(item.text), "</pre>\n");
      } else if (item.kind == ContentItem::Kind::kImage) {
        html += ImageHtml(row.images[image++]);
      } else {
        html += VideoHtml(row.videos[video++]);
      }
    }
  }
  return html;
}

void AddFact(std::string& html, const std::string& name, const std::string& value) {
  if (value.empty()) return;
  absl::StrAppend(&html, "<dt>", Escaped(name), "</dt><dd><pre>", Escaped(value), "</pre></dd>\n");
}

absl::StatusOr<std::string> RowHtml(const RowPreview& preview, const RowSet::Place& place,
                                    ImageStore& images) {
  ZIPRL_ASSIGN_OR_RETURN(const nlohmann::json object, place.file->Read(place.row));
  ZIPRL_ASSIGN_OR_RETURN(const Row row,
                         RowOf(object, preview.row, DirectoryOf(place.file->path()), images));
  std::string html = absl::StrCat(TurnsHtml(row), "<dl>\n");
  AddFact(html, "answer", row.answer);
  if (preview.encode) {
    const std::vector<MediaRef> media = MediaOf(row);
    std::vector<Message> prompt = row.messages;
    if (prompt.back().role == "assistant") prompt.pop_back();
    ZIPRL_ASSIGN_OR_RETURN(const auto ids, preview.encode(prompt, media));
    AddFact(html, "prompt tokens", absl::StrCat(ids.size()));
  }
  AddFact(html, "source", row.source);
  AddFact(html, "kind", row.kind);
  for (const auto& [column, value] : row.extra) AddFact(html, column, value);
  return html + "</dl>\n";
}

}  // namespace

absl::StatusOr<std::string> PreviewPage(const RowPreview& preview) {
  const auto cache = std::make_shared<RowGroupCache>(256 << 20);
  ZIPRL_ASSIGN_OR_RETURN(const auto set,
                         RowSet::Open(preview.files, preview.format, preview.row, cache));
  const int64_t shown = std::min(preview.rows, set->rows());
  ImageStore images;
  std::string page = absl::StrCat(kHead, "<h1>", shown, " of ", set->rows(), " rows</h1>\n");
  for (int64_t i = 0; i < shown; ++i) {
    const RowSet::Place place = set->PlaceOf(i);
    const auto html = RowHtml(preview, place, images);
    absl::StrAppend(&page, "<div class=\"row", html.ok() ? "" : " bad", "\"><h2>",
                    Escaped(place.file->path()), ", row ", place.row + 1, "</h2>\n",
                    html.ok() ? *html
                              : absl::StrCat("<pre>", Escaped(std::string(html.status().message())),
                                             "</pre>\n"),
                    "</div>\n");
  }
  return page + "</body></html>\n";
}

}  // namespace ziprl
