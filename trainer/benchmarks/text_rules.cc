#include "trainer/benchmarks/text_rules.h"

#include <utf8proc.h>

#include <cctype>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

// Decodes the code point at `text`; a byte that begins none stands for itself. Returns its length.
size_t Decode(absl::string_view text, utf8proc_int32_t* code) {
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), code);
  if (length > 0) return static_cast<size_t>(length);
  *code = static_cast<unsigned char>(text[0]);
  return 1;
}

void Append(utf8proc_int32_t code, std::string& out) {
  utf8proc_uint8_t bytes[4];
  out.append(reinterpret_cast<const char*>(bytes),
             static_cast<size_t>(utf8proc_encode_char(code, bytes)));
}

// What Python's str.isspace says of one character.
bool IsSpace(utf8proc_int32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

}  // namespace

std::string Lowercase(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    utf8proc_int32_t code;
    const size_t length = Decode(text, &code);
    const bool valid = length > 1 || static_cast<unsigned char>(text[0]) < 0x80;
    if (valid) {
      Append(utf8proc_tolower(code), out);
    } else {
      out.push_back(text[0]);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::vector<absl::string_view> SplitWords(absl::string_view text) {
  std::vector<absl::string_view> words;
  size_t begin = 0, at = 0;
  while (at < text.size()) {
    utf8proc_int32_t code;
    const size_t length = Decode(text.substr(at), &code);
    if (IsSpace(code)) {
      if (at > begin) words.push_back(text.substr(begin, at - begin));
      begin = at + length;
    }
    at += length;
  }
  if (at > begin) words.push_back(text.substr(begin));
  return words;
}

absl::string_view Trim(absl::string_view text) {
  const std::vector<absl::string_view> words = SplitWords(text);
  if (words.empty()) return {};
  const char* end = words.back().data() + words.back().size();
  return {words.front().data(), static_cast<size_t>(end - words.front().data())};
}

std::string WithoutThinking(const std::string& response) {
  constexpr absl::string_view kEnd = "</think>";
  const size_t end = response.rfind(kEnd.data());
  return end == std::string::npos ? response : response.substr(end + kEnd.size());
}

int64_t CodePoints(absl::string_view text) {
  int64_t count = 0;
  for (char c : text) count += (c & 0xC0) != 0x80;
  return count;
}

bool HasChinese(absl::string_view text) {
  while (!text.empty()) {
    utf8proc_int32_t code;
    const size_t length = Decode(text, &code);
    if (length > 1 && code >= 0x4E00 && code <= 0x9FFF) return true;
    text.remove_prefix(length);
  }
  return false;
}

std::optional<double> PythonFloat(absl::string_view text) {
  text = Trim(text);
  std::string plain;
  bool digit_before = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (c == '_') {
      const bool digit_behind =
          i + 1 < text.size() && std::isdigit(static_cast<unsigned char>(text[i + 1])) != 0;
      if (!digit_before || !digit_behind) return std::nullopt;
      continue;
    }
    if (!digit && !absl::StrContains("+-.eEinfatyINFATY", absl::string_view(&c, 1))) {
      return std::nullopt;
    }
    plain.push_back(c);
    digit_before = digit;
  }
  if (plain.empty()) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(plain.c_str(), &end);
  if (end != plain.c_str() + plain.size()) return std::nullopt;
  return value;
}

namespace {

class ListParser {
 public:
  explicit ListParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<std::string>> Parse() {
    std::vector<std::string> out;
    if (!Take('[')) return Unexpected("'['");
    while (!Take(']')) {
      if (!out.empty() && !Take(',')) return Unexpected("',' or ']'");
      if (!out.empty() && Take(']')) break;
      ZIPRL_ASSIGN_OR_RETURN(std::string value, Value());
      out.push_back(std::move(value));
    }
    SkipBlanks();
    if (at_ < text_.size()) return Unexpected("the end");
    return out;
  }

 private:
  void SkipBlanks() {
    while (at_ < text_.size() && absl::StrContains(" \t\r\n", text_.substr(at_, 1))) ++at_;
  }
  bool Take(char c) {
    SkipBlanks();
    const bool there = at_ < text_.size() && text_[at_] == c;
    at_ += there;
    return there;
  }
  absl::Status Unexpected(const char* expected) const {
    return absl::InvalidArgumentError(absl::StrFormat(
        "broken list: expected %s at character %d of %s", expected, at_ + 1, text_.substr(0, 200)));
  }

  absl::StatusOr<std::string> Value() {
    SkipBlanks();
    if (at_ == text_.size()) return Unexpected("a value");
    const char quote = text_[at_];
    if (quote == '"' || quote == '\'') return Quoted(quote);
    const size_t end = std::min(text_.find_first_of(",] \t\r\n", at_), text_.size());
    const absl::string_view bare = text_.substr(at_, end - at_);
    if (!PythonFloat(bare).has_value()) return Unexpected("a text in quotes or a number");
    at_ = end;
    return std::string(bare);
  }

  absl::StatusOr<std::string> Quoted(char quote) {
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == quote) {
        ++at_;
        return out;
      }
      if (text_[at_] != '\\') {
        out.push_back(text_[at_]);
      } else if (!Escape(out)) {
        return Unexpected("an escape of Python or JSON");
      }
    }
    return Unexpected("the end of a text");
  }

  // What stands behind a backslash; at_ is left on its last character.
  bool Escape(std::string& out) {
    if (++at_ == text_.size()) return false;
    const char c = text_[at_];
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits > 0) return CodePoint(digits, out);
    constexpr absl::string_view kNames = "ntrbf0\\'\"/", kValues("\n\t\r\b\f\0\\'\"/", 10);
    const size_t known = kNames.find(c);
    if (known != absl::string_view::npos) {
      out.push_back(kValues[known]);
    } else {  // Python keeps the backslash
      out.push_back('\\');
      out.push_back(c);
    }
    return true;
  }

  bool CodePoint(size_t digits, std::string& out) {
    uint32_t code = 0;
    if (!Hex(at_ + 1, digits, &code)) return false;
    at_ += digits;
    uint32_t low = 0;
    const bool pair = digits == 4 && code >= 0xD800 && code < 0xDC00 &&
                      text_.substr(at_ + 1, 2) == "\\u" && Hex(at_ + 3, 4, &low) && low >= 0xDC00 &&
                      low < 0xE000;
    if (pair) {
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      at_ += 6;
    }
    if (!utf8proc_codepoint_valid(static_cast<utf8proc_int32_t>(code))) return false;
    Append(static_cast<utf8proc_int32_t>(code), out);
    return true;
  }

  bool Hex(size_t at, size_t digits, uint32_t* value) const {
    return at + digits <= text_.size() && absl::SimpleHexAtoi(text_.substr(at, digits), value);
  }

  const absl::string_view text_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseTextList(absl::string_view text) {
  return ListParser(text).Parse();
}

}  // namespace ziprl
