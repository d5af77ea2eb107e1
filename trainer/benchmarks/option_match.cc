#include "trainer/benchmarks/option_match.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "trainer/benchmarks/text_rules.h"

namespace ziprl {
namespace {

constexpr size_t kLastWords = 4;  // among which a letter must stand

// Where the letter first stands as a word; words.size() for nowhere.
size_t WordPlace(const std::vector<absl::string_view>& words, char letter) {
  return static_cast<size_t>(std::find(words.begin(), words.end(), absl::string_view(&letter, 1)) -
                             words.begin());
}

std::optional<char> OnlyLetter(const std::string& response, size_t options) {
  std::string spaced = response;
  for (char& c : spaced) {
    if (absl::StrContains(".()[],:;!*#{}", absl::string_view(&c, 1))) c = ' ';
  }
  const std::vector<absl::string_view> words = SplitWords(spaced);
  std::optional<char> only;
  for (size_t i = 0; i < options; ++i) {
    if (WordPlace(words, OptionLetter(i)) == words.size()) continue;
    if (only.has_value()) return std::nullopt;
    only = OptionLetter(i);
  }
  if (only.has_value()) {
    const bool at_end = WordPlace(words, *only) + kLastWords >= words.size();
    return at_end ? only : std::nullopt;
  }
  return WordPlace(words, 'Z') < words.size() ? std::optional<char>('Z') : std::nullopt;
}

std::optional<char> OnlyText(const std::string& response, const std::vector<std::string>& options) {
  int64_t length = 0;
  for (const std::string& option : options) length += CodePoints(option);
  const std::string lower = Lowercase(response);
  if (CodePoints(lower) > 2 * length) return std::nullopt;
  std::optional<char> only;
  for (size_t i = 0; i < options.size(); ++i) {
    if (!absl::StrContains(lower, Lowercase(options[i]))) continue;
    if (only.has_value()) return std::nullopt;
    only = OptionLetter(i);
  }
  return only;
}

// Where a candidate of MMMU's parser last stands; -1 for nowhere.
struct Candidate {
  char letter;
  int64_t last;
};

int64_t LastPlace(const std::string& text, const std::string& part) {
  const size_t place = text.rfind(part);
  return place == std::string::npos ? -1 : static_cast<int64_t>(place);
}

std::vector<Candidate> LettersWithin(const std::string& text, size_t options, const char* before,
                                     const char* behind, const char* last_before,
                                     const char* last_behind) {
  std::vector<Candidate> found;
  for (size_t i = 0; i < options; ++i) {
    const std::string letter(1, OptionLetter(i));
    if (!absl::StrContains(text, absl::StrCat(before, letter, behind))) continue;
    found.push_back({letter[0], LastPlace(text, absl::StrCat(last_before, letter, last_behind))});
  }
  return found;
}

std::vector<Candidate> TextsWithin(const std::string& text,
                                   const std::vector<std::string>& options) {
  const std::string lower = Lowercase(text);
  std::vector<Candidate> found;
  for (size_t i = 0; i < options.size(); ++i) {
    const int64_t last = LastPlace(lower, Lowercase(options[i]));
    if (last >= 0) found.push_back({OptionLetter(i), last});
  }
  return found;
}

std::string MmmuText(absl::string_view response) {
  for (char c : {',', '.', '!', '?', ';', ':', '\''}) {
    while (!response.empty() && response.front() == c) response.remove_prefix(1);
    while (!response.empty() && response.back() == c) response.remove_suffix(1);
  }
  return absl::StrCat(" ", response, " ");
}

}  // namespace

std::optional<char> InferOption(const std::string& response,
                                const std::vector<std::string>& options) {
  for (const char* refusal :
       {"Sorry, I can't help with images of people yet.", "I can't process this file.",
        "I'm sorry, but without the image provided", "Cannot determine the answer"}) {
    if (absl::StrContains(response, refusal)) return 'Z';
  }
  const std::optional<char> letter = OnlyLetter(response, options.size());
  return letter.has_value() ? letter : OnlyText(response, options);
}

std::optional<char> ParseMmmuOption(const std::string& response,
                                    const std::vector<std::string>& options) {
  constexpr absl::string_view kAnswer = "Answer:";
  const size_t marked = response.rfind(kAnswer.data());
  if (marked != std::string::npos) {
    const std::string behind = response.substr(marked + kAnswer.size());
    const auto letters = LettersWithin(behind, options.size(), "", "", "", "");
    if (letters.size() == 1) return letters[0].letter;
  }
  const std::string text = MmmuText(response);
  std::vector<Candidate> found = LettersWithin(text, options.size(), "(", ")", "(", ")");
  if (found.empty()) found = LettersWithin(text, options.size(), "", " ", " ", " ");
  if (found.empty()) found = LettersWithin(text, options.size(), "", ".", " ", " ");
  if (found.empty() && SplitWords(text).size() > 5) found = TextsWithin(text, options);
  if (found.empty()) return std::nullopt;
  return std::max_element(found.begin(), found.end(),
                          [](const Candidate& a, const Candidate& b) { return a.last < b.last; })
      ->letter;
}

std::optional<char> FirstOptionLetter(const std::string& response) {
  std::string text = response;
  // In this order, as published; the longer ones first.
  for (const char* phrase : {"The best answer is", "The correct answer is", "The answer is",
                             "The answer", "Answer:", "Option:"}) {
    text = absl::StrReplaceAll(text, {{phrase, ""}});
  }
  const size_t first = text.find_first_of("ABCD");
  return first == std::string::npos ? std::nullopt : std::optional<char>(text[first]);
}

}  // namespace ziprl
