#include "model/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

namespace ziprl {
namespace {

struct Range {
  char32_t first, last;
};

// Letters and numbers that Unicode gained after 15.0, utf8proc's version.
constexpr Range kNewLetters[] = {
    {0x1c89, 0x1c8a},   {0xa7cb, 0xa7cd},   {0xa7da, 0xa7dc},   {0x105c0, 0x105f3},
    {0x10d4a, 0x10d65}, {0x10d6f, 0x10d85}, {0x10ec2, 0x10ec4}, {0x11380, 0x11389},
    {0x1138b, 0x1138b}, {0x1138e, 0x1138e}, {0x11390, 0x113b5}, {0x113b7, 0x113b7},
    {0x113d1, 0x113d1}, {0x113d3, 0x113d3}, {0x11bc0, 0x11be0}, {0x13460, 0x143fa},
    {0x16100, 0x1611d}, {0x16d40, 0x16d6c}, {0x18cff, 0x18cff}, {0x1e5d0, 0x1e5ed},
    {0x1e5f0, 0x1e5f0}, {0x2ebf0, 0x2ee5d}};
constexpr Range kNewNumbers[] = {{0x10d40, 0x10d49}, {0x116d0, 0x116e3}, {0x11bf0, 0x11bf9},
                                 {0x16130, 0x16139}, {0x16d70, 0x16d79}, {0x1ccf0, 0x1ccf9},
                                 {0x1e5f1, 0x1e5fa}};

// Marks that utf8proc reorders or composes and the `tokenizers` library, older here, does not: each
// stands alone in normalisation.
constexpr Range kInertMarks[] = {
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
    {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},
    {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},   {0x10d24, 0x10d27},
    {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85},
    {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a},
    {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193d, 0x1193e}, {0x11943, 0x11943},
    {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99},
    {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42},
    {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae},
    {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef}};

template <size_t N>
bool InRanges(const Range (&ranges)[N], char32_t c) {
  const Range* at =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](char32_t value, const Range& r) { return value < r.first; });
  return at != std::begin(ranges) && c <= std::prev(at)->last;
}

