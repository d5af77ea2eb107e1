#include "trainer/data/prompt_dataset.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "tests/trainer/data/scratch.h"

namespace ziprl {
namespace {

// One token per byte of text, four per image; "bad" images cannot be read.
absl::StatusOr<std::vector<int32_t>> Encode(const std::vector<Message>& messages,
                                            const std::vector<MediaRef>& images) {
  std::vector<int32_t> ids;
  for (const Message& message : messages) {
    for (const ContentItem& item : message.content)
      ids.insert(ids.end(), item.text.begin(), item.text.end());
  }
  for (const MediaRef& image : images) {
    if (*image.bytes == "bad") return absl::InvalidArgumentError(image.source + ": unreadable");
    ids.insert(ids.end(), 4, -1);
  }
  return ids;
}

std::string Rows(int from, int to) {
  std::string out;
  for (int i = from; i < to; ++i) {
    absl::StrAppend(&out, R"({"problem": "q)", i, R"(", "answer": "a)", i, "\"}\n");
  }
  return out;
}

class PromptDatasetTest : public testing::Test {
 protected:
  std::unique_ptr<PromptDataset> Open(const std::string& contents) {
    config_.files = {scratch_.Write("train.v1.jsonl", contents)};
    auto data = PromptDataset::Open(config_, Encode);
    EXPECT_TRUE(data.ok()) << data.status();
    return *std::move(data);
  }
  const Scratch scratch_;
  PromptDataset::Config config_;
};

TEST_F(PromptDatasetTest, GivesEveryRowOncePerEpochInNewOrders) {
  const auto data = Open(Rows(0, 50));
  std::vector<int64_t> epochs[2];
  for (auto& epoch : epochs) {
    for (int i = 0; i < 50; ++i) epoch.push_back(data->Next()->row);
    EXPECT_EQ(std::set<int64_t>(epoch.begin(), epoch.end()).size(), 50);
  }
  EXPECT_NE(epochs[0], epochs[1]);
}

TEST_F(PromptDatasetTest, FillsThePrompt) {
  config_.shuffle = false;
  const auto data = Open(Rows(0, 3));
  EXPECT_EQ(data->Next()->problem, "q0");
  const Prompt prompt = *data->Next();
  EXPECT_EQ(prompt.id, 1);
  EXPECT_EQ(prompt.row, 1);
  EXPECT_EQ(prompt.answer, "a1");
  EXPECT_EQ(prompt.source, "train");
  EXPECT_EQ(prompt.token_ids, (std::vector<int32_t>{'q', '1'}));
}

TEST_F(PromptDatasetTest, SeekGoesOnWhereAnotherStopped) {
  const auto straight = Open(Rows(0, 20));
  const auto resumed = *PromptDataset::Open(config_, Encode);
  uint64_t last = 0;
  for (int i = 0; i < 33; ++i) last = straight->Next()->id;
  resumed->Seek(last + 1);
  for (int i = 0; i < 30; ++i) {
    const Prompt a = *straight->Next(), b = *resumed->Next();
    EXPECT_EQ(a.id, b.id);
    EXPECT_EQ(a.problem, b.problem);
  }
}

TEST_F(PromptDatasetTest, SkipsAndCountsOverlongPrompts) {
  config_.max_prompt_length = 3;
  const auto data = Open(Rows(95, 105));  // q100 and above have four tokens
  for (int i = 0; i < 10; ++i) EXPECT_LE(data->Next()->token_ids.size(), 3);
  EXPECT_GE(data->skipped(), 5);
  config_.max_prompt_length = 1;
  const auto none = *PromptDataset::Open(config_, Encode);
  EXPECT_TRUE(absl::IsFailedPrecondition(none->Next().status()));
}

TEST_F(PromptDatasetTest, AnAssistantTurnIsTheAnswerNotThePrompt) {
  const auto data = Open(R"({"messages": [{"role": "user", "content": "hi"},
{"role": "assistant", "content": "hello"}]})" +
                         std::string("\n"));
  EXPECT_FALSE(data->Next().ok());  // two lines: broken JSON
  const auto joined = Open(
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]})");
  const auto prompt = joined->Next();
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_EQ(prompt->token_ids, (std::vector<int32_t>{'h', 'i'}));
  EXPECT_EQ(prompt->answer, "hello");
}

