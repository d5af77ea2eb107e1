#include "reward/choice.h"

#include <gtest/gtest.h>

namespace ziprl {
namespace {

const char kProblem[] = "Which colour?\nA. red\nB. light blue\nC. green\nD. none of these";

struct ChoiceCase {
  const char* answer;
  const char* response;
  double score;
};

class ChoiceTest : public testing::TestWithParam<ChoiceCase> {};

TEST_P(ChoiceTest, JudgesLetterOrOption) {
  const auto choice = *MakeChoice("");
  Prompt prompt;
  prompt.problem = kProblem;
  prompt.answer = GetParam().answer;
  Completion completion;
  completion.text = GetParam().response;
  const auto score = choice->Score(prompt, completion);
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_EQ(*score, GetParam().score);
  EXPECT_EQ(choice->component(), "accuracy");
}

INSTANTIATE_TEST_SUITE_P(
    Answers, ChoiceTest,
    testing::Values(ChoiceCase{"B", "B", 1}, ChoiceCase{"B", "b.", 1}, ChoiceCase{"B", "(B)", 1},
                    ChoiceCase{"B", "(B) light blue", 1}, ChoiceCase{"B", "The answer is B.", 1},
                    ChoiceCase{"B", "Answer: (b)", 1}, ChoiceCase{"B", "light blue", 1},
                    ChoiceCase{"B", "It is light blue, I think", 1}, ChoiceCase{"B", "A", 0},
                    ChoiceCase{"B", "red", 0}, ChoiceCase{"B", "", 0}, ChoiceCase{"B", "purple", 0},
                    ChoiceCase{"B", "red or green", 0}, ChoiceCase{"light blue", "B", 1},
                    ChoiceCase{"(C)", "C: green", 1}, ChoiceCase{"D. none of these", "d", 1},
                    ChoiceCase{"B", "E", 0}, ChoiceCase{"A", "A purple herring", 0},
                    ChoiceCase{"A", "The correct option is A", 1}));

TEST(ChoiceOptionsTest, ComeFromTheProblemOrAColumn) {
  Prompt prompt;
  prompt.problem = kProblem;
  EXPECT_EQ(FindOptions(prompt),
            (std::vector<std::string>{"red", "light blue", "green", "none of these"}));
  prompt.problem = "Is it (A) a cat (B) a dog";
  EXPECT_EQ(FindOptions(prompt), (std::vector<std::string>{"a cat", "a dog"}));
  prompt.problem = "A. only one";
  EXPECT_TRUE(FindOptions(prompt).empty());
  prompt.extra["options"] = R"(["yes", "no"])";
  EXPECT_EQ(FindOptions(prompt), (std::vector<std::string>{"yes", "no"}));
  prompt.extra["options"] = "broken";
  EXPECT_TRUE(FindOptions(prompt).empty());
}

TEST(ChoiceOptionsTest, AnAnswerThatIsNoOptionIsInvalid) {
  Prompt prompt;
  prompt.problem = kProblem;
  prompt.answer = "purple";
  EXPECT_TRUE(absl::IsInvalidArgument((*MakeChoice(""))->Score(prompt, Completion()).status()));
}

TEST(ChoiceOptionsTest, LettersWorkWithoutOptions) {
  Prompt prompt;
  prompt.answer = "C";
  Completion completion;
  completion.text = "C.";
  EXPECT_EQ(*(*MakeChoice(""))->Score(prompt, completion), 1.0);
}

}  // namespace
}  // namespace ziprl
