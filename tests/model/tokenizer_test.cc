#include "model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "model/split_pattern.h"
#include "model/unicode.h"
#include "tests/model/temp_dir.h"

namespace ziprl {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Pieces(const std::string& text) {
  std::vector<std::string> pieces;
  SplitPieces(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

const std::vector<std::string>& Corpus() {
  static const std::vector<std::string> corpus = {"the cat sat on the mat", "the hat", "that cat",
                                                  "12 cats"};
  return corpus;
}

std::unique_ptr<Tokenizer> Trained(int vocab = 270) {
  return *Tokenizer::Parse(*TrainTokenizerJson(Corpus(), vocab), "trained");
}

std::string ErrorWith(const std::string& pointer, const json& value) {
  json file = json::parse(*TrainTokenizerJson(Corpus(), 260));
  file[json::json_pointer(pointer)] = value;
  const auto tokenizer = Tokenizer::Parse(file.dump(), "t.json");
  if (tokenizer.ok()) return "no error";
  EXPECT_THAT(tokenizer.status().message(), HasSubstr("t.json"));
  return std::string(tokenizer.status().message());
}

TEST(SplitPatternTest, WordsNumbersAndSymbols) {
  EXPECT_THAT(Pieces("Hello, world 42!"), ElementsAre("Hello", ",", " world", " ", "4", "2", "!"));
  EXPECT_THAT(Pieces("(abc)"), ElementsAre("(abc", ")"));
  EXPECT_THAT(Pieces("a--b"), ElementsAre("a", "--", "b"));
  EXPECT_THAT(Pieces(" !?\r\n\nx"), ElementsAre(" !?\r\n\n", "x"));
}

TEST(SplitPatternTest, Contractions) {
  EXPECT_THAT(Pieces("don't"), ElementsAre("don", "'t"));
  EXPECT_THAT(Pieces("I'LL'Re'x"), ElementsAre("I", "'LL", "'Re", "'x"));
  EXPECT_THAT(Pieces("'\u017f'"), ElementsAre("'\u017f", "'"));
  EXPECT_THAT(Pieces("'l"), ElementsAre("'l"));
  EXPECT_THAT(Pieces("'"), ElementsAre("'"));
}

TEST(SplitPatternTest, Spaces) {
  EXPECT_THAT(Pieces("a   b"), ElementsAre("a", "  ", " b"));
  EXPECT_THAT(Pieces("a  \n  b"), ElementsAre("a", "  \n", " ", " b"));
  EXPECT_THAT(Pieces("a   "), ElementsAre("a", "   "));
  EXPECT_THAT(Pieces("\tx \t!"), ElementsAre("\tx", " ", "\t", "!"));
  EXPECT_THAT(Pieces("  1"), ElementsAre(" ", " ", "1"));
}

TEST(SplitPatternTest, PiecesAreTheText) {
  const std::string text = "x \u4e2d\u6587\u00a0y\n\n 7\u0301 \U0001f600!!";
  std::string joined;
  for (const std::string& piece : Pieces(text)) joined += piece;
  EXPECT_EQ(joined, text);
}

TEST(UnicodeTest, InvalidUtf8) {
  EXPECT_EQ(ReplaceInvalidUtf8("a\xff"
                               "b"),
            "a\uFFFDb");
  EXPECT_EQ(ReplaceInvalidUtf8("\xe2\x82"), "\uFFFD");
  EXPECT_EQ(ReplaceInvalidUtf8("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(ReplaceInvalidUtf8("\xf0\x9f\x98x"), "\uFFFDx");
  EXPECT_EQ(ReplaceInvalidUtf8("\U0001f600"), "\U0001f600");
}

TEST(UnicodeTest, Composition) {
  EXPECT_EQ(Nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(Nfc("\u212b"), "\u00c5");
  EXPECT_EQ(Nfc("q\u0301\u0323"), "q\u0323\u0301");
  EXPECT_EQ(Nfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(Nfc("plain"), "plain");
  EXPECT_EQ(Nfc(std::string("a\0\u0301", 4)), std::string("a\0\u0301", 4));
}

TEST(TokenizerTest, RoundTripsText) {
  const auto tokenizer = Trained();
  for (const std::string text : {"the cat", "unseen w\u00f6rds \U0001f600\n\t", "", " "}) {
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text), false), text);
  }
}

TEST(TokenizerTest, TrainingMergesWhatIsFrequent) {
  const auto tokenizer = Trained();
  EXPECT_EQ(tokenizer->vocab_size(), 270 + 22);
  EXPECT_EQ(tokenizer->Encode(" cat").size(), 1u);
  EXPECT_GE(tokenizer->TokenId("\u0120cat"), 256);
  EXPECT_EQ(*TrainTokenizerJson(Corpus(), 270), *TrainTokenizerJson(Corpus(), 270));
}

TEST(TokenizerTest, TrainingStopsWhenNothingIsLeftToMerge) {
  const auto tokenizer = Trained(5000);
  EXPECT_LT(tokenizer->vocab_size(), 400);
  EXPECT_EQ(tokenizer->Encode("the").size(), 1u);
  EXPECT_FALSE(TrainTokenizerJson(Corpus(), 255).ok());
  EXPECT_EQ((*Tokenizer::Parse(*TrainTokenizerJson({}, 300), "empty"))->vocab_size(), 256 + 22);
}

TEST(TokenizerTest, AddedTokensAreFoundInText) {
  const auto tokenizer = Trained();
  const int32_t start = tokenizer->TokenId("<|im_start|>"), end = tokenizer->TokenId("<|im_end|>");
  EXPECT_EQ(start, 271);
  EXPECT_THAT(tokenizer->Encode("<|im_start|><|im_end|>"), ElementsAre(start, end));
  EXPECT_EQ(tokenizer->Encode("a<|im_end|>").back(), end);
  EXPECT_GT(tokenizer->Encode("<|im_end|").size(), 1u);
  EXPECT_TRUE(tokenizer->IsSpecial(end));
  EXPECT_FALSE(tokenizer->IsSpecial(tokenizer->TokenId("<tool_call>")));
  EXPECT_FALSE(tokenizer->IsSpecial(0));
  EXPECT_FALSE(tokenizer->IsSpecial(-1));
  EXPECT_EQ(tokenizer->TokenId("no such token"), -1);
}

TEST(TokenizerTest, DecodeLeavesOutSpecialTokensWhenAsked) {
  const auto tokenizer = Trained();
  const auto ids = tokenizer->Encode("<|im_start|>cat<tool_call><|im_end|>");
  EXPECT_EQ(tokenizer->Decode(ids, true), "cat<tool_call>");
  EXPECT_EQ(tokenizer->Decode(ids, false), "<|im_start|>cat<tool_call><|im_end|>");
  EXPECT_EQ(tokenizer->Decode({-5, 1 << 20}, false), "");
}

TEST(TokenizerTest, DecodeReplacesHalfCharacters) {
  const auto tokenizer = Trained();
  auto ids = tokenizer->Encode("\U0001f600");
  ids.pop_back();
  EXPECT_EQ(tokenizer->Decode(ids, false), "\uFFFD");
}

TEST(TokenizerTest, ThreadsMayShareIt) {
  const auto tokenizer = Trained();
  const auto want = tokenizer->Encode("the cat sat on the mat");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) EXPECT_EQ(tokenizer->Encode("the cat sat on the mat"), want);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(TokenizerTest, RefusesWhatItDoesNotImplement) {
  EXPECT_THAT(ErrorWith("/model/type", "Unigram"), HasSubstr("Unigram"));
  EXPECT_THAT(ErrorWith("/model/byte_fallback", true), HasSubstr("byte_fallback"));
  EXPECT_THAT(ErrorWith("/model/unk_token", "<unk>"), HasSubstr("unk_token"));
  EXPECT_THAT(ErrorWith("/model/ignore_merges", true), HasSubstr("ignore_merges"));
  EXPECT_THAT(ErrorWith("/normalizer/type", "NFKC"), AllOf(HasSubstr("NFKC"), HasSubstr("NFC")));
  EXPECT_THAT(ErrorWith("/normalizer", nullptr), HasSubstr("normalizer"));
  EXPECT_THAT(ErrorWith("/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\w+"),
              HasSubstr("pattern"));
  EXPECT_THAT(ErrorWith("/pre_tokenizer/pretokenizers/1/add_prefix_space", true),
              HasSubstr("add_prefix_space"));
  EXPECT_THAT(ErrorWith("/pre_tokenizer", nullptr), HasSubstr("pre_tokenizer"));
  EXPECT_THAT(ErrorWith("/decoder/type", "WordPiece"), HasSubstr("decoder"));
  EXPECT_THAT(ErrorWith("/post_processor/type", "TemplateProcessing"), HasSubstr("post_processor"));
  EXPECT_THAT(ErrorWith("/truncation", json::object()), HasSubstr("truncation"));
  EXPECT_THAT(ErrorWith("/added_tokens/0/lstrip", true), HasSubstr("lstrip"));
  EXPECT_THAT(ErrorWith("/added_tokens/0/normalized", true), HasSubstr("normalized"));
}

TEST(TokenizerTest, RefusesDeepNesting) {
  // The error of another option prints its value: without a limit that recursed 100,000 deep.
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  const auto tokenizer = Tokenizer::Parse(R"({"normalizer": {"type": )" + deep + "}}", "t.json");
  EXPECT_THAT(tokenizer.status().message(), AllOf(HasSubstr("t.json"), HasSubstr("100002 deep")));
}

TEST(TokenizerTest, RefusesBrokenVocabularies) {
  EXPECT_THAT(ErrorWith("/model/vocab", json::object()), HasSubstr("not in the vocabulary"));
  EXPECT_THAT(ErrorWith("/model/vocab/a", -1), HasSubstr("\"a\""));
  EXPECT_THAT(ErrorWith("/model/vocab/a", "x"), HasSubstr("\"a\""));
  EXPECT_THAT(ErrorWith("/model/vocab", nullptr), HasSubstr("vocab"));
  EXPECT_THAT(ErrorWith("/model/merges", 3), HasSubstr("merges"));
  EXPECT_THAT(ErrorWith("/model/merges/0", "a b c"), HasSubstr("merge 0"));
  EXPECT_THAT(ErrorWith("/model/merges/0", json::array({"a"})), HasSubstr("merge 0"));
  EXPECT_THAT(ErrorWith("/model/merges/0", json::array({"a", "nothing"})), HasSubstr("nothing"));
  EXPECT_THAT(ErrorWith("/added_tokens", 5), HasSubstr("added_tokens"));
  EXPECT_THAT(ErrorWith("/added_tokens/0/content", ""), HasSubstr("content"));
  EXPECT_THAT(ErrorWith("/added_tokens/0/id", 1e12), HasSubstr("id"));
  EXPECT_THAT(Tokenizer::Parse("{", "t.json").status().message(), HasSubstr("t.json"));
  EXPECT_THAT(Tokenizer::Parse("[]", "t.json").status().message(), HasSubstr("t.json"));
  EXPECT_THAT(Tokenizer::Load("/nonexistent/tokenizer.json").status().message(),
              HasSubstr("/nonexistent"));
}

TEST(TokenizerTest, AVocabularyMustHoldEveryByte) {
  json file = json::parse(*TrainTokenizerJson({}, 256));
  file["model"]["vocab"].erase("\u0120");
  EXPECT_THAT(Tokenizer::Parse(file.dump(), "t.json").status().message(), HasSubstr("byte 32"));
}

}  // namespace
}  // namespace ziprl
