#include "trainer/data/row.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/trainer/data/scratch.h"
#include "trainer/data/image_store.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

class RowTest : public testing::Test {
 protected:
  RowTest() {
    scratch_.Write("a.png", "image a");
    scratch_.Write("b.png", "image b");
  }
  absl::StatusOr<Row> Parse(const std::string& line) {
    return ParseRow(line, options_, scratch_.dir(), store_);
  }
  const Scratch scratch_;
  RowOptions options_;
  ImageStore store_;
};

std::string Shape(const Row& row) {  // "user:T I T" per turn
  std::string out;
  for (const Message& message : row.messages) {
    out += message.role + ":";
    for (const ContentItem& item : message.content) {
      out += item.kind == ContentItem::Kind::kImage ? "<I>" : item.text;
    }
    out += "|";
  }
  return out;
}

TEST_F(RowTest, ProblemRow) {
  const auto row = Parse(R"({"problem": "<image>What is <image>it?", "answer": 4, "kind": "count",
                             "images": ["a.png", "b.png"], "data_source": "toy", "level": {"x": 1}})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(Shape(*row), "user:<I>What is <I>it?|");
  EXPECT_EQ(row->problem, "<image>What is <image>it?");
  EXPECT_EQ(row->answer, "4");
  EXPECT_EQ(row->kind, "count");
  EXPECT_EQ(row->source, "toy");
  ASSERT_EQ(row->images.size(), 2);
  EXPECT_EQ(*row->images[0].bytes, "image a");
  EXPECT_EQ(*row->images[1].bytes, "image b");
  EXPECT_EQ(row->extra, (std::map<std::string, std::string>{{"level", R"({"x":1})"}}));
}

TEST_F(RowTest, PromptsAroundTheProblem) {
  options_.system_prompt = "Be brief.";
  options_.format_prompt = " One word.";
  const auto row = Parse(R"({"problem": "Why?", "answer": "so"})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(Shape(*row), "system:Be brief.|user:Why? One word.|");
  EXPECT_EQ(row->problem, "Why?");
}

TEST_F(RowTest, MessagesRowWithFinalAnswer) {
  const auto row = Parse(R"({"messages": [{"role": "system", "content": "S"},
      {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]},
      {"role": "assistant", "content": "red <image>"}], "image": "a.png", "response": "r"})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(Shape(*row), "system:S|user:<I>What?|assistant:red <image>|");
  EXPECT_EQ(row->answer, "red <image>");
  EXPECT_EQ(row->problem, "<image>What?");
  EXPECT_EQ(row->extra.at("response"), "\"r\"");
  EXPECT_EQ(row->images.size(), 1);
}

TEST_F(RowTest, ItemsMayCarryTheirImages) {
  const auto row = Parse(R"({"messages": [{"role": "user", "content": [
      {"type": "image", "image": "b.png"}, {"type": "image"}, {"type": "text", "text": "?"}]}],
      "images": ["a.png"], "answer": "x"})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(*row->images[0].bytes, "image b");
  EXPECT_EQ(*row->images[1].bytes, "image a");
}

TEST_F(RowTest, VerlRow) {
  const auto row = Parse(R"({"prompt": [{"role": "user", "content": "<image>What?"}],
      "images": [{"bytes": "aW1hZ2UgYQ==", "path": null}], "data_source": "geo",
      "reward_model": {"style": "rule", "ground_truth": "7"}, "extra_info": {"index": 3}})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->answer, "7");
  EXPECT_EQ(*row->images[0].bytes, "image a");
  EXPECT_EQ(row->extra.count("reward_model"), 1);
}

TEST_F(RowTest, TrlRows) {
  for (const char* line :
       {R"({"prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "What?"}],
            "image": "a.png", "solution": "7"})",
        R"({"prompt": [{"role": "system", "content": "S"}, {"role": "user", "content":
            [{"type": "image", "text": null}, {"type": "text", "text": "What?"}]}],
            "images": ["a.png"], "answer": "7", "solution": "8"})"}) {
    const auto row = Parse(line);
    ASSERT_TRUE(row.ok()) << row.status();
    EXPECT_EQ(Shape(*row), "system:S|user:<I>What?|");
    EXPECT_EQ(row->answer, "7");
    EXPECT_EQ(row->extra.count("solution"), 1);  // rewards may ask for it by its name
  }
  const auto plain = Parse(R"({"prompt": "What?", "images": ["a.png", "b.png"], "solution": "7"})");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(Shape(*plain), "user:<I><I>What?|");
}

