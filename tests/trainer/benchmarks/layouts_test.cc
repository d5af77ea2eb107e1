// The releases' own layouts and prompts, and the figures of the benchmarks that have no file of
// their own here. The Parquet ones are read in tests/e2e.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/trainer/benchmarks/benchmark_case.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;

constexpr char kShort[] =
    "\nPlease try to answer the question with short words or phrases if possible.";

void MakeFolder(const BenchmarkCase& bench, const std::string& name) {
  std::filesystem::create_directories(bench.scratch.Path(name));
}

TEST(MmeTest, TheFoldersOfTheRelease) {
  BenchmarkCase bench("mme");
  MakeFolder(bench, "existence");
  MakeFolder(bench, "OCR/questions_answers_YN");
  MakeFolder(bench, "OCR/images");
  const std::string questions = "Is it?\tYes\nIs it not?\tNo\n";
  for (const char* image : {"1", "2"}) {
    bench.scratch.Write(absl::StrCat("existence/", image, ".txt"), questions);
    bench.scratch.Write(absl::StrCat("existence/", image, ".jpg"), image);
  }
  bench.scratch.Write("OCR/questions_answers_YN/0001.txt", questions);
  bench.scratch.Write("OCR/images/0001.png", "three");
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  ASSERT_EQ(bench.data->questions(), 6);
  const PromptStream stream = bench.data->OnePass();
  EXPECT_EQ(*(**stream()).media[0].bytes, "1");
  EXPECT_EQ(bench.text, "[I]Is it?");
  for (int i = 0; i < 3; ++i) (void)stream();
  EXPECT_EQ(*(**stream()).media[0].bytes, "three");
  auto figures = bench.Figures(
      {"existence/1 Is it?", "existence/1 Is it not?", "existence/2 Is it?", "OCR/0001 Is it?"});
  EXPECT_EQ(figures["existence/accuracy"], 75);
  EXPECT_EQ(figures["existence/accuracy+"], 50);
  EXPECT_EQ(figures["existence"], 125);
  EXPECT_EQ(figures["OCR"], 50);
  EXPECT_EQ(figures["perception"], 175);
  EXPECT_EQ(figures["cognition"], 0);
  EXPECT_EQ(figures["score"], 175);
}

TEST(MmeTest, AnImageWithOneQuestionIsAnError) {
  BenchmarkCase bench("mme");
  MakeFolder(bench, "count");
  bench.scratch.Write("count/1.txt", "Is it?\tYes\n");
  const std::string error(bench.Open().message());
  EXPECT_NE(error.find("image 'count/1' has 1 question(s)"), std::string::npos) << error;
}

TEST(MmStarTest, OptionsWithinTheQuestion) {
  BenchmarkCase bench("mmstar");
  bench.scratch.Write(
      "MMStar.tsv",
      absl::StrCat(
          "index\tquestion\tanswer\tcategory\tl2_category\timage\n",
          "0\t\"Which?\nOptions: A: a cat, B: two, three, C: C, D: none\"\tB\tmath\tgeometry\t",
          kPng, "\n1\tNo options here\tA\tmath\tnumbers\t", kPng, "\n"));
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  EXPECT_EQ(bench.text,
            "[I]Question: Which?\nOptions:\nA. a cat\nB. two, three\nC. C\nD. none\nPlease select "
            "the correct answer from the options above.");
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[0], "two, three"), 1);
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[1], "A"), 1);
  auto figures = bench.Figures({"1"});
  EXPECT_EQ(figures["accuracy"], 50);
  EXPECT_EQ(figures["category/math"], 50);
  EXPECT_EQ(figures["l2_category/numbers"], 100);
}

