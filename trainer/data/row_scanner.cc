#include "trainer/data/row_scanner.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_format.h"

namespace ziprl {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

class LineScanner : public RowScanner {
 public:
  absl::Status Scan(std::string_view text, uint64_t offset, std::vector<RowSpan>& rows) override {
    if (at_start_) line_ = offset;
    at_start_ = false;
    for (size_t i = 0; i < text.size();) {
      while (!has_text_ && i < text.size() && IsBlank(text[i])) ++i;
      if (i < text.size() && text[i] != '\n') has_text_ = true;
      const void* end = i < text.size() ? std::memchr(&text[i], '\n', text.size() - i) : nullptr;
      if (end == nullptr) break;
      i = static_cast<size_t>(static_cast<const char*>(end) - text.data()) + 1;
      if (has_text_) rows.push_back({line_, offset + i - 1, number_});
      line_ = offset + i;
      ++number_;
      has_text_ = false;
    }
    return absl::OkStatus();
  }

  absl::Status End(uint64_t size, std::vector<RowSpan>& rows) override {
    if (has_text_) rows.push_back({line_, size, number_});
    has_text_ = false;
    return absl::OkStatus();
  }

 private:
  bool at_start_ = true;
  uint64_t line_ = 0;      // where the current line begins
  int64_t number_ = 1;     // its number
  bool has_text_ = false;  // whether it holds more than blanks so far
};

class TableScanner : public RowScanner {
 public:
  absl::Status Scan(std::string_view text, uint64_t offset, std::vector<RowSpan>& rows) override {
    if (at_start_) begin_ = offset;
    at_start_ = false;
    size_t line_end = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (state_ == kQuoted) {
        const size_t quote = std::min(text.find('"', i), text.size());
        line_ += std::count(text.begin() + static_cast<std::ptrdiff_t>(i),
                            text.begin() + static_cast<std::ptrdiff_t>(quote), '\n');
        i = quote;
      } else if (state_ == kPlain && has_text_ && !last_was_quote_) {  // up to the field's end
        if (line_end <= i) line_end = std::min(text.find('\n', i), text.size());
        i += std::min(text.substr(i, line_end - i).find('\t'), line_end - i);
      }
      if (i < text.size()) Step(text[i], offset + i, rows);
    }
    return absl::OkStatus();
  }

  absl::Status End(uint64_t size, std::vector<RowSpan>& rows) override {
    if (state_ == kQuoted) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the table ends at byte %d within the quotes of a row that begins on line %d", size,
          begin_line_));
    }
    if (has_text_) rows.push_back({begin_, size, begin_line_});
    has_text_ = false;
    return absl::OkStatus();
  }

 private:
  enum State { kFieldStart, kPlain, kQuoted };

  void Step(char c, uint64_t at, std::vector<RowSpan>& rows) {
    if (c == '\n') ++line_;
    if (state_ == kQuoted) {
      if (c == '"') state_ = kPlain;  // a doubled quote opens them again
      last_was_quote_ = c == '"';
      return;
    }
    if (c == '\n') {
      if (has_text_) rows.push_back({begin_, at, begin_line_});
      begin_ = at + 1;
      begin_line_ = line_;
      has_text_ = false;
      state_ = kFieldStart;
    } else if (c == '\t') {
      has_text_ = true;
      state_ = kFieldStart;
    } else if (c == '"' && (state_ == kFieldStart || last_was_quote_)) {
      has_text_ = true;
      state_ = kQuoted;
    } else {
      has_text_ |= !IsBlank(c);
      if (c != '\r') state_ = kPlain;
    }
    last_was_quote_ = false;
  }

  State state_ = kFieldStart;
  bool at_start_ = true, has_text_ = false;
  bool last_was_quote_ = false;  // the one that closed a quoted field
  uint64_t begin_ = 0;           // of the current record
  int64_t line_ = 1, begin_line_ = 1;
};

class ArrayScanner : public RowScanner {
 public:
  explicit ArrayScanner(bool within) : state_(within ? kElement : kBefore) {}

  absl::Status Scan(std::string_view text, uint64_t offset, std::vector<RowSpan>& rows) override {
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') ++line_;
      if (state_ == kInElement && !Step(text[i])) continue;
      if (!Between(text[i], offset + i, rows)) {
        return absl::InvalidArgumentError(
            absl::StrFormat("broken JSON array: character %d at byte %d, %s", text[i] & 0xff,
                            offset + i, Expected()));
      }
    }
    return absl::OkStatus();
  }

  absl::Status End(uint64_t size, std::vector<RowSpan>&) override {
    if (state_ == kAfter) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrFormat("broken JSON array: it ends at byte %d, %s", size, Expected()));
  }

 private:
  enum State { kBefore, kFirst, kElement, kInElement, kComma, kAfter };

  // One character of an element; true when it may stand behind it instead.
  bool Step(char c) {
    if (in_text_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_text_ = false;
      }
      return false;
    }
    if (c == '"') {
      in_text_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      if (depth_ == 0) return true;
      --depth_;
    } else if (c == ',' && depth_ == 0) {
      return true;
    }
    return false;
  }

  // One character outside of elements, or the one that ends an element; false where none of the
  // kind is allowed.
  bool Between(char c, uint64_t at, std::vector<RowSpan>& rows) {
    if (state_ == kInElement) {
      rows.push_back({begin_, at, begin_line_});
      state_ = kComma;
    }
    if (IsBlank(c) || c == '\n') return true;
    switch (state_) {
      case kBefore:
        if (c == '[') state_ = kFirst;
        return c == '[';
      case kFirst:
      case kElement:
        if (c == ']' && state_ == kFirst) {
          state_ = kAfter;
          return true;
        }
        if (c == ',' || c == ']' || c == '}') return false;
        begin_ = at;
        begin_line_ = line_;
        state_ = kInElement;
        Step(c);
        return true;
      case kComma:
        if (c == ',') state_ = kElement;
        if (c == ']') state_ = kAfter;
        return c == ',' || c == ']';
      case kInElement:
      case kAfter:
        break;
    }
    return false;
  }

  const char* Expected() const {
    switch (state_) {
      case kBefore:
        return "expected is '['";
      case kFirst:
      case kElement:
        return "expected is an object";
      case kInElement:
        return "expected is the end of an object";
      case kComma:
        return "expected is ',' or ']'";
      case kAfter:
        break;
    }
    return "nothing may follow ']'";
  }

  State state_;
  uint64_t begin_ = 0;
  int64_t line_ = 1, begin_line_ = 1;
  int depth_ = 0;
  bool in_text_ = false, escaped_ = false;
};

}  // namespace

std::unique_ptr<RowScanner> MakeLineScanner() { return std::make_unique<LineScanner>(); }

std::unique_ptr<RowScanner> MakeTableScanner() { return std::make_unique<TableScanner>(); }

std::unique_ptr<RowScanner> MakeArrayScanner(bool within) {
  return std::make_unique<ArrayScanner>(within);
}

}  // namespace ziprl
