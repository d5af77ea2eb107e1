#include "trainer/benchmarks/mmbench.h"

#include "tests/trainer/benchmarks/benchmark_case.h"

namespace ziprl {
namespace {

// Two questions of three and two options with all rotations, the image of each held once.
std::string Table() {
  const std::string header =
      "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\tl2-category\tsplit\timage\n";
  const std::string png(kPng, 22), big(82, 'A');  // longer than a reference
  return absl::StrCat(header, "7\tWhich?\tLook.\tcat\tdog\tcow\t\tA\tscene\tcoarse\tdev\t", png,
                      big, "\n",
                      "1000007\tWhich?\tLook.\tdog\tcow\tcat\t\tC\tscene\tcoarse\tdev\t7\n",
                      "2000007\tWhich?\tLook.\tcow\tcat\tdog\t\tB\tscene\tcoarse\tdev\t7\n",
                      "8\tIs it 红色?\t\tyes\tno\t\t\tA\tcolour\tfine\tdev\t", png, big, "\n",
                      "1000008\tIs it 红色?\t\tno\tyes\t\t\tB\tcolour\tfine\tdev\t8\n");
}

TEST(MmBenchTest, PromptsAndImagesThatOtherRowsHold) {
  BenchmarkCase bench("mmbench");
  bench.scratch.Write("MMBench_DEV_EN.tsv", Table());
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  const PromptStream stream = bench.data->OnePass();
  const Prompt first = **stream();
  EXPECT_EQ(bench.text,
            "[I]Hint: Look.\nQuestion: Which?\nOptions:\nA. cat\nB. dog\nC. cow\nPlease select the "
            "correct answer from the options above.");
  const Prompt second = **stream();
  EXPECT_EQ(second.media[0].content_hash, first.media[0].content_hash);
  EXPECT_EQ(second.source, "mmbench");
  EXPECT_EQ(second.kind, "mmbench/scene");
  EXPECT_EQ(second.extra.at("id"), "\"1000007\"");
  EXPECT_EQ(second.row, 1);
  (void)stream();
  (void)stream();
  EXPECT_EQ(bench.text, "[I]Question: Is it 红色?\nOptions:\nA. yes\nB. no\n请直接回答选项字母。");
  EXPECT_TRUE(stream()->has_value());
  EXPECT_FALSE(stream()->has_value());
  EXPECT_EQ(bench.benchmark.VlmEvalKitName(bench.data->first_file()), "MMBench_DEV_EN");
}

TEST(MmBenchTest, AQuestionIsRightWhenEveryRotationIs) {
  BenchmarkCase bench("mmbench");
  bench.scratch.Write("MMBench_DEV_EN.tsv", Table());
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  auto figures = bench.Figures({"7", "1000007", "8", "1000008"});
  EXPECT_EQ(figures["circular"], 50);
  EXPECT_EQ(figures["vanilla"], 80);
  EXPECT_EQ(figures["l2-category/coarse"], 0);
  EXPECT_EQ(figures["category/colour"], 100);
  EXPECT_EQ(bench.Figures({"7", "1000007", "2000007"})["category/scene"], 100);
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[1], "C"), 1);
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[1], "cat"), 1);
  EXPECT_EQ(bench.benchmark.Score(bench.data->items()[1], "A"), 0);
}

TEST(MmBenchTest, AHalfPresentGroupIsAnError) {
  BenchmarkCase bench("mmbench");
  std::string table = Table();
  table.erase(table.rfind("1000008"));
  bench.scratch.Write("MMBench_DEV_EN.tsv", table);
  const std::string error(bench.Open().message());
  EXPECT_NE(error.find("question 8 has 1 of its 2 rotations: no row with index 1000008"),
            std::string::npos)
      << error;
}

TEST(MmBenchTest, AReleaseWithoutRotations) {
  BenchmarkCase bench("mmbench");
  bench.scratch.Write("mmbench.tsv",
                      absl::StrCat("index\tquestion\tA\tB\tanswer\timage\n1\tq\ta\tb\t"
                                   "A\t",
                                   kPng, "\n2\tq\ta\tb\tB\t", kPng, "\n"));
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  EXPECT_EQ(bench.Figures({"2"})["circular"], 50);
}

TEST(MmBenchTest, ALimitTakesWholeQuestions) {
  BenchmarkCase bench("mmbench");
  bench.scratch.Write("MMBench_DEV_EN.tsv", Table());
  bench.config.limit = 1;
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  std::vector<std::string> groups;
  const PromptStream stream = bench.data->OnePass();
  for (auto prompt = stream(); prompt->has_value(); prompt = stream()) {
    groups.push_back(bench.data->items()[(*prompt)->id].group);
  }
  EXPECT_EQ(groups.size(), groups[0] == "7" ? 3 : 2);
  EXPECT_EQ(std::count(groups.begin(), groups.end(), groups[0]), groups.size());
}

}  // namespace
}  // namespace ziprl
