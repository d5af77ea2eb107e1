#include "trainer/data/row_file.h"

#include <gtest/gtest.h>

#include "tests/trainer/data/scratch.h"

namespace ziprl {
namespace {

struct FileCase {
  std::string contents;
  std::vector<std::string> rows;
};

class RowFileTest : public testing::TestWithParam<FileCase> {};

TEST_P(RowFileTest, FindsTheRows) {
  const Scratch scratch;
  const auto file = RowFile::Open(scratch.Write("rows.jsonl", GetParam().contents));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->rows(), static_cast<int64_t>(GetParam().rows.size()));
  for (size_t i = 0; i < GetParam().rows.size(); ++i) {
    EXPECT_EQ(*(*file)->Read(static_cast<int64_t>(i)), GetParam().rows[i]);
  }
  EXPECT_TRUE(absl::IsOutOfRange((*file)->Read((*file)->rows()).status()));
  EXPECT_TRUE(absl::IsOutOfRange((*file)->Read(-1).status()));
}

INSTANTIATE_TEST_SUITE_P(Contents, RowFileTest,
                         testing::Values(FileCase{"", {}}, FileCase{"\n\n", {}},
                                         FileCase{"a\nb\n", {"a", "b"}},
                                         FileCase{"a\nb", {"a", "b"}},
                                         FileCase{"\n \t\na\n\n\nb\n \n", {"a", "b"}},
                                         FileCase{" a \r\n", {" a \r"}}));

// Lines that end, begin and break at the 4 MiB the index is read by.
class LongLineTest : public testing::TestWithParam<std::tuple<int, char>> {};

TEST_P(LongLineTest, IsOneRow) {
  const auto& [length, filler] = GetParam();
  std::string line;
  line.assign(static_cast<size_t>(length), filler);
  line += "x";
  const Scratch scratch;
  const auto file = RowFile::Open(scratch.Write("rows.jsonl", line + "\n\nlast"));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->rows(), 2);
  EXPECT_TRUE(*(*file)->Read(0) == line);
  EXPECT_EQ(*(*file)->Read(1), "last");
}

INSTANTIATE_TEST_SUITE_P(Lengths, LongLineTest,
                         testing::Combine(testing::Values((4 << 20) - 3, (4 << 20) - 2,
                                                          (4 << 20) - 1, 4 << 20, 5 << 20),
                                          testing::Values('x', ' ')));

TEST(RowFileErrorTest, NamesTheFile) {
  const Scratch scratch;
  const absl::Status missing = RowFile::Open(scratch.Path("none.jsonl")).status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_NE(std::string(missing.message()).find("none.jsonl"), std::string::npos);
  EXPECT_FALSE(RowFile::Open(scratch.dir()).ok());
}

TEST(RowFileErrorTest, NamesLineAndRow) {
  const Scratch scratch;
  const auto file = *RowFile::Open(scratch.Write("rows.jsonl", "\n \nfirst\n\nsecond\n"));
  const absl::Status status = file->InRow(absl::InvalidArgumentError("bad"), 1);
  EXPECT_NE(std::string(status.message()).find("rows.jsonl:5: row 2: bad"), std::string::npos);
}

TEST(RowFileErrorTest, ATruncatedFileIsNoticed) {
  const Scratch scratch;
  const std::string path = scratch.Write("rows.jsonl", "first\nsecond\n");
  const auto file = *RowFile::Open(path);
  scratch.Write("rows.jsonl", "fi");
  EXPECT_TRUE(absl::IsDataLoss(file->Read(1).status()));
}

}  // namespace
}  // namespace ziprl