TEST(ChartQaTest, TheJsonOfTheRelease) {
  BenchmarkCase bench("chartqa");
  MakeFolder(bench, "test/png");
  bench.scratch.Write("test/png/a.png", "chart");
  bench.scratch.Write("test/test_human.json",
                      R"([{"imgname": "a.png", "query": "How many?", "label": "14"},
                          {"imgname": "a.png", "query": "Which?", "label": "red"}])");
  bench.scratch.Write("test/test_augmented.json",
                      R"([{"imgname": "a.png", "query": "How many?", "label": "3"}])");
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  EXPECT_EQ(bench.text, absl::StrCat("[I]How many?", kShort));
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[1], " 14.5\n"), 1);
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[2], "Red"), 1);
  auto figures = bench.Figures({"0", "1"});
  EXPECT_EQ(figures["split/test_augmented"], 100);
  EXPECT_EQ(figures["split/test_human"], 50);
  EXPECT_NEAR(figures["accuracy"], 200. / 3, 1e-9);
}

TEST(TextVqaTest, TheJsonOfTheRelease) {
  BenchmarkCase bench("textvqa");
  MakeFolder(bench, "train_images");
  bench.scratch.Write("train_images/abc.jpg", "photo");
  const Json answers = {"nokia", "nokia", "Nokia", "phone", "x", "x", "x", "x", "x", "x"};
  const Json row = {{"question_id", 34602},
                    {"image_id", "abc"},
                    {"question", "what is it?"},
                    {"answers", answers}};
  bench.scratch.Write("TextVQA_0.5.1_val.json", Json{{"data", {row}}}.dump());
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  EXPECT_EQ(bench.text, absl::StrCat("[I]what is it?", kShort));
  EXPECT_NEAR(bench.benchmark.Score(bench.data->items()[0], "NOKIA."), 0.9, 1e-12);
  bench.scratch.Write("TextVQA_0.5.1_val.json", "[1]");
  EXPECT_FALSE(bench.Open().ok());
}

TEST(OcrBenchTest, TheJsonOfTheRelease) {
  BenchmarkCase bench("ocrbench");
  MakeFolder(bench, "OCRBench_Images/x");
  bench.scratch.Write("OCRBench_Images/x/1.jpg", "photo");
  Json rows = Json::array();
  for (const char* type : {"Regular Text Recognition", "Scene Text-centric VQA",
                           "Handwritten Mathematical Expression Recognition"}) {
    rows.push_back({{"dataset_name", "x"},
                    {"id", rows.size()},
                    {"type", type},
                    {"question", "what is written?"},
                    {"answers", {"A b"}},
                    {"image_path", "x/1.jpg"}});
  }
  bench.scratch.Write("OCRBench.json", rows.dump());
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  EXPECT_EQ(bench.text, absl::StrCat("[I]what is written?", kShort));
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[0], "a B"), 1);
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[0], "Ab"), 0);
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[2], "Ab"), 1);
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[2], "ab"), 0);
  auto figures = bench.Figures({"0", "2"});
  EXPECT_EQ(figures["score"], 2);
  EXPECT_EQ(figures["Text Recognition"], 1);
  EXPECT_EQ(figures["category/Scene Text-centric VQA"], 0);
}

TEST(MmmuProTest, SeveralImagesWhereTheTextRefersToThem) {
  BenchmarkCase bench("mmmu_pro");
  const Json row = {{"id", "test_Music_1"},
                    {"question", "Compare <image 2> with <image 1>."},
                    {"options", "['<image 3>', \"it's\", 'x']"},
                    {"answer", "B"},
                    {"subject", "Music"},
                    {"topic_difficulty", "Hard"},
                    {"image_1", {{"bytes", "AAAA"}}},
                    {"image_2", {{"bytes", "BBBB"}}},
                    {"image_3", {{"bytes", "CCCC"}}},
                    {"image_4", nullptr}};
  const auto item =
      bench.benchmark.Read(row, "", **RowFile::Open(bench.scratch.Write("rows.jsonl", row.dump())));
  ASSERT_TRUE(item.ok()) << item.status();
  std::vector<std::string> columns;
  for (const MediaPlace& place : item->images) columns.push_back(place.column);
  EXPECT_EQ(columns, (std::vector<std::string>{"image_2", "image_1", "image_3"}));
  std::string text;
  for (const ContentItem& part : item->content) {
    text += part.kind == ContentItem::Kind::kImage ? "[I]" : part.text;
  }
  EXPECT_EQ(
      text,
      "Question: Compare [I] with [I].\nOptions:\nA. [I]\nB. it's\nC. x\nAnswer directly with "
      "the option letter from the given choices. ");
  EXPECT_EQ(item->tag("discipline"), "Art and Design");
}

