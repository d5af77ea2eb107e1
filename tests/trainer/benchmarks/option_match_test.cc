#include "trainer/benchmarks/option_match.h"

#include <gtest/gtest.h>

namespace ziprl {
namespace {

using Rule = std::optional<char> (*)(const std::string&, const std::vector<std::string>&);

struct Case {
  std::string response;
  char letter;  // 0: none
};

const std::vector<std::string>& Options() {
  static const auto& options =
      *new std::vector<std::string>{"a red cat", "two dogs", "a green bird", "no animal at all"};
  return options;
}

void Check(Rule rule, const Case& c) {
  const std::optional<char> letter = rule(c.response, Options());
  EXPECT_EQ(letter.value_or(0), c.letter) << "'" << c.response << "'";
}

class InferOptionTest : public testing::TestWithParam<Case> {};
TEST_P(InferOptionTest, ByThePublishedRule) { Check(InferOption, GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    Responses, InferOptionTest,
    testing::Values(Case{"B", 'B'}, Case{"B.", 'B'}, Case{"(B)", 'B'}, Case{" b", 0},
                    Case{"The answer is B.", 'B'}, Case{"**B**", 'B'}, Case{"B: two dogs", 'B'},
                    // Two letters are none, even where one is right.
                    Case{"A or B", 0}, Case{"AB", 0}, Case{"B, not A", 0}, Case{"B. Both B", 'B'},
                    // The letter stands among the last four words; else the option's text counts.
                    Case{"B is my choice here", 0}, Case{"B is my choice", 'B'},
                    Case{"B because there are two dogs in it", 'B'},
                    // A text by itself, if no other option's occurs too.
                    Case{"Two Dogs", 'B'}, Case{"two dogs and a red cat", 0}, Case{"dogs", 0},
                    // Longer than twice all options together: not read as text.
                    Case{std::string(100, 'x') + " two dogs", 0},
                    Case{"Cannot determine the answer", 'Z'}, Case{"Z", 'Z'}, Case{"", 0}));

class MmmuOptionTest : public testing::TestWithParam<Case> {};
TEST_P(MmmuOptionTest, ByThePublishedRule) { Check(ParseMmmuOption, GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    Responses, MmmuOptionTest,
    testing::Values(Case{"B", 'B'}, Case{"B.", 'B'}, Case{"(B)", 'B'}, Case{"b", 0},
                    Case{"(A) or (B)", 'B'}, Case{"(B) or (A)", 'A'}, Case{"A and then B", 'B'},
                    // The line that MMMU-Pro asks for outranks what comes before it.
                    Case{"(A) is wrong.\nAnswer: B", 'B'}, Case{"Answer: B\nAnswer: C", 'C'},
                    Case{"Answer: B or C", 'C'}, Case{"Answer: $D", 'D'},
                    // A bracketed letter outranks a bare one, a bare one "B." within a sentence.
                    Case{"A (B)", 'B'}, Case{"I take option B.I do", 'B'},
                    Case{"I say that there are two dogs", 'B'}, Case{"two dogs", 0},
                    Case{"first two dogs and then a red cat there", 'A'},
                    Case{"nothing of the kind is to be seen", 0}, Case{"", 0}));

TEST(MmmuOptionTest, TenOptions) {
  const std::vector<std::string> ten(10, "x");
  EXPECT_EQ(ParseMmmuOption("The answer is (J).", ten), 'J');
  EXPECT_EQ(ParseMmmuOption("K", ten), std::nullopt);
}

class FirstLetterTest : public testing::TestWithParam<Case> {};
TEST_P(FirstLetterTest, ByThePublishedRule) {
  EXPECT_EQ(FirstOptionLetter(GetParam().response).value_or(0), GetParam().letter)
      << GetParam().response;
}

INSTANTIATE_TEST_SUITE_P(Responses, FirstLetterTest,
                         testing::Values(Case{"B", 'B'}, Case{"(C) x", 'C'},
                                         Case{"The best answer is D.", 'D'}, Case{"Answer: C", 'C'},
                                         Case{"The answer: A", 'A'},
                                         // No prefix of the published list: its B counts.
                                         Case{"Best answer: C", 'B'}, Case{"CAB", 'C'},
                                         Case{"E", 0}, Case{"b", 0}, Case{"", 0}));

}  // namespace
}  // namespace ziprl