bool IsSpace(char32_t c) {
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

CharClass LookUpClass(char32_t c) {
  if (IsSpace(c)) return CharClass::kSpace;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
    return CharClass::kLetter;
  if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
    return CharClass::kNumber;
  if (InRanges(kNewLetters, c)) return CharClass::kLetter;
  if (InRanges(kNewNumbers, c)) return CharClass::kNumber;
  return CharClass::kOther;
}

// Length of the valid sequence that starts at bytes[pos], or minus the length of the maximal
// invalid part.
int SequenceLength(std::string_view bytes, size_t pos) {
  const auto at = [&](size_t i) { return i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0; };
  const uint8_t lead = at(pos);
  if (lead < 0x80) return 1;
  const int length = lead >= 0xC2 && lead <= 0xDF   ? 2
                     : lead >= 0xE0 && lead <= 0xEF ? 3
                     : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                    : 0;
  if (length == 0) return -1;
  uint8_t low = 0x80, high = 0xBF;  // of the second byte: no surrogates, no overlong forms
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (int i = 1; i < length; ++i) {
    const uint8_t byte = at(pos + i);
    if (byte < low || byte > high) return -i;
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

using CodePoints = std::vector<utf8proc_int32_t>;

int CombiningClass(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

void AppendDecomposed(char32_t c, CodePoints* out) {
  utf8proc_int32_t buffer[32];
  int boundclass = 0;
  const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer,
                                                         32, UTF8PROC_DECOMPOSE, &boundclass);
  out->insert(out->end(), buffer, buffer + count);
}

// Sorts marks, composes and appends what `run` holds; empties it.
void FlushRun(CodePoints* run, std::string* out) {
  for (size_t begin = 0; begin < run->size();) {
    size_t end = begin + 1;
    if (CombiningClass((*run)[begin]) != 0) {
      while (end < run->size() && CombiningClass((*run)[end]) != 0) ++end;
      std::stable_sort(run->begin() + begin, run->begin() + end,
                       [](auto a, auto b) { return CombiningClass(a) < CombiningClass(b); });
    }
    begin = end;
  }
  const utf8proc_ssize_t length =
      utf8proc_normalize_utf32(run->data(), static_cast<utf8proc_ssize_t>(run->size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  for (utf8proc_ssize_t i = 0; i < length; ++i) AppendUtf8(static_cast<char32_t>((*run)[i]), out);
  run->clear();
}

// Whether NFC leaves the code point as it is whatever its neighbours: a starter that decomposition
// and composition give back, and that joins nothing before it.
bool IsStable(char32_t c) {
  const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
  if (property->combining_class != 0) return false;
  if (property->comb_index >= 0x8000 && property->comb_index != UINT16_MAX) return false;
  if (c >= 0x1100 && c <= 0x11ff) return false;  // Hangul's parts
  if (c >= 0xac00 && c <= 0xd7a3) return true;   // and its syllables
  if (property->decomp_seqindex == UINT16_MAX) return true;
  CodePoints run;
  AppendDecomposed(c, &run);
  std::string out, self;
  FlushRun(&run, &out);
  AppendUtf8(c, &self);
  return out == self;
}

// What is asked of every character, looked up once: of the planes that hold nearly all of them.
class CodePointTable {
 public:
  static constexpr char32_t kSize = 0x30000;
  static const CodePointTable& Get() {
    static const CodePointTable table;
    return table;
  }
  CharClass char_class(char32_t c) const {
    return c < kSize ? static_cast<CharClass>(bits_[c] & 3) : LookUpClass(c);
  }
  bool stable(char32_t c) const { return c < kSize ? (bits_[c] & 4) != 0 : IsStable(c); }

 private:
  CodePointTable() : bits_(kSize) {
    for (char32_t c = 0; c < kSize; ++c) {
      bits_[c] = static_cast<uint8_t>(static_cast<int>(LookUpClass(c)) | (IsStable(c) ? 4 : 0));
    }
  }
  std::vector<uint8_t> bits_;
};

// Length of the run of ASCII from `pos`, in steps of eight bytes.
size_t AsciiEnd(std::string_view bytes, size_t pos) {
  for (uint64_t word; pos + 8 <= bytes.size(); pos += 8) {
    std::memcpy(&word, bytes.data() + pos, 8);
    if ((word & 0x8080808080808080) != 0) break;
  }
  return pos;
}

}  // namespace

CharClass ClassOf(char32_t code_point) { return CodePointTable::Get().char_class(code_point); }

char32_t NextCodePoint(std::string_view text, size_t* pos) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[*pos + i]); };
  const uint8_t lead = byte(0);
  char32_t c = lead;
  int length = 1;
  if (lead >= 0xF0) {
    c = (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    length = 4;
  } else if (lead >= 0xE0) {
    c = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    length = 3;
  } else if (lead >= 0x80) {
    c = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
    length = 2;
  }
  *pos += length;
  return c;
}

void AppendUtf8(char32_t c, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out->push_back(static_cast<char>(0xC0 | c >> 6));
    out->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | c >> 12));
    out->push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | c >> 18));
    out->push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

bool IsValidUtf8(std::string_view bytes) {
  for (size_t pos = AsciiEnd(bytes, 0); pos < bytes.size();) {
    const int length = SequenceLength(bytes, pos);
    if (length < 0) return false;
    pos += length;
    if (length == 1) pos = AsciiEnd(bytes, pos);
  }
  return true;
}

std::string ReplaceInvalidUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t pos = 0; pos < bytes.size();) {
    const int length = SequenceLength(bytes, pos);
    if (length > 0) {
      out.append(bytes, pos, length);
      pos += length;
    } else {
      AppendUtf8(kReplacement, &out);
      pos += -length;
    }
  }
  return out;
}

bool IsPlainlyNfc(std::string_view text) {
  const CodePointTable& table = CodePointTable::Get();
  for (size_t pos = AsciiEnd(text, 0); pos < text.size();) {
    const bool ascii = static_cast<uint8_t>(text[pos]) < 0x80;
    if (!table.stable(NextCodePoint(text, &pos))) return false;
    if (ascii) pos = AsciiEnd(text, pos);
  }
  return true;
}

std::string Nfc(std::string_view text) {
  if (IsPlainlyNfc(text)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  CodePoints run;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = NextCodePoint(text, &pos);
    if (InRanges(kInertMarks, c)) {
      FlushRun(&run, &out);
      AppendUtf8(c, &out);
    } else {
      AppendDecomposed(c, &run);
    }
  }
  FlushRun(&run, &out);
  return out;
}

}  // namespace ziprl
