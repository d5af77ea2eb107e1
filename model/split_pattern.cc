#include "model/split_pattern.h"

#include <algorithm>
#include <array>

#include "model/unicode.h"

namespace ziprl {

const char kQwenSplitPattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

constexpr char32_t kLongS = 0x17F;  // folds to s

bool IsNewline(char32_t c) { return c == '\r' || c == '\n'; }

char32_t FoldAscii(char32_t c) {
  if (c == kLongS) return 's';
  return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

// End of a contraction whose apostrophe is at `begin`, or 0.
size_t ContractionEnd(std::string_view text, size_t begin) {
  size_t pos = begin + 1;
  if (pos >= text.size()) return 0;
  const char32_t first = FoldAscii(NextCodePoint(text, &pos));
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return pos;
  if (pos >= text.size()) return 0;
  const char32_t second = FoldAscii(NextCodePoint(text, &pos));
  const bool pair = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                    (first == 'l' && second == 'l');
  return pair ? pos : 0;
}

constexpr std::array<CharClass, 128> kAsciiClass = [] {
  std::array<CharClass, 128> table{};
  for (char32_t c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    table[c] = letter                                 ? CharClass::kLetter
               : c >= '0' && c <= '9'                 ? CharClass::kNumber
               : c == ' ' || (c >= '\t' && c <= '\r') ? CharClass::kSpace
                                                      : CharClass::kOther;
  }
  return table;
}();

// The class of the character at *pos; moves *pos behind it.
CharClass NextClass(std::string_view text, size_t* pos) {
  const auto byte = static_cast<uint8_t>(text[*pos]);
  if (byte >= 128) return ClassOf(NextCodePoint(text, pos));
  ++*pos;
  return kAsciiClass[byte];
}

// End of the run of characters of one class from `pos`.
size_t RunEnd(std::string_view text, size_t pos, CharClass wanted) {
  while (pos < text.size()) {
    size_t next = pos;
    if (NextClass(text, &next) != wanted) break;
    pos = next;
  }
  return pos;
}

// [^\s\p{L}\p{N}]+[\r\n]* from `pos`, whose first character is known to fit.
size_t SymbolsEnd(std::string_view text, size_t pos) {
  pos = RunEnd(text, pos, CharClass::kOther);
  while (pos < text.size() && IsNewline(static_cast<unsigned char>(text[pos]))) ++pos;
  return pos;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ : up to the run's last newline; else the run without its last character
// when more text follows; else all of it.
size_t SpaceEnd(std::string_view text, size_t begin) {
  size_t last_start = begin, after_newline = 0, end = begin;
  while (end < text.size()) {
    size_t next = end;
    const char32_t c = NextCodePoint(text, &next);
    if (ClassOf(c) != CharClass::kSpace) break;
    last_start = end;
    end = next;
    if (IsNewline(c)) after_newline = end;
  }
  if (after_newline > 0) return after_newline;
  if (end == text.size() || last_start == begin) return end;
  return last_start;
}

}  // namespace

size_t PieceEnd(std::string_view text, size_t begin) {
  size_t pos = begin;
  const char32_t c = NextCodePoint(text, &pos);
  if (c == '\'') {
    if (const size_t end = ContractionEnd(text, begin); end > 0) return end;
  }
  const CharClass kind = c < 128 ? kAsciiClass[c] : ClassOf(c);
  if (kind == CharClass::kLetter) return RunEnd(text, pos, CharClass::kLetter);
  if (kind == CharClass::kNumber) return pos;
  CharClass next = CharClass::kSpace;  // at the end: neither a letter nor a symbol follows
  if (pos < text.size()) {
    size_t behind = pos;
    next = NextClass(text, &behind);
  }
  if (!IsNewline(c) && next == CharClass::kLetter) return RunEnd(text, pos, CharClass::kLetter);
  if (kind == CharClass::kOther) return SymbolsEnd(text, pos);
  if (c == ' ' && next == CharClass::kOther) return SymbolsEnd(text, pos);
  return SpaceEnd(text, begin);
}

void SplitPieces(std::string_view text, const std::function<void(std::string_view)>& fn) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = PieceEnd(text, begin);
    fn(text.substr(begin, end - begin));
    begin = end;
  }
}

}  // namespace ziprl
