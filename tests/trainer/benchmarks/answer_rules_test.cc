// The rules that score free answers: ChartQA, TextVQA, OCRBench, MME.
#include <gtest/gtest.h>

#include "trainer/benchmarks/chartqa.h"
#include "trainer/benchmarks/mme.h"
#include "trainer/benchmarks/ocrbench.h"
#include "trainer/benchmarks/text_rules.h"
#include "trainer/benchmarks/vqa_text.h"

namespace ziprl {
namespace {

struct RelaxedCase {
  std::string prediction, answer;
  bool right;
};
class RelaxedMatchTest : public testing::TestWithParam<RelaxedCase> {};
TEST_P(RelaxedMatchTest, WithinFivePercent) {
  EXPECT_EQ(RelaxedMatch(GetParam().prediction, GetParam().answer), GetParam().right)
      << GetParam().prediction << " for " << GetParam().answer;
}

INSTANTIATE_TEST_SUITE_P(
    Answers, RelaxedMatchTest,
    testing::Values(RelaxedCase{"105", "100", true}, RelaxedCase{"105.1", "100", false},
                    RelaxedCase{"95", "100", true}, RelaxedCase{"-95", "-100", true},
                    RelaxedCase{"100", "-100", false}, RelaxedCase{"1e2", "100", true},
                    // A percent sign is a hundredth, on either side.
                    RelaxedCase{"12%", "12%", true}, RelaxedCase{"12", "12%", false},
                    RelaxedCase{"0.12", "12%", true}, RelaxedCase{"12 %", "12%", true},
                    // 0 has no 5 %: the texts must be equal.
                    RelaxedCase{"0", "0", true}, RelaxedCase{"0.0", "0", false},
                    RelaxedCase{"0.001", "0", false},
                    // Units and thousands separators make it a text.
                    RelaxedCase{"1,000", "1000", false}, RelaxedCase{"$5", "5", false},
                    RelaxedCase{"5 years", "5", false}, RelaxedCase{"1,000", "1,000", true},
                    RelaxedCase{"Yes", "yes", true}, RelaxedCase{"yes.", "Yes", false},
                    RelaxedCase{"ÄPFEL", "äpfel", true}, RelaxedCase{"nan", "5", false},
                    RelaxedCase{"", "", true}));

TEST(VqaTextTest, TheOfficialNormalisation) {
  EXPECT_EQ(NormaliseVqaAnswer("  The  Coca-Cola! "), "coca cola");
  EXPECT_EQ(NormaliseVqaAnswer("two dogs"), "2 dogs");
  EXPECT_EQ(NormaliseVqaAnswer("None"), "0");
  EXPECT_EQ(NormaliseVqaAnswer("dont"), "don't");
  EXPECT_EQ(NormaliseVqaAnswer("couldntve"), "couldntve");
  EXPECT_EQ(NormaliseVqaAnswer("couldnt've"), "couldn't've");
  EXPECT_EQ(NormaliseVqaAnswer("Levi's"), "levi 's");
  EXPECT_EQ(NormaliseVqaAnswer("$1,000.50."), "$1000.50");
  EXPECT_EQ(NormaliseVqaAnswer("a.b.c"), "abc");
  EXPECT_EQ(NormaliseVqaAnswer("v1.2"), "v1.2");
  EXPECT_EQ(NormaliseVqaAnswer("left/right"), "left right");
  EXPECT_EQ(NormaliseVqaAnswer("left / right"), "left right");
  EXPECT_EQ(NormaliseVqaAnswer("x- y-z"), "x yz");  // one mark beside a blank: all of them go
}

TEST(VqaTextTest, SoftAccuracyOverTheAnnotators) {
  std::vector<std::string> answers(10, "no");
  EXPECT_EQ(VqaAccuracy("yes", answers), 0);
  answers[0] = "Yes";  // leaving the matching annotator out, nobody agrees
  EXPECT_NEAR(VqaAccuracy("yes", answers), 9 * (1. / 3) / 10, 1e-12);
  answers[1] = "yes.";
  EXPECT_NEAR(VqaAccuracy("yes", answers), (8 * (2. / 3) + 2 * (1. / 3)) / 10, 1e-12);
  answers[2] = "YES";
  EXPECT_NEAR(VqaAccuracy("yes", answers), (7 + 3 * (2. / 3)) / 10, 1e-12);
  answers[3] = "the yes";
  EXPECT_EQ(VqaAccuracy("yes", answers), 1);
  EXPECT_EQ(VqaAccuracy("yes", {}), 0);
}

TEST(OcrBenchTest, TheAnswerOccursInTheResponse) {
  EXPECT_TRUE(OcrContains("It says CENTRE.", {"centre"}, false));
  EXPECT_TRUE(OcrContains("two\nlines", {"x", "Two lines"}, false));
  EXPECT_FALSE(OcrContains("cen tre", {"centre"}, false));
  EXPECT_TRUE(OcrContains("", {""}, false));
}

TEST(OcrBenchTest, FormulasWithoutBlanksAndWithTheirCase) {
  EXPECT_TRUE(OcrContains("$\\frac { a } { B }$", {"\\frac{a}{B}"}, true));
  EXPECT_TRUE(OcrContains("x+\ny", {"x + y"}, true));
  EXPECT_FALSE(OcrContains("\\frac{a}{b}", {"\\frac{a}{B}"}, true));
}

TEST(MmeTest, OneOfTheTwoWords) {
  for (const char* yes : {"Yes", "yes.", "Yes, it is", "I say YES!", "\"yes\""}) {
    EXPECT_EQ(YesOrNo(yes), "Yes") << yes;
  }
  EXPECT_EQ(YesOrNo("There is no dog"), "No");
  for (const char* neither : {"", "Yes and no", "not", "yesterday", "Y", "Yes: x"}) {
    EXPECT_EQ(YesOrNo(neither), "") << neither;
  }
}

TEST(TextRulesTest, WhatIsThoughtIsNotScored) {
  EXPECT_EQ(WithoutThinking("<think>A or B?</think>\nB"), "\nB");
  EXPECT_EQ(WithoutThinking("<think>B"), "<think>B");
}

}  // namespace
}  // namespace ziprl
