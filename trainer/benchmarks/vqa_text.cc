#include "trainer/benchmarks/vqa_text.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "trainer/benchmarks/text_rules.h"

namespace ziprl {
namespace {

constexpr absl::string_view kPunctuation = ";/[]\"{}()=+\\_-><@`,?!";
constexpr int kPeriods = 32;  // the scripts pass a flag of that value as a count

// Known by their letters alone.
constexpr absl::string_view kContractions =
    "'twas ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd "
    "he's how'd how'll how's isn't it'd it'll ma'am might've mightn't must've mustn't needn't "
    "not've o'clock oughtn't shan't should've shouldn't somebody'll somebody's someone'd "
    "someone'll someone's something'd something'll that's there'd there're there's they'd they'll "
    "they're they've wasn't we've weren't what'll what're what's what've when's where'd where's "
    "where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd "
    "you'll you're you've";
// Known where one apostrophe is missing.
constexpr absl::string_view kLongContractions =
    "couldn't've hadn't've he'd've it'd've mightn't've 'ow's'at she'd've shouldn't've "
    "somebody'd've someone'd've something'd've there'd've they'd've we'd've who'd've wouldn't've "
    "y'all'll y'all'd've you'd've";
constexpr absl::string_view kNumbers = "zero one two three four five six seven eight nine ten";

std::map<std::string, std::string> MakeContractions() {
  std::map<std::string, std::string> known = {{"somebody'd", "somebodyd"}};
  for (absl::string_view word : absl::StrSplit(kContractions, ' ')) {
    known[absl::StrReplaceAll(word, {{"'", ""}})] = std::string(word);
  }
  for (absl::string_view word : absl::StrSplit(kLongContractions, ' ')) {
    for (size_t i = 0; i < word.size(); ++i) {
      if (word[i] == '\'') {
        known[absl::StrCat(word.substr(0, i), word.substr(i + 1))] = std::string(word);
      }
    }
  }
  return known;
}

std::map<std::string, std::string> MakeNumbers() {
  std::map<std::string, std::string> known = {{"none", "0"}};
  int number = 0;
  for (absl::string_view word : absl::StrSplit(kNumbers, ' ')) {
    known[std::string(word)] = absl::StrCat(number++);
  }
  return known;
}

bool IsDigit(absl::string_view text, size_t at) {
  return at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0;
}

bool HasThousands(absl::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == ',' && IsDigit(text, i - 1) && IsDigit(text, i + 1)) return true;
  }
  return false;
}

std::string WithoutPeriods(absl::string_view text, bool period_behind_digit) {
  std::string out;
  int left = kPeriods;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool strip = text[i] == '.' && left > 0 && !IsDigit(text, i + 1) &&
                       (period_behind_digit || i == 0 || !IsDigit(text, i - 1));
    if (!strip) out.push_back(text[i]);
    left -= strip;
  }
  return out;
}

std::string WithoutArticles(absl::string_view text) {
  static const auto& contractions = *new std::map<std::string, std::string>(MakeContractions());
  static const auto& numbers = *new std::map<std::string, std::string>(MakeNumbers());
  std::vector<std::string> words;
  for (absl::string_view given : SplitWords(text)) {
    std::string word(given);
    if (const auto number = numbers.find(word); number != numbers.end()) word = number->second;
    if (word == "a" || word == "an" || word == "the") continue;
    const auto contraction = contractions.find(word);
    words.push_back(contraction == contractions.end() ? word : contraction->second);
  }
  return absl::StrJoin(words, " ");
}

}  // namespace

std::string StripVqaPunctuation(absl::string_view text, bool period_behind_digit) {
  const bool thousands = HasThousands(text);
  std::string out(text);
  for (char c : kPunctuation) {
    const std::string mark(1, c);
    const bool beside_blank =
        absl::StrContains(text, mark + " ") || absl::StrContains(text, " " + mark);
    out = absl::StrReplaceAll(out, {{mark, beside_blank || thousands ? "" : " "}});
  }
  return WithoutPeriods(out, period_behind_digit);
}

std::string NormaliseVqaAnswer(absl::string_view text) {
  std::string plain = absl::StrReplaceAll(Lowercase(text), {{",", ""}, {"?", ""}});
  plain = absl::StrReplaceAll(plain, {{"'s", " 's"}, {"\n", " "}, {"\t", " "}});
  const std::string stripped = StripVqaPunctuation(Trim(plain), /*period_behind_digit=*/true);
  return WithoutArticles(Lowercase(stripped));
}

double VqaAccuracy(absl::string_view response, const std::vector<std::string>& answers) {
  if (answers.empty()) return 0;
  const std::string given = NormaliseVqaAnswer(response);
  int matches = 0;
  std::vector<bool> equal;
  for (const std::string& answer : answers) {
    equal.push_back(NormaliseVqaAnswer(answer) == given);
    matches += equal.back();
  }
  double sum = 0;
  for (bool same : equal) sum += std::min(1.0, (matches - same) / 3.0);
  return sum / static_cast<double>(answers.size());
}

}  // namespace ziprl
