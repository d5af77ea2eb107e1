// The first frame of a GIF, laid on its screen as Pillow does: what the frame leaves free has the
// transparent colour, or colour 0.
#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/image_codec.h"

namespace ziprl {
namespace {

constexpr int kCodes = 4096;

absl::Status Unreadable(const char* why) {
  return absl::InvalidArgumentError(absl::StrCat("unreadable GIF: ", why));
}
absl::Status Truncated() { return Unreadable("truncated file"); }

// Bytes in order; reads beyond the end give nothing.
class Source {
 public:
  explicit Source(std::string_view bytes) : bytes_(bytes) {}
  bool Has(size_t count) const { return count <= bytes_.size() - at_; }
  int Byte() { return static_cast<uint8_t>(bytes_[at_++]); }
  int Short() {
    const int low = Byte();
    return low | Byte() << 8;
  }
  std::string_view Take(size_t count) {
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  // The next length-prefixed block; empty behind the last one. False when the file ends before.
  bool Block(std::string_view* block) {
    if (!Has(1)) return false;
    const size_t length = Byte();
    if (!Has(length)) return false;
    *block = Take(length);
    return true;
  }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

struct Frame {
  int width = 0, height = 0;  // of the screen, grown to hold the frame
  int left = 0, top = 0, columns = 0, rows = 0;
  bool interlaced = false;
  int transparent = -1;  // index of the transparent colour, if any
  int code_bits = 0;
  std::array<uint8_t, 768> colors = {};
};

void ReadColors(std::string_view table, Frame* frame) {
  frame->colors = {};
  std::memcpy(frame->colors.data(), table.data(), table.size());
}

absl::Status ReadTable(Source* source, int flags, Frame* frame) {
  const size_t size = size_t{3} << ((flags & 7) + 1);
  if (!source->Has(size)) return Truncated();
  ReadColors(source->Take(size), frame);
  return absl::OkStatus();
}

absl::Status ReadScreen(Source* source, Frame* frame) {
  if (!source->Has(13)) return Truncated();
  source->Take(6);
  frame->width = source->Short();
  frame->height = source->Short();
  const int flags = source->Byte();
  source->Take(2);
  for (int i = 0; i < 768; ++i) frame->colors[i] = static_cast<uint8_t>(i / 3);  // grey
  return (flags & 0x80) != 0 ? ReadTable(source, flags, frame) : absl::OkStatus();
}

absl::Status ReadExtension(Source* source, Frame* frame) {
  if (!source->Has(1)) return Truncated();
  const bool control = source->Byte() == 0xf9;
  std::string_view block;
  for (bool first = true;; first = false) {
    if (!source->Block(&block)) return Truncated();
    if (block.empty()) return absl::OkStatus();
    if (control && first && block.size() >= 4 && (block[0] & 1) != 0) {
      frame->transparent = static_cast<uint8_t>(block[3]);
    }
  }
}

absl::Status ReadDescriptor(Source* source, Frame* frame) {
  if (!source->Has(9)) return Truncated();
  frame->left = source->Short();
  frame->top = source->Short();
  frame->columns = source->Short();
  frame->rows = source->Short();
  frame->width = std::max(frame->width, frame->left + frame->columns);
  frame->height = std::max(frame->height, frame->top + frame->rows);
  const int flags = source->Byte();
  frame->interlaced = (flags & 0x40) != 0;
  if ((flags & 0x80) != 0) ZIPRL_RETURN_IF_ERROR(ReadTable(source, flags, frame));
  if (!source->Has(1)) return Truncated();
  frame->code_bits = source->Byte();
  if (frame->code_bits >= 1 && frame->code_bits <= 8) return absl::OkStatus();
  return Unreadable("impossible code size");
}

// Up to the first frame's data.
absl::Status ReadHeader(Source* source, Frame* frame) {
  ZIPRL_RETURN_IF_ERROR(ReadScreen(source, frame));
  while (source->Has(1)) {
    const int kind = source->Byte();
    if (kind == ',') return ReadDescriptor(source, frame);
    if (kind == ';') return Unreadable("no frame");
    if (kind == '!') ZIPRL_RETURN_IF_ERROR(ReadExtension(source, frame));
  }
  return Truncated();
}

// Rows in the order an interlaced frame stores them.
std::vector<int> RowOrder(const Frame& frame) {
  std::vector<int> order;
  order.reserve(frame.rows);
  if (!frame.interlaced) {
    for (int y = 0; y < frame.rows; ++y) order.push_back(y);
    return order;
  }
  constexpr int kPasses[][2] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
  for (const auto& [first, step] : kPasses) {
    for (int y = first; y < frame.rows; y += step) order.push_back(y);
  }
  return order;
}

// LZW with codes of growing width. Emits pixel values until `count` are there.
class Lzw {
 public:
  Lzw(int bits, size_t count) : bits_(bits), count_(count) {
    out_.reserve(count);
    Clear();
  }

  // True when no more data is wanted.
  absl::StatusOr<bool> Feed(std::string_view block) {
    for (char c : block) {
      held_ |= uint32_t{static_cast<uint8_t>(c)} << held_bits_;
      for (held_bits_ += 8; held_bits_ >= width_;) {
        const int code = static_cast<int>(held_ & ((1u << width_) - 1));
        held_ >>= width_;
        held_bits_ -= width_;
        ZIPRL_ASSIGN_OR_RETURN(const bool done, Take(code));
        if (done) return true;
      }
    }
    return false;
  }

  const std::vector<uint8_t>& pixels() const { return out_; }

 private:
  void Clear() {
    next_ = (1 << bits_) + 2;
    width_ = bits_ + 1;
    last_ = -1;
  }

  absl::StatusOr<bool> Take(int code) {
    const int clear = 1 << bits_;
    if (code == clear) {
      Clear();
      return false;
    }
    if (code == clear + 1) return true;
    if (code > next_ || (code == next_ && last_ < 0)) return Unreadable("impossible code");
    if (last_ < 0 && code > clear) return Unreadable("impossible first code");
    // A code that is about to be defined is the last one and that one's first pixel.
    const uint8_t first = First(code == next_ ? last_ : code);
    if (last_ >= 0 && next_ < kCodes) {
      prefix_[next_] = static_cast<int16_t>(last_);
      suffix_[next_] = first;
      if (++next_ == 1 << width_ && width_ < 12) ++width_;
    }
    Emit(code);
    last_ = code;
    return out_.size() >= count_;
  }

  uint8_t First(int code) const {
    while (code >= 1 << bits_) code = prefix_[code];
    return static_cast<uint8_t>(code);
  }

  void Emit(int code) {
    const size_t begin = out_.size();
    for (; code >= 1 << bits_; code = prefix_[code]) out_.push_back(suffix_[code]);
    out_.push_back(static_cast<uint8_t>(code));
    std::reverse(out_.begin() + static_cast<std::ptrdiff_t>(begin), out_.end());
  }

  const int bits_;
  const size_t count_;
  int width_ = 0, next_ = 0, last_ = -1;
  uint32_t held_ = 0;
  int held_bits_ = 0;
  std::array<int16_t, kCodes> prefix_ = {};
  std::array<uint8_t, kCodes> suffix_ = {};
  std::vector<uint8_t> out_;
};

void Paint(const Frame& frame, uint8_t color, uint8_t* to) {
  std::memcpy(to, &frame.colors[size_t{color} * 3], 3);
}

void Lay(const Frame& frame, const std::vector<uint8_t>& pixels, Image* image) {
  for (size_t i = 0; i < image->pixels.size(); i += 3) {
    Paint(frame, static_cast<uint8_t>(std::max(frame.transparent, 0)), &image->pixels[i]);
  }
  size_t i = 0;
  for (int y : RowOrder(frame)) {
    const size_t row = (static_cast<size_t>(frame.top + y) * image->width + frame.left) * 3;
    for (int x = 0; x < frame.columns; ++x, ++i) {
      if (i == pixels.size()) return;  // ended early: the rest stays free
      Paint(frame, pixels[i], &image->pixels[row + size_t{3} * x]);
    }
  }
}

}  // namespace

absl::StatusOr<std::pair<int64_t, int64_t>> GifSize(const std::string& bytes) {
  Source source(bytes);
  Frame frame;
  ZIPRL_RETURN_IF_ERROR(ReadHeader(&source, &frame));
  return std::make_pair(int64_t{frame.width}, int64_t{frame.height});
}

absl::Status DecodeGif(const std::string& bytes, Image* image) {
  Source source(bytes);
  Frame frame;
  ZIPRL_RETURN_IF_ERROR(ReadHeader(&source, &frame));
  const size_t count = static_cast<size_t>(frame.columns) * frame.rows;
  Lzw lzw(frame.code_bits, count);
  std::string_view block;
  for (bool done = count == 0; !done;) {
    if (!source.Block(&block) || block.empty()) return Truncated();
    ZIPRL_ASSIGN_OR_RETURN(done, lzw.Feed(block));
  }
  Lay(frame, lzw.pixels(), image);
  if (frame.transparent >= 0) {
    std::array<uint8_t, 3> color;
    Paint(frame, static_cast<uint8_t>(frame.transparent), color.data());
    WhitenColor(color, image);
  }
  return absl::OkStatus();
}

}  // namespace ziprl