TEST_F(RowTest, KeysNameColumnsAndTheirMembers) {
  options_.prompt_key = "turns";
  options_.answer_key = "meta.label.text";
  options_.image_key = "pictures";
  const auto row = Parse(R"({"turns": [{"role": "user", "content": "<image>What?"}],
      "pictures": [{"image": "file://a.png"}], "meta": {"label": {"text": "x"}, "id": 3}})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(Shape(*row), "user:<I>What?|");
  EXPECT_EQ(row->answer, "x");
  EXPECT_EQ(row->extra,
            (std::map<std::string, std::string>{{"meta", R"({"id":3,"label":{"text":"x"}})"}}));
}

TEST_F(RowTest, VideosAreReferences) {
  const std::string path = scratch_.Write("clip.mp4", "clip");
  const char line[] = R"({"problem": "<image><video>What?", "answer": "x", "images": ["a.png"],
      "videos": ["clip.mp4"]})";
  const auto row = Parse(line);
  ASSERT_TRUE(row.ok()) << row.status();
  ASSERT_EQ(row->videos.size(), 1);
  EXPECT_EQ(row->videos[0].source, path);
  EXPECT_EQ(row->videos[0].path, std::filesystem::path(path).lexically_normal());
  EXPECT_EQ(row->videos[0].bytes, nullptr);
  EXPECT_EQ(row->videos[0].kind, MediaKind::kVideo);
  EXPECT_EQ(row->videos[0].content_hash, ContentHash(MediaKind::kVideo, "clip"));
  EXPECT_NE(row->videos[0].content_hash, ContentHash(MediaKind::kImage, "clip"));
  EXPECT_EQ(row->problem, "<image><video>What?");
  scratch_.Write("clip.mp4", "another clip");
  const auto changed = Parse(line);
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(changed->videos[0].content_hash, ContentHash(MediaKind::kVideo, "another clip"));
  std::filesystem::remove(path);
  EXPECT_EQ(ColumnOf(Parse(line).status()), "videos");
}

TEST_F(RowTest, VideosInTheRow) {
  for (const char* video : {R"({"bytes": "R0lGODlh", "path": "a.gif"})",
                            R"("data:image/gif;base64,R0lGODlh")", R"("R0lGODlh")"}) {
    const auto row =
        Parse(R"({"problem": "<video>", "answer": "x", "videos": [)" + std::string(video) + "]}");
    ASSERT_TRUE(row.ok()) << video << row.status();
    EXPECT_EQ(*row->videos[0].bytes, "GIF89a");
    EXPECT_EQ(row->videos[0].kind, MediaKind::kVideo);
  }
}

TEST_F(RowTest, MediaStandInTheOrderOfTheirMarks) {
  scratch_.Write("v.mp4", "clip");
  const auto row = Parse(R"({"problem": "<image><video>x<image>", "answer": "x",
                             "images": ["b.png", "a.png"], "videos": "v.mp4"})");
  ASSERT_TRUE(row.ok()) << row.status();
  const std::vector<MediaRef> media = MediaOf(*row);
  ASSERT_EQ(media.size(), 3);
  EXPECT_EQ(*media[0].bytes, "image b");
  EXPECT_EQ(media[1].kind, MediaKind::kVideo);
  EXPECT_EQ(*media[2].bytes, "image a");
}

TEST_F(RowTest, WithoutMarksImagesStandBeforeVideos) {
  scratch_.Write("v.mp4", "clip");
  const auto row =
      Parse(R"({"prompt": "Why?", "answer": "x", "image": "a.png", "video": "v.mp4"})");
  ASSERT_TRUE(row.ok()) << row.status();
  const std::vector<MediaRef> media = MediaOf(*row);
  ASSERT_EQ(media.size(), 2);
  EXPECT_EQ(media[0].kind, MediaKind::kImage);
  EXPECT_EQ(media[1].kind, MediaKind::kVideo);
}

TEST_F(RowTest, VideosThatChooseTheirOwnFramesAreRefused) {
  scratch_.Write("v.mp4", "clip");
  const absl::Status in_column = Parse(R"({"problem": "<video>", "answer": "x",
      "videos": [{"type": "video", "video": "v.mp4", "fps": 1}]})")
                                     .status();
  EXPECT_EQ(ColumnOf(in_column), "videos");
  EXPECT_NE(std::string(in_column.message()).find("'fps'"), std::string::npos) << in_column;
  const absl::Status in_item = Parse(R"({"messages": [{"role": "user", "content": [
      {"type": "video", "video": "v.mp4", "max_pixels": 9}]}], "answer": "x"})")
                                   .status();
  EXPECT_NE(std::string(in_item.message()).find("'max_pixels'"), std::string::npos) << in_item;
}

