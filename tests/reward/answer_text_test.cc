#include "reward/answer_text.h"

#include <gtest/gtest.h>

namespace ziprl {
namespace {

struct NormalizeCase {
  const char* text;
  const char* normalized;
};

class NormalizeAnswerTest : public testing::TestWithParam<NormalizeCase> {};

TEST_P(NormalizeAnswerTest, GivesTheComparableForm) {
  EXPECT_EQ(NormalizeAnswer(GetParam().text), GetParam().normalized);
}

INSTANTIATE_TEST_SUITE_P(Texts, NormalizeAnswerTest,
                         testing::Values(NormalizeCase{"red", "red"},
                                         NormalizeCase{" Red.\n", "red"},
                                         NormalizeCase{"\"The  Red\"!", "the red"},
                                         NormalizeCase{"-3", "-3"}, NormalizeCase{".5", ".5"},
                                         NormalizeCase{"", ""}, NormalizeCase{"...", ""},
                                         NormalizeCase{"a.b", "a.b"}));

struct ContainsCase {
  const char* text;
  const char* words;
  bool contains;
};

class ContainsWordsTest : public testing::TestWithParam<ContainsCase> {};

TEST_P(ContainsWordsTest, FindsWholeWordsOnly) {
  EXPECT_EQ(ContainsWords(GetParam().text, GetParam().words), GetParam().contains);
}

INSTANTIATE_TEST_SUITE_P(Texts, ContainsWordsTest,
                         testing::Values(ContainsCase{"It is red.", "red", true},
                                         ContainsCase{"I am bored", "red", false},
                                         ContainsCase{"bored, then RED", "red", true},
                                         ContainsCase{"", "red", false},
                                         ContainsCase{"red", "", false},
                                         ContainsCase{"a light blue box", "light blue", true},
                                         ContainsCase{"12", "1", false},
                                         ContainsCase{"été", "t", false}));

struct NumberCase {
  const char* text;
  std::optional<double> value;
};

class ParseNumberTest : public testing::TestWithParam<NumberCase> {};

TEST_P(ParseNumberTest, ReadsTheWholeText) {
  EXPECT_EQ(ParseNumber(GetParam().text), GetParam().value);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, ParseNumberTest,
    testing::Values(NumberCase{"3", 3.0}, NumberCase{" -2.5 ", -2.5}, NumberCase{"1,234.5", 1234.5},
                    NumberCase{"1e3", 1000.0}, NumberCase{"3/4", 0.75}, NumberCase{"$5", 5.0},
                    NumberCase{"50%", 50.0}, NumberCase{"\u22127", -7.0}, NumberCase{".5", 0.5},
                    NumberCase{"three", std::nullopt}, NumberCase{"", std::nullopt},
                    NumberCase{"1/0", std::nullopt}, NumberCase{"inf", std::nullopt},
                    NumberCase{"nan", std::nullopt}, NumberCase{"0x10", std::nullopt},
                    NumberCase{"1e999", std::nullopt}, NumberCase{"3 apples", std::nullopt}));

class LastNumberTest : public testing::TestWithParam<NumberCase> {};

TEST_P(LastNumberTest, FindsTheLastOne) {
  EXPECT_EQ(LastNumber(GetParam().text), GetParam().value);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, LastNumberTest,
    testing::Values(NumberCase{"first 3, then 4.", 4.0}, NumberCase{"about -2.5 degrees", -2.5},
                    NumberCase{"3-4", 4.0}, NumberCase{"1,234,567 people", 1234567.0},
                    NumberCase{"it is 3/4.", 0.75}, NumberCase{"1/0", 0.0}, NumberCase{"x2y", 2.0},
                    NumberCase{"2e3", 2000.0}, NumberCase{"5e", 5.0},
                    NumberCase{"1.2.3 and 7", 7.0}, NumberCase{"none", std::nullopt},
                    NumberCase{"", std::nullopt}, NumberCase{"-", std::nullopt},
                    NumberCase{"=-5", -5.0}));

TEST(NumbersAgreeTest, TakesTheLargerTolerance) {
  EXPECT_TRUE(NumbersAgree(101, 100, 0.01, 0));
  EXPECT_FALSE(NumbersAgree(102, 100, 0.01, 0));
  EXPECT_TRUE(NumbersAgree(0.4, 0, 0.01, 0.5));
  EXPECT_TRUE(NumbersAgree(0, 0, 0, 0));
}

}  // namespace
}  // namespace ziprl