TEST_F(PromptDatasetTest, SeveralFilesAreOneDataSet) {
  config_.shuffle = false;
  config_.files = {scratch_.Write("a.jsonl", Rows(0, 3)), scratch_.Write("b.jsonl", Rows(3, 5))};
  const auto data = *PromptDataset::Open(config_, Encode);
  EXPECT_EQ(data->rows(), 5);
  std::string seen;
  for (int i = 0; i < 5; ++i) seen += data->Next()->problem;
  EXPECT_EQ(seen, "q0q1q2q3q4");
}

TEST_F(PromptDatasetTest, OnePassStopsAtTheEndOrTheLimit) {
  const auto data = Open(Rows(0, 7));
  for (int64_t limit : {0, 3, 7, 9}) {
    PromptStream stream = OnePass(*data, limit);
    int64_t count = 0;
    while ((*stream()).has_value()) ++count;
    EXPECT_EQ(count, limit == 3 ? 3 : 7);
  }
}

TEST_F(PromptDatasetTest, ImagesAreSharedAcrossPrompts) {
  scratch_.Write("i.png", "pixels");
  std::string rows;
  for (int i = 0; i < 4; ++i)
    rows += R"({"problem": "<image>", "answer": "x", "images": ["i.png"]})"
            "\n";
  const auto data = Open(rows);
  std::vector<Prompt> prompts;
  for (int i = 0; i < 8; ++i) prompts.push_back(*data->Next());
  EXPECT_EQ(prompts[0].images[0].bytes.get(), prompts[7].images[0].bytes.get());
  EXPECT_EQ(data->images().live(), 1);
}

struct BadFile {
  const char* contents;
  const char* in_error;
};

class BadDataTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadDataTest, NamesFileAndRow) {
  const Scratch scratch;
  scratch.Write("bad.png", "bad");
  PromptDataset::Config config;
  config.shuffle = false;
  config.files = {scratch.Write("rows.jsonl", GetParam().contents)};
  const auto data = PromptDataset::Open(config, Encode);
  absl::Status status = data.status();
  for (int i = 0; data.ok() && status.ok() && i < 3; ++i) status = (*data)->Next().status();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message()).find("rows.jsonl"), std::string::npos) << status;
  EXPECT_NE(std::string(status.message()).find(GetParam().in_error), std::string::npos) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadDataTest,
    testing::Values(BadFile{"", "no rows"}, BadFile{"{\n", "row 1: broken JSON"},
                    BadFile{"{\"problem\": \"a\", \"answer\": \"b\"}\n\n{\"answer\": \"b\"}\n",
                            "row 2: no column 'problem'"},
                    BadFile{R"({"problem": "<image>", "answer": "b"})", "row 1: 1 <image> marks"},
                    BadFile{R"({"problem": "<image>", "answer": "b", "images": ["bad.png"]})",
                            "bad.png: unreadable"},
                    BadFile{R"({"problem": "<image>", "answer": "b", "images": ["no.png"]})",
                            "row 1"}));

TEST(PromptDatasetConfigTest, NoFilesIsAnError) {
  EXPECT_TRUE(absl::IsInvalidArgument(PromptDataset::Open({}, Encode).status()));
}

TEST(PromptDatasetConfigTest, FollowsTheRunsKeys) {
  DataConfig data;
  data.prompt_key = "question";
  data.max_prompt_length = 17;
  data.seed = 5;
  const PromptDataset::Config config = DatasetConfig(data, {"x.jsonl"});
  EXPECT_EQ(config.row.prompt_key, "question");
  EXPECT_EQ(config.max_prompt_length, 17);
  EXPECT_EQ(config.seed, 5);
  EXPECT_EQ(config.files, std::vector<std::string>{"x.jsonl"});
}

}  // namespace
}  // namespace ziprl
