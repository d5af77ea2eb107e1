#include "trainer/benchmarks/benchmark_data.h"

#include "tests/trainer/benchmarks/benchmark_case.h"

namespace ziprl {
namespace {

std::string ErrorOf(BenchmarkCase& bench) { return std::string(bench.Open().message()); }

void ExpectSays(const std::string& error, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(error.find(part), std::string::npos) << part << " is not in: " << error;
  }
}

std::string Row(const std::string& index) {
  return absl::StrCat(index, "\tWhat?\t12\t", kPng, "\n");
}

TEST(BenchmarkDataTest, AFolderWithoutItsFilesSaysWhatWasLookedFor) {
  for (const Benchmark* benchmark : Benchmarks()) {
    BenchmarkCase bench(benchmark->info().name);
    ExpectSays(ErrorOf(bench), {benchmark->info().name, bench.scratch.dir(), "*.tsv"});
  }
}

TEST(BenchmarkDataTest, AnUnknownBenchmarkListsThoseThereAre) {
  ExpectSays(std::string(FindBenchmark("mmbech").status().message()),
             {"'mmbech'", "mme, mmbench, mmstar, chartqa, textvqa, ocrbench, mmmu_pro, videomme"});
}

TEST(BenchmarkDataTest, AMissingColumnIsNamedWithThoseThereAre) {
  BenchmarkCase bench("chartqa");
  bench.scratch.Write("a.tsv", absl::StrCat("index\tquery\timage\n1\tWhat?\t", kPng, "\n"));
  ExpectSays(ErrorOf(bench), {"a.tsv:2: row 1", "no column 'answer' or 'label'", "index, query"});
}

TEST(BenchmarkDataTest, AMissingImageColumnIsAnErrorAtOnce) {
  BenchmarkCase bench("chartqa");
  bench.scratch.Write("a.tsv", "index\tquestion\tanswer\n1\tWhat?\t12\n");
  ExpectSays(ErrorOf(bench), {"row 1", "no column 'image'", "answer, index, question"});
}

TEST(BenchmarkDataTest, AnIdThatOccursTwice) {
  BenchmarkCase bench("chartqa");
  bench.scratch.Write("a.tsv", "index\tquestion\tanswer\timage\n" + Row("5") + Row("6"));
  bench.scratch.Write("b.tsv", "index\tquestion\tanswer\timage\n" + Row("6"));
  ExpectSays(ErrorOf(bench), {"b.tsv:2: row 1", "id '6' is that of row 2", "a.tsv"});
}

TEST(BenchmarkDataTest, APromptThatIsTooLongIsNoneToLeaveOut) {
  BenchmarkCase bench("chartqa");
  bench.config.max_prompt_length = 50;
  bench.scratch.Write("a.tsv", "index\tquestion\tanswer\timage\n" + Row("5"));
  ExpectSays(ErrorOf(bench), {"row 1", "data.max_prompt_length is 50"});
}

TEST(BenchmarkDataTest, SystemAndFormatPromptsOfTheRun) {
  BenchmarkCase bench("chartqa");
  bench.config.system_prompt = "Be brief.";
  bench.config.format_prompt = " End.";
  bench.scratch.Write("a.tsv", "index\tquestion\tanswer\timage\n" + Row("5"));
  ASSERT_EQ(bench.Open(), absl::OkStatus());
  EXPECT_EQ(bench.text,
            "Be brief.[I]What?\nPlease try to answer the question with short words or phrases if "
            "possible. End.");
}

TEST(BenchmarkDataTest, ALimitIsAFixedChoice) {
  std::vector<std::vector<uint64_t>> chosen;
  for (int pass = 0; pass < 2; ++pass) {
    BenchmarkCase bench("chartqa");
    std::string table = "index\tquestion\tanswer\timage\n";
    for (int i = 0; i < 100; ++i) table += Row(absl::StrCat(i));
    bench.scratch.Write("a.tsv", table);
    bench.config.limit = 10;
    ASSERT_EQ(bench.Open(), absl::OkStatus());
    EXPECT_EQ(bench.data->questions(), 10);
    EXPECT_EQ(bench.data->items().size(), 100);
    chosen.emplace_back();
    const PromptStream stream = bench.data->OnePass();
    for (auto prompt = stream(); prompt->has_value(); prompt = stream()) {
      chosen.back().push_back((*prompt)->id);
    }
  }
  EXPECT_EQ(chosen[0], chosen[1]);
  EXPECT_NE(chosen[0], (std::vector<uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

}  // namespace
}  // namespace ziprl
