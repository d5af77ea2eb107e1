#include "model/video_container.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/matroska_check.h"
#include "model/video_bytes.h"

namespace ziprl {
namespace {

constexpr uint32_t Tag(const char (&name)[5]) {
  return uint32_t{static_cast<uint8_t>(name[0])} << 24 |
         uint32_t{static_cast<uint8_t>(name[1])} << 16 |
         uint32_t{static_cast<uint8_t>(name[2])} << 8 | static_cast<uint8_t>(name[3]);
}

std::string NameOf(uint32_t tag) {
  std::string name;
  for (int shift = 24; shift >= 0; shift -= 8) {
    const auto c = static_cast<char>(tag >> shift & 0xff);
    name += c >= ' ' && c <= '~' ? c : '?';
  }
  return name;
}

absl::Status CheckMp4(VideoBytes& reader) {
  bool has_index = false;
  while (reader.left() >= 8) {
    const int64_t at = reader.at();
    uint64_t size = reader.BigEndian(4);
    const auto type = static_cast<uint32_t>(reader.BigEndian(4));
    if (size == 0 && type == 0) break;  // padding
    if (size == 1) size = reader.BigEndian(8);
    const auto header = static_cast<uint64_t>(reader.at() - at);
    if (size == 0) size = header + static_cast<uint64_t>(reader.left());
    if (size < header) {
      return absl::InvalidArgumentError(
          absl::StrCat("the box \"", NameOf(type), "\" at byte ", at, " has the size ", size));
    }
    if (size - header > static_cast<uint64_t>(reader.left())) {
      return VideoCutOff(absl::StrCat("the box \"", NameOf(type), "\""), size - header, reader);
    }
    has_index = has_index || type == Tag("moov");
    reader.Skip(static_cast<int64_t>(size - header));
  }
  if (has_index) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "the video has no \"moov\" box, it is cut off or was not finished");
}

absl::Status CheckAvi(VideoBytes& reader) {
  for (bool first = true; first || reader.left() >= 12; first = false) {
    if (reader.BigEndian(4) != Tag("RIFF")) break;  // what is no RIFF chunk is not the video's
    const uint64_t size = reader.LittleEndian(4);
    if (size == 0) {
      return absl::InvalidArgumentError(
          "the video was not finished: its RIFF chunk has the size 0");
    }
    if (size > static_cast<uint64_t>(reader.left()))
      return VideoCutOff("the RIFF chunk", size, reader);
    reader.Skip(static_cast<int64_t>(size + size % 2));
  }
  return absl::OkStatus();
}

void SkipSubBlocks(VideoBytes& reader) {
  while (reader.left() > 0) {
    const uint8_t size = reader.Byte();
    if (size == 0) return;
    reader.Skip(size);
  }
}

void SkipColorTable(uint8_t flags, VideoBytes& reader) {
  if ((flags & 0x80) != 0) reader.Skip(int64_t{3} << (flags & 7) << 1);
}

// The number of images.
absl::StatusOr<int64_t> CheckGif(VideoBytes& reader) {
  int64_t images = 0;
  reader.Skip(10);
  const uint8_t flags = reader.Byte();
  reader.Skip(2);
  SkipColorTable(flags, reader);
  while (reader.left() > 0) {
    const uint8_t block = reader.Byte();
    if (block == 0x3b) break;
    if (block != 0x2c && block != 0x21) {
      return absl::InvalidArgumentError(
          absl::StrCat("a GIF block at byte ", reader.at() - 1, " begins with ", block));
    }
    if (block == 0x2c) {
      ++images;
      reader.Skip(8);
      SkipColorTable(reader.Byte(), reader);
    }
    reader.Skip(1);  // code size, or label
    SkipSubBlocks(reader);
    if (reader.left() == 0) {
      return absl::InvalidArgumentError("the video is cut off: the GIF has no trailer");
    }
  }
  while (reader.left() > 0) {
    if (reader.Byte() == 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("the GIF goes on behind its trailer, at byte ", reader.at() - 1));
  }
  return images;
}

std::optional<VideoFormat> FindFormat(std::string_view head) {
  if (head.starts_with("\x1a\x45\xdf\xa3")) return VideoFormat::kMatroska;
  if (head.starts_with("GIF87a") || head.starts_with("GIF89a")) return VideoFormat::kGif;
  if (head.size() < 8) return std::nullopt;
  if (head.starts_with("RIFF") && head.substr(8, 4) == "AVI ") return VideoFormat::kAvi;
  for (const char* box : {"ftyp", "moov", "mdat", "wide", "free", "skip"}) {
    if (head.substr(4, 4) == box) return VideoFormat::kMp4;
  }
  return std::nullopt;
}

absl::StatusOr<VideoFormat> FormatOf(const VideoSource& source) {
  std::array<uint8_t, 16> bytes = {};
  ZIPRL_ASSIGN_OR_RETURN(const int64_t count,
                         source.ReadAt(0, bytes.data(), static_cast<int64_t>(bytes.size())));
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              static_cast<size_t>(count));
  if (const auto format = FindFormat(head)) return *format;
  std::string begin;
  for (char c : head.substr(0, 4)) {
    absl::StrAppend(&begin, begin.empty() ? "" : " ",
                    absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "not an MP4, WebM, GIF or AVI video (", source.size(), " bytes, begins with ", begin, ")"));
}

absl::StatusOr<VideoContainer> Check(const VideoSource& source) {
  VideoContainer container;
  ZIPRL_ASSIGN_OR_RETURN(container.format, FormatOf(source));
  VideoBytes reader(source);
  absl::Status status;
  if (container.format == VideoFormat::kGif) {
    const absl::StatusOr<int64_t> images = CheckGif(reader);
    container.frames = images.value_or(0);
    status = images.status();
  } else {
    status = container.format == VideoFormat::kMp4        ? CheckMp4(reader)
             : container.format == VideoFormat::kMatroska ? CheckMatroska(reader)
                                                          : CheckAvi(reader);
  }
  ZIPRL_RETURN_IF_ERROR(reader.status());
  ZIPRL_RETURN_IF_ERROR(status);
  return container;
}

}  // namespace

bool BeginsAsVideo(std::string_view head) { return FindFormat(head).has_value(); }

absl::StatusOr<VideoContainer> CheckContainer(const VideoSource& source) {
  absl::StatusOr<VideoContainer> container = Check(source);
  if (container.ok() || container.status().code() == absl::StatusCode::kDataLoss) return container;
  return absl::InvalidArgumentError(
      absl::StrCat(source.where(), ": ", container.status().message()));
}

}  // namespace ziprl
