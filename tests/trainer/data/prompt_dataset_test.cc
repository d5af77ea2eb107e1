#include "trainer/data/prompt_dataset.h"

#include <gtest/gtest.h>

#include <map>
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

TEST_F(PromptDatasetTest, GlobsAreTheirFilesInOrder) {
  config_.shuffle = false;
  for (const char* name : {"b-2.jsonl", "b-10.jsonl", "a.jsonl", "b-1.txt"}) {
    scratch_.Write(name, R"({"problem": ")" + std::string(name) + R"(", "answer": ""})");
  }
  scratch_.Write("[x].jsonl", R"({"problem": "x", "answer": ""})");  // a file's own name
  config_.files = {scratch_.Path("b-*.jsonl"), scratch_.Path("[x].jsonl"),
                   scratch_.Path("?.jsonl")};
  const auto data = *PromptDataset::Open(config_, Encode);
  std::string seen;
  for (int64_t i = 0; i < data->rows(); ++i) seen += data->Next()->problem + " ";
  EXPECT_EQ(seen, "b-10.jsonl b-2.jsonl x a.jsonl ");
  config_.files = {scratch_.Path("c*.jsonl")};
  const absl::Status none = PromptDataset::Open(config_, Encode).status();
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
  EXPECT_NE(std::string(none.message()).find("c*.jsonl: matches no file"), std::string::npos);
}

TEST_F(PromptDatasetTest, WeightsSayHowOftenAnEntryIsDrawn) {
  config_.files = {scratch_.Write("a.jsonl", Rows(0, 100)),
                   scratch_.Write("b.jsonl", Rows(100, 110))};
  config_.weights = {1, 3};
  const auto data = *PromptDataset::Open(config_, Encode);
  EXPECT_EQ(data->rows(), 110);
  std::map<std::string, std::map<std::string, int>> drawn;
  std::vector<uint64_t> ids;
  std::vector<std::string> problems;
  for (int i = 0; i < 400; ++i) {
    const Prompt prompt = *data->Next();
    ++drawn[prompt.source][prompt.problem];
    EXPECT_EQ(prompt.problem, "q" + std::to_string(prompt.row));
    ids.push_back(prompt.id);
    problems.push_back(prompt.problem);
  }
  EXPECT_GT(drawn["a"].size(), 60);  // 100 draws on average, of its 100 rows
  EXPECT_EQ(drawn["b"].size(), 10);  // each about 30 times
  for (const auto& [problem, times] : drawn["b"]) EXPECT_GT(times, 15) << problem;
  const auto resumed = *PromptDataset::Open(config_, Encode);
  resumed->Seek(ids[250] + 1);
  EXPECT_EQ(resumed->Next()->problem, problems[251]);
  config_.weights = {1};
  EXPECT_TRUE(absl::IsInvalidArgument(PromptDataset::Open(config_, Encode).status()));
}

TEST_F(PromptDatasetTest, TheSplitPartsRowsByTheirKey) {
  std::string rows;
  for (int i = 0; i < 600; ++i) {
    absl::StrAppend(&rows, R"({"problem": "q)", i, R"(", "answer": "a", "of": {"image": ")",
                    i % 200, "\"}}\n");
  }
  config_.files = {scratch_.Write("a.jsonl", rows)};
  config_.split = {.25, "of.image"};
  const auto parts = [&](PromptDataset::Part part) {
    config_.part = part;
    const auto data = *PromptDataset::Open(config_, Encode);
    std::set<int64_t> given;
    PromptStream stream = OnePass(*data, 0);
    while (true) {
      const std::optional<Prompt> prompt = *stream();
      if (!prompt.has_value()) break;
      EXPECT_EQ(prompt->problem, "q" + std::to_string(prompt->row));
      EXPECT_TRUE(given.insert(prompt->row).second);
    }
    EXPECT_EQ(data->rows(), part == PromptDataset::Part::kTrain ? 600 : int64_t(given.size()));
    return given;
  };
  const std::set<int64_t> train = parts(PromptDataset::Part::kTrain);
  const std::set<int64_t> held_out = parts(PromptDataset::Part::kValidation);
  EXPECT_EQ(train.size() + held_out.size(), 600);
  EXPECT_NEAR(static_cast<double>(held_out.size()), 150, 60);
  for (const int64_t row : held_out) {
    EXPECT_EQ(train.count(row), 0);
    EXPECT_EQ(held_out.count((row + 200) % 600), 1);  // the same image
  }
  config_.split.val_fraction = 1e-9;
  EXPECT_TRUE(absl::IsNotFound(PromptDataset::Open(config_, Encode).status()));
  config_.split.key = "picture";
  const absl::Status missing = PromptDataset::Open(config_, Encode).status();
  EXPECT_NE(std::string(missing.message()).find("a.jsonl:1: row 1: no column 'picture'"),
            std::string::npos)
      << missing;
}

TEST_F(PromptDatasetTest, HeldOutRowsAreNotCountedAsTooLong) {
  config_.split = {.5, "problem"};
  config_.part = PromptDataset::Part::kTrain;
  const auto data = Open(Rows(0, 50));
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(data->Next().ok());
  EXPECT_EQ(data->skipped(), 0);
  EXPECT_GT(data->position(), 50);
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
  EXPECT_EQ(prompts[0].media[0].bytes.get(), prompts[7].media[0].bytes.get());
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
  EXPECT_EQ(config.part, PromptDataset::Part::kAll);
  data.train_files = {"a", "b"};
  data.weights = {1, 2};
  data.val_fraction = .1;
  EXPECT_EQ(TrainDataConfig(data).weights, data.weights);
  EXPECT_EQ(TrainDataConfig(data).part, PromptDataset::Part::kTrain);
  EXPECT_EQ(HeldOutDataConfig(data).files, data.train_files);
  EXPECT_EQ(HeldOutDataConfig(data).part, PromptDataset::Part::kValidation);
  EXPECT_EQ(HeldOutDataConfig(data).split.key, "question");
  EXPECT_EQ(TrainRows(data, 1000), 900);
}

}  // namespace
}  // namespace ziprl
