#include <gtest/gtest.h>

#include "reward/answer_match.h"
#include "reward/registry.h"

namespace ziprl {
namespace {

struct JudgeCase {
  const char* function;
  const char* answer;
  const char* response;
  double score;
};

class JudgeTest : public testing::TestWithParam<JudgeCase> {};

TEST_P(JudgeTest, GivesTheScore) {
  const auto function = MakeRewardFunction(GetParam().function);
  ASSERT_TRUE(function.ok()) << function.status();
  Prompt prompt;
  prompt.answer = GetParam().answer;
  Completion completion;
  completion.text = GetParam().response;
  const auto score = (*function)->Score(prompt, completion);
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_EQ(*score, GetParam().score);
}

INSTANTIATE_TEST_SUITE_P(ExactMatch, JudgeTest,
                         testing::Values(JudgeCase{"exact_match", "red", "red", 1},
                                         JudgeCase{"exact_match", "red", "Red. ", 1},
                                         JudgeCase{"exact_match", "red", "a red", 0},
                                         JudgeCase{"exact_match", "red", "", 0},
                                         JudgeCase{"exact_match:strict", "red", "red", 1},
                                         JudgeCase{"exact_match:strict", "red", "Red", 0}));
INSTANTIATE_TEST_SUITE_P(Contains, JudgeTest,
                         testing::Values(JudgeCase{"contains", "red", "it is red", 1},
                                         JudgeCase{"contains", "red", "bored", 0}));
INSTANTIATE_TEST_SUITE_P(Numeric, JudgeTest,
                         testing::Values(JudgeCase{"numeric", "4", "there are 4", 1},
                                         JudgeCase{"numeric", "4", "4.0", 1},
                                         JudgeCase{"numeric", "4", "5", 0},
                                         JudgeCase{"numeric", "4", "four", 0},
                                         JudgeCase{"numeric:0.1", "100", "109", 1},
                                         JudgeCase{"numeric:0.1", "100", "111", 0},
                                         JudgeCase{"numeric:abs=0.5", "0", "0.4", 1},
                                         JudgeCase{"numeric:abs=0.5", "10", "11", 0},
                                         JudgeCase{"numeric:rel=0.01,abs=2", "10", "12", 1},
                                         JudgeCase{"numeric:abs=2,rel=0.5", "10", "14", 1}));
INSTANTIATE_TEST_SUITE_P(Boxed, JudgeTest,
                         testing::Values(JudgeCase{"boxed", "4", "so \\boxed{4}", 1},
                                         JudgeCase{"boxed", "4", "4", 0},
                                         JudgeCase{"boxed", "4", "\\boxed{3} no, \\boxed{4}", 1},
                                         JudgeCase{"boxed", "4", "\\boxed{4} no, \\boxed{3}", 0},
                                         JudgeCase{"boxed", "0.5", "\\boxed{1/2}", 1},
                                         JudgeCase{"boxed", "$x^{2}$", "\\boxed{x^{2}}", 1},
                                         JudgeCase{"boxed", "red", "\\boxed{\\text{Red}}", 1},
                                         JudgeCase{"boxed", "4", "\\boxed{4", 0}));
INSTANTIATE_TEST_SUITE_P(
    Format, JudgeTest,
    testing::Values(JudgeCase{"format:<think>.*</think>.+", "", "<think>a\nb</think>c", 1},
                    JudgeCase{"format:<think>.*</think>.+", "", "x<think></think>c", 0},
                    JudgeCase{"format:a|ab", "", "ab", 1}, JudgeCase{"format:a:b", "", "a:b", 1},
                    JudgeCase{"format:\\p{L}+", "", "été", 1},
                    JudgeCase{"format:.", "", "\xff", 0}));

TEST(JudgeNothingTest, NoAnswerIsInvalidNotZero) {
  for (const char* name : {"exact_match", "contains", "numeric", "choice", "boxed"}) {
    const auto function = MakeRewardFunction(name);
    EXPECT_TRUE(absl::IsInvalidArgument((*function)->Score(Prompt(), Completion()).status()))
        << name;
    EXPECT_EQ((*function)->component(), "accuracy");
  }
}

TEST(FormatTest, BacktrackingIsBoundedAndFails) {
  const auto format = *MakeRewardFunction("format:(x+x+)+[yz]");
  Completion completion;
  completion.text = std::string(60, 'x');
  EXPECT_TRUE(absl::IsResourceExhausted(format->Score(Prompt(), completion).status()));
}

TEST(ResponseFormTest, TokenReductionAndLength) {
  Completion completion;
  completion.kept_ratio = 0.25;
  completion.token_ids.resize(64);
  EXPECT_EQ(*(*MakeRewardFunction("token_reduction"))->Score(Prompt(), completion), 0.75);
  EXPECT_EQ((*MakeRewardFunction("token_reduction"))->component(), "token_reduction");
  EXPECT_EQ(*(*MakeRewardFunction("length"))->Score(Prompt(), completion), 0.75);
  EXPECT_EQ(*(*MakeRewardFunction("length:128"))->Score(Prompt(), completion), 0.5);
  EXPECT_EQ(*(*MakeRewardFunction("length:10"))->Score(Prompt(), completion), 0.0);
}

struct BadSpec {
  const char* spec;
  const char* in_error;
};

class BadSpecTest : public testing::TestWithParam<BadSpec> {};

TEST_P(BadSpecTest, NamesWhatIsAllowed) {
  const absl::Status status = MakeRewardFunction(GetParam().spec).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(std::string(status.message()).find(GetParam().in_error), std::string::npos) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Specs, BadSpecTest,
    testing::Values(BadSpec{"exactmatch", "exact_match, contains, numeric"},
                    BadSpec{"", "known are"}, BadSpec{"numeric:x", "rel=R,abs=A"},
                    BadSpec{"numeric:-1", "'-1'"}, BadSpec{"numeric:inf", "'inf'"},
                    BadSpec{"format", "format:REGEX"}, BadSpec{"format:(", "character 1"},
                    BadSpec{"length:0", ">= 1"}, BadSpec{"length:x", "'x'"},
                    BadSpec{"contains:x", "takes no argument"},
                    BadSpec{"exact_match:loose", "strict"}));

}  // namespace
}  // namespace ziprl