TEST_F(RowTest, ImageForms) {
  for (const char* image : {R"("a.png")", R"({"path": "a.png"})",
                            R"({"bytes": null, "path": "a.png"})", R"({"bytes": "aW1hZ2UgYQ=="})",
                            R"("data:image/png;base64,aW1hZ2UgYQ==")", R"(["a.png"])"}) {
    const auto row =
        Parse(R"({"problem": "<image>", "answer": "x", "images": )" + std::string(image) + "}");
    ASSERT_TRUE(row.ok()) << image << row.status();
    EXPECT_EQ(*row->images[0].bytes, "image a");
  }
}

TEST_F(RowTest, ImagesAsTextOrFileUri) {
  // Base64 of what begins as a GIF; a name that a file has is that file.
  const std::string gif = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=";
  const auto parse = [&](const std::string& image) {
    return Parse(R"({"problem": "<image>", "answer": "x", "images": [")" + image + "\"]}");
  };
  ASSERT_TRUE(parse(gif).ok()) << parse(gif).status();
  EXPECT_EQ(parse(gif)->images[0].bytes->substr(0, 6), "GIF89a");
  EXPECT_EQ(parse(gif)->images[0].bytes->size(), 29);
  EXPECT_NE(std::string(parse("R0lGODlhAQABAAAAACwAAAAA*").status().message()).find("base64"),
            std::string::npos);
  scratch_.Write(gif, "image a");
  EXPECT_EQ(*parse(gif)->images[0].bytes, "image a");
  EXPECT_EQ(*parse("file://" + scratch_.dir() + "/b.png")->images[0].bytes, "image b");
}

TEST_F(RowTest, SameContentIsSharedWhateverItsName) {
  scratch_.Write("copy.png", "image a");
  const auto row = Parse(R"({"problem": "<image><image><image>", "answer": "x",
      "images": ["a.png", "copy.png", {"bytes": "aW1hZ2UgYQ=="}]})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->images[0].bytes, row->images[1].bytes);
  EXPECT_EQ(row->images[0].bytes, row->images[2].bytes);
  EXPECT_EQ(row->images[0].content_hash, row->images[2].content_hash);
  EXPECT_EQ(store_.live(), 1);
}

TEST_F(RowTest, ListsAreIndependentQuestions) {
  const auto rows = ParseQuestions(R"({"problem": ["<image>A?", "<image>B?"], "answer": ["a", 2],
      "images": ["a.png"], "kind": "k"})",
                                   options_, scratch_.dir(), store_);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2);
  EXPECT_EQ((*rows)[1].problem, "<image>B?");
  EXPECT_EQ((*rows)[1].answer, "2");
  EXPECT_EQ((*rows)[0].images[0].bytes, (*rows)[1].images[0].bytes);
  const auto one = ParseQuestions(R"({"problem": "A?", "answer": "a"})", options_, "", store_);
  EXPECT_EQ(one->size(), 1);
  EXPECT_FALSE(ParseQuestions(R"({"problem": ["A?"], "answer": "a"})", options_, "", store_).ok());
  EXPECT_FALSE(ParseQuestions(R"({"problem": [], "answer": []})", options_, "", store_).ok());
}

TEST_F(RowTest, AnswerMayBeMissingWhereItIsNotNeeded) {
  EXPECT_FALSE(Parse(R"({"problem": "A?"})").ok());
  options_.require_answer = false;
  EXPECT_TRUE(Parse(R"({"problem": "A?"})").ok());
}

TEST_F(RowTest, ErrorsKnowTheirColumn) {
  EXPECT_EQ(ColumnOf(Parse(R"({"answer": "x"})").status()), "problem");
  EXPECT_EQ(ColumnOf(Parse(R"({"problem": "x"})").status()), "answer");
  EXPECT_EQ(ColumnOf(Parse(R"({"problem": "<image>", "answer": "x"})").status()), "images");
  EXPECT_EQ(ColumnOf(Parse(R"({"problem": "<image>", "answer": "", "image": 3})").status()),
            "image");
  EXPECT_EQ(ColumnOf(Parse(R"({"messages": [{"role": "user"}]})").status()), "messages");
  EXPECT_EQ(ColumnOf(Parse("{").status()), "");
}

struct BadRow {
  const char* line;
  const char* in_error;
};

class BadRowTest : public testing::TestWithParam<BadRow> {};