TEST(MmmuProTest, TheTableOfVlmEvalKitAndTheVisionSetting) {
  BenchmarkCase bench("mmmu_pro");
  bench.scratch.Write(
      "MMMU_Pro_V.tsv",
      absl::StrCat("index\tquestion\tA\tB\tanswer\tcategory\timage\n"
                   "1\tplaceholder\tx\ty\tB\tMath\t",
                   kPng, "\n", "2\tSee <image 2>\tx\ty\tA\tMath\t['", kPng, "', '", kPng, "']\n",
                   "3\tSee\tx\ty\tA\tHistory\t['", kPng, "', '", kPng, "']\n"));
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  EXPECT_EQ(
      bench.text,
      "[I]Answer the following multiple-choice question in the image. Answer directly with the "
      "option letter from the given choices. ");
  const PromptStream stream = bench.data->OnePass();
  (void)stream();
  EXPECT_EQ((**stream()).media.size(), 1);
  EXPECT_EQ(bench.text.substr(0, 22), "Question: See [I]\nOpti");
  EXPECT_EQ((**stream()).media.size(), 2);
  EXPECT_EQ(bench.text.substr(0, 20), "[I][I]Question: See\n");
  EXPECT_EQ(bench.benchmark.VlmEvalKitName(bench.data->first_file()), "MMMU_Pro_V");
  auto figures = bench.Figures({"1"});
  EXPECT_EQ(figures["category/Math"], 50);
  EXPECT_EQ(figures["discipline/Humanities and Social Science"], 0);
}

TEST(VideoMmeTest, RowsPointAtTheirVideo) {
  const Benchmark& benchmark = **FindBenchmark("videomme");
  const Scratch scratch;
  const Json row = {
      {"video_id", "001"},     {"duration", "short"},      {"domain", "Knowledge"},
      {"sub_category", "Law"}, {"videoID", "fFjv93ACGo8"}, {"question_id", "001-1"},
      {"task_type", "OCR"},    {"question", "When?"},      {"options", {"A. Now.", "B. Then."}},
      {"answer", "B"}};
  const auto file = RowFile::Open(scratch.Write("rows.json", Json{row}.dump()));
  const auto item = benchmark.Read(row, scratch.dir(), **file);
  ASSERT_TRUE(item.ok()) << item.status();
  ASSERT_EQ(item->videos.size(), 1);
  EXPECT_EQ(item->videos[0].paths[0], scratch.dir() + "/data/fFjv93ACGo8.mp4");
  EXPECT_EQ(item->content[0].kind, ContentItem::Kind::kVideo);
  EXPECT_EQ(
      item->content[1].text,
      "\nThese are the frames of a video. Select the best answer to the following "
      "multiple-choice question based on the video. Respond with only the letter (A, B, C, or "
      "D) of the correct option.\nQuestion: When?\nA. Now.\nB. Then.\nAnswer: ");
  EXPECT_EQ(benchmark.Score(*item, "B. Then."), 1);
  BenchmarkItem wrong = *item;
  wrong.id = "001-2";
  wrong.tags[1].second = "long";
  std::map<std::string, double> figures;
  const std::vector<ScoredItem> scored = {{&*item, 1}, {&wrong, 0}};
  for (const Figure& figure : benchmark.Summarise(scored)) figures[figure.name] = figure.value;
  EXPECT_EQ(figures["accuracy"], 50);
  EXPECT_EQ(figures["duration/short"], 100);
  EXPECT_EQ(figures["duration/long"], 0);
  EXPECT_EQ(figures["task_type/OCR"], 50);
}

}  // namespace
}  // namespace ziprl
