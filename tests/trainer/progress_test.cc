#include "trainer/progress.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace ziprl {
namespace {

// What was written to a FILE in memory.
class Screen {
 public:
  Screen() : file_(open_memstream(&text_, &size_)) {}
  ~Screen() {
    std::fclose(file_);
    std::free(text_);
  }
  std::FILE* file() { return file_; }
  std::string Text() {
    std::fflush(file_);
    return {text_, size_};
  }

 private:
  char* text_ = nullptr;
  size_t size_ = 0;
  std::FILE* file_;
};

TEST(ProgressTest, PlainLinesWhereThereIsNoTerminal) {
  Screen screen;
  FakeClock clock;
  Progress progress("train", 0, 4, screen.file(), &clock);
  clock.Advance(absl::Seconds(50));
  progress.Update(1, "acc 0.5");
  progress.Note("saved");
  progress.Update(4, "acc 1");
  progress.Finish();
  EXPECT_EQ(screen.Text(), "train 1/4 ETA 2m30s  acc 0.5\nsaved\ntrain 4/4  acc 1\n");
}

TEST(ProgressTest, ABarOnATerminal) {
  Screen screen;
  FakeClock clock;
  Progress progress("eval", 0, 2, screen.file(), &clock);
  progress.set_terminal(true);
  clock.Advance(absl::Seconds(3));
  progress.Update(1, "x");
  progress.Note("n");
  progress.Finish();
  EXPECT_EQ(screen.Text(), "\r\033[Keval [############............] 1/2 ETA 3s  x\r\033[Kn\n");
}

TEST(ProgressTest, TimeLeftCountsFromWhereThisProcessBegan) {
  Screen screen;
  FakeClock clock;
  Progress progress("train", 90, 100, screen.file(), &clock);
  clock.Advance(absl::Seconds(10));
  progress.Update(91, "");
  EXPECT_EQ(screen.Text(), "train 91/100 ETA 1m30s  \n");
}

struct DurationCase {
  int seconds;
  const char* text;
};

class ShortDurationTest : public testing::TestWithParam<DurationCase> {};

TEST_P(ShortDurationTest, Text) {
  EXPECT_EQ(ShortDuration(absl::Seconds(GetParam().seconds)), GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(Durations, ShortDurationTest,
                         testing::Values(DurationCase{0, "0s"}, DurationCase{59, "59s"},
                                         DurationCase{60, "1m00s"}, DurationCase{3599, "59m59s"},
                                         DurationCase{3600, "1h00m"},
                                         DurationCase{90061, "25h01m"}));

}  // namespace
}  // namespace ziprl