TEST_P(BadRowTest, SaysWhatIsWrong) {
  ImageStore store;
  const absl::Status status = ParseRow(GetParam().line, RowOptions(), "", store).status();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message()).find(GetParam().in_error), std::string::npos) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Rows, BadRowTest,
    testing::Values(
        BadRow{"{\"problem\": ", "broken JSON"}, BadRow{"[1]", "array, allowed is a JSON object"},
        BadRow{"\"x\"", "string"}, BadRow{R"({"answer": "x"})", "no column 'problem'"},
        BadRow{R"({"problem": "x"})", "no column 'answer'"},
        BadRow{R"({"problem": "x", "answer": null})", "no column 'answer'"},
        BadRow{R"({"problem": "x", "answer": [1]})", "'answer' is array"},
        BadRow{R"({"problem": {}, "answer": "x"})", "'problem' is object"},
        BadRow{R"({"problem": "<image>", "answer": "x"})", "1 <image> marks but 0 images"},
        BadRow{R"({"problem": "x", "answer": "x", "images": [{"bytes": "eA=="}]})",
               "0 <image> marks but 1 images"},
        BadRow{R"({"problem": "<image>", "answer": "x", "images": ["none.png"]})", "none.png"},
        BadRow{R"({"problem": "<image>", "answer": "x", "images": [{"bytes": "%"}]})", "no base64"},
        BadRow{R"({"problem": "<image>", "answer": "x", "images": [{"bytes": ""}]})", "0 bytes"},
        BadRow{R"({"problem": "<image>", "answer": "x", "images": [7]})", "image is number"},
        BadRow{R"({"problem": "<image>", "answer": "x", "images": [{}]})", "allowed is a path"},
        BadRow{R"({"problem": "<image>", "answer": "x", "images": ["data:x"]})", "data URI"},
        BadRow{R"({"problem": "x", "answer": "x", "videos": [{"bytes": "eA=="}]})",
               "0 <video> marks but 1 videos"},
        BadRow{R"({"problem": "<video>", "answer": "x", "videos": ["none.mp4"]})", "none.mp4"},
        BadRow{R"({"problem": "<video>", "answer": "x", "videos": [["a.png", "b.png"]]})",
               "video is array"},
        BadRow{R"({"problem": "<video>", "answer": "x"})", "1 <video> marks but 0 videos"},
        BadRow{R"({"prompt": [{"role": "user", "content": "x"}], "images": [{"bytes": "eA=="}],
                   "reward_model": {"ground_truth": "x"}})",
               "0 <image> marks but 1 images"},
        BadRow{R"({"prompt": [{"role": "user", "content": "<image>"}], "answer": "x",
                   "images": [{"bytes": "eA=="}, {"bytes": "eA=="}]})",
               "1 <image> marks but 2 images"},
        BadRow{R"({"messages": [], "answer": "x"})", "no user turn"},
        BadRow{R"({"messages": [{"role": "tool", "content": "x"}]})", "role 'tool'"},
        BadRow{R"({"messages": [{"role": "user"}]})", "'content'"},
        BadRow{R"({"messages": ["x"]})", "'role'"},
        BadRow{R"({"messages": [{"role": "user", "content": 3}]})", "content is number"},
        BadRow{R"({"messages": [{"role": "user", "content": [{"type": "audio"}]}]})", "\"audio\""},
        BadRow{R"({"messages": [{"role": "user", "content": [{"type": 3}]}]})", "type 3"}));

TEST(RowJsonTest, RefusesWhatIsNestedTooDeep) {
  const std::string deep(100'000, '[');
  const absl::Status status = ParseRowObject("{\"a\": " + deep).status();
  EXPECT_NE(std::string(status.message()).find("nested 100001 deep"), std::string::npos) << status;
  EXPECT_TRUE(ParseRowObject("{\"a\": \"" + deep + "\\\"[\"}").ok());
}

TEST(ImageStoreTest, LetsGoOfWhatNobodyHolds) {
  const Scratch scratch;
  ImageStore store;
  {
    const auto held = store.FromFile(scratch.Write("a.png", "a"));
    ASSERT_TRUE(held.ok());
    EXPECT_EQ(store.live(), 1);
    scratch.Write("a.png", "changed");
    EXPECT_EQ(store.FromFile(scratch.Path("a.png"))->bytes, held->bytes);
  }
  EXPECT_EQ(store.live(), 0);
  EXPECT_EQ(*store.FromFile(scratch.Path("a.png"))->bytes, "changed");
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(store.FromBytes(std::to_string(i), "i").ok());
  EXPECT_EQ(store.live(), 0);
}

}  // namespace
}  // namespace ziprl
