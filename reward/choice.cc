#include "reward/choice.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "reward/answer_text.h"
#include "reward/registry.h"

namespace ziprl {
namespace {

std::vector<std::string> OptionsColumn(const Prompt& prompt) {
  for (const char* column : {"options", "choices"}) {
    const auto found = prompt.extra.find(column);
    if (found == prompt.extra.end()) continue;
    const nlohmann::json list = nlohmann::json::parse(found->second, nullptr, false);
    if (!list.is_array() || list.size() < 2 || list.size() > 26) continue;
    std::vector<std::string> options;
    for (const auto& item : list) {
      if (item.is_string()) options.push_back(item.get<std::string>());
    }
    if (options.size() == list.size()) return options;
  }
  return {};
}

// Length of the mark of `letter` at text[i] ("A." "A)" "A:" "(A)"), 0 if there is none.
size_t MarkLength(absl::string_view text, size_t i, char letter) {
  const size_t open = i < text.size() && text[i] == '(' ? 1 : 0;
  if (i + open + 1 >= text.size() || text[i + open] != letter) return 0;
  const char after = text[i + open + 1];
  if (open ? after != ')' : (after != '.' && after != ')' && after != ':')) return 0;
  return open + 2;
}

size_t FindMark(absl::string_view text, size_t from, char letter) {
  for (size_t i = from; i < text.size(); ++i) {
    const bool starts_word = i == 0 || absl::ascii_isspace(text[i - 1]);
    if (starts_word && MarkLength(text, i, letter) > 0) return i;
  }
  return absl::string_view::npos;
}

bool IsLetterAt(absl::string_view text, size_t i) {  // alone, not inside a word
  const bool left = i == 0 || !absl::ascii_isalnum(text[i - 1]);
  const bool right = i + 1 == text.size() || !absl::ascii_isalnum(text[i + 1]);
  return absl::ascii_isalpha(text[i]) && left && right;
}

std::optional<int> Letter(char c, size_t options) {
  const int index = absl::ascii_toupper(c) - 'A';
  if (index < 0 || index >= (options == 0 ? 26 : static_cast<int>(options))) return std::nullopt;
  return index;
}

// A lone letter at the front that is marked as one: "B", "B.", "(B) blue", "b: blue".
std::optional<int> LeadingLetter(absl::string_view text, size_t options) {
  text = absl::StripAsciiWhitespace(text);
  if (text.empty()) return std::nullopt;
  const size_t at = text[0] == '(' || text[0] == '[' ? 1 : 0;
  if (at >= text.size() || !IsLetterAt(text, at)) return std::nullopt;
  const bool alone = at + 1 == text.size();
  if (!alone && absl::string_view(".):],").find(text[at + 1]) == absl::string_view::npos) {
    return std::nullopt;
  }
  return Letter(text[at], options);
}

// The last lone letter behind "answer" / "option" / "choice" (and "is", ":", "("), upper case or
// not.
std::optional<int> AnnouncedLetter(absl::string_view text, size_t options) {
  const std::string lowered = absl::AsciiStrToLower(text);
  const absl::string_view lower = lowered;
  std::optional<int> found;
  for (absl::string_view word : {"answer", "option", "choice"}) {
    size_t at = lower.rfind(word);
    if (at == absl::string_view::npos) continue;
    at += word.size();
    if (lower.substr(at, 3) == " is") at += 3;
    while (at < lower.size() &&
           absl::string_view(" :*([\"'").find(lower[at]) != absl::string_view::npos) {
      ++at;
    }
    if (at < lower.size() && IsLetterAt(lower, at)) found = Letter(lower[at], options);
    if (found) return found;
  }
  return std::nullopt;
}

std::optional<int> NamedOption(absl::string_view text, const std::vector<std::string>& options) {
  for (size_t i = 0; i < options.size(); ++i) {
    if (NormalizeAnswer(text) == NormalizeAnswer(options[i])) return static_cast<int>(i);
  }
  std::optional<int> found;
  for (size_t i = 0; i < options.size(); ++i) {
    if (!ContainsWords(text, options[i])) continue;
    if (found) return std::nullopt;
    found = static_cast<int>(i);
  }
  return found;
}

}  // namespace

std::vector<std::string> FindOptions(const Prompt& prompt) {
  std::vector<std::string> options = OptionsColumn(prompt);
  if (!options.empty()) return options;
  const absl::string_view text = prompt.problem;
  size_t mark = FindMark(text, 0, 'A');
  for (char letter = 'A'; mark != absl::string_view::npos && letter <= 'Z'; ++letter) {
    const size_t begin = mark + MarkLength(text, mark, letter);
    const size_t next = FindMark(text, begin, static_cast<char>(letter + 1));
    const size_t end = std::min(next, text.find('\n', begin));
    options.emplace_back(absl::StripAsciiWhitespace(
        text.substr(begin, end == absl::string_view::npos ? end : end - begin)));
    mark = next;
  }
  if (options.size() < 2) options.clear();
  return options;
}

std::optional<int> ChosenOption(absl::string_view text, const std::vector<std::string>& options) {
  if (auto letter = LeadingLetter(text, options.size())) return letter;
  for (size_t i = 0; i < options.size(); ++i) {
    if (NormalizeAnswer(text) == NormalizeAnswer(options[i])) return static_cast<int>(i);
  }
  if (auto letter = AnnouncedLetter(text, options.size())) return letter;
  return NamedOption(text, options);
}

absl::StatusOr<std::unique_ptr<RewardFunction>> MakeChoice(const std::string&) {
  return WrapReward(
      "choice", [](const Prompt& prompt, const Completion& completion) -> absl::StatusOr<double> {
        const std::vector<std::string> options = FindOptions(prompt);
        const std::optional<int> truth = ChosenOption(prompt.answer, options);
        if (!truth) {
          return absl::InvalidArgumentError(absl::StrFormat(
              "row %d: answer '%s' is neither a letter nor one of the %d options found",
              prompt.row + 1, prompt.answer, options.size()));
        }
        return ChosenOption(completion.text, options) == truth ? 1.0 : 0.0;
      });
}

}  // namespace ziprl
