#include "trainer/data/text_file.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tests/trainer/data/scratch.h"

namespace ziprl {
namespace {

struct FileCase {
  std::string contents;
  std::vector<std::string> rows;
};

class LineFileTest : public testing::TestWithParam<FileCase> {};

TEST_P(LineFileTest, FindsTheRows) {
  const Scratch scratch;
  const auto file =
      TextFile::Open(scratch.Write("rows.jsonl", GetParam().contents), TextFile::Kind::kLines);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->rows(), static_cast<int64_t>(GetParam().rows.size()));
  for (size_t i = 0; i < GetParam().rows.size(); ++i) {
    EXPECT_EQ(*(*file)->ReadText(static_cast<int64_t>(i)), GetParam().rows[i]);
  }
  EXPECT_TRUE(absl::IsOutOfRange((*file)->Read((*file)->rows()).status()));
  EXPECT_TRUE(absl::IsOutOfRange((*file)->Read(-1).status()));
}

INSTANTIATE_TEST_SUITE_P(Contents, LineFileTest,
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
  const auto file =
      TextFile::Open(scratch.Write("rows.jsonl", line + "\n\nlast"), TextFile::Kind::kLines);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->rows(), 2);
  EXPECT_TRUE(*(*file)->ReadText(0) == line);
  EXPECT_EQ(*(*file)->ReadText(1), "last");
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

TEST(RowFileErrorTest, AFileThatChangesIsNoticed) {
  const Scratch scratch;
  const std::string path = scratch.Write("rows.jsonl", "first\nsecond\n");
  const auto file = *RowFile::Open(path);
  scratch.Write("rows.jsonl", "fi");
  EXPECT_TRUE(absl::IsDataLoss(file->Read(1).status()));
  scratch.Write("rows.jsonl", "firstsecond--");
  EXPECT_TRUE(absl::IsDataLoss(file->Read(1).status()));
}

std::vector<std::string> TextsOf(const TextFile& file) {
  std::vector<std::string> texts;
  for (int64_t row = 0; row < file.rows(); ++row) texts.push_back(*file.ReadText(row));
  return texts;
}

class ArrayFileTest : public testing::TestWithParam<FileCase> {};

TEST_P(ArrayFileTest, FindsTheRows) {
  const Scratch scratch;
  const auto file =
      TextFile::Open(scratch.Write("rows.json", GetParam().contents), TextFile::Kind::kArray);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(TextsOf(**file), GetParam().rows);
}

INSTANTIATE_TEST_SUITE_P(Contents, ArrayFileTest,
                         testing::Values(FileCase{"[]", {}}, FileCase{" \n[ \n ]\n", {}},
                                         FileCase{"[{\"a\":1}]", {"{\"a\":1}"}},
                                         FileCase{
                                             "[{\"a\": [1, {}]} ,\n {\"b\": \"]},\\\"{\"}\n]",
                                             {"{\"a\": [1, {}]} ", "{\"b\": \"]},\\\"{\"}\n"}}));

struct BrokenArray {
  const char* contents;
  const char* in_error;
};
class BrokenArrayTest : public testing::TestWithParam<BrokenArray> {};

TEST_P(BrokenArrayTest, NamesFileAndByte) {
  const Scratch scratch;
  const absl::Status status =
      RowFile::Open(scratch.Write("rows.json", GetParam().contents), "json").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(std::string(status.message()).find("rows.json: row "), std::string::npos) << status;
  EXPECT_NE(std::string(status.message()).find(GetParam().in_error), std::string::npos) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Contents, BrokenArrayTest,
    testing::Values(BrokenArray{"", "ends at byte 0, expected is '['"},
                    BrokenArray{"{}", "byte 0, expected is '['"},
                    BrokenArray{"[{},", "row 2: broken JSON array: it ends at byte 4"},
                    BrokenArray{"[{}", "ends at byte 3"}, BrokenArray{"[{},]", "at byte 4"},
                    BrokenArray{"[,{}]", "at byte 1, expected is an object"},
                    BrokenArray{"[{}] x", "at byte 5, nothing may follow ']'"},
                    BrokenArray{"[{\"a\": \"x]", "ends at byte 10"}));

// Rows over several blocks, chunks and lines, in every file kind alike.
class ManyRowsTest : public testing::TestWithParam<const char*> {};

TEST_P(ManyRowsTest, EachIsReadByItselfAndInRuns) {
  const bool array = std::string(GetParam()) == "json";
  std::vector<int64_t> lines;
  std::string text = array ? "[\n" : "";
  int64_t line = array ? 2 : 1;
  for (int i = 0; i < 3000; ++i) {
    lines.push_back(line);
    const size_t filler = i % 1000 == 7 ? 5 << 20 : i % 90;  // over a chunk of the index, or small
    const bool blank_line = i % 7 == 0;
    absl::StrAppend(&text, "{\"id\":", i, array ? ",\n" : ",", "\"x\":\"", std::string(filler, '['),
                    "\"}", array && i < 2999 ? "," : "", blank_line ? "\n\n" : "\n");
    line += 1 + blank_line + array;
  }
  if (array) text += "]\n";
  const Scratch scratch;
  const auto file = *RowFile::Open(scratch.Write("rows.txt", text));
  ASSERT_EQ(file->rows(), 3000);
  for (int64_t row : {0, 1, 6, 7, 8, 1006, 1007, 1008, 2000, 2998, 2999}) {
    EXPECT_EQ((*file->Read(row))["id"], row);
    EXPECT_EQ(file->LineOf(row), lines[static_cast<size_t>(row)]);
  }
  for (int64_t begin : {0, 1, 999, 2990}) {
    const RowFile::Rows rows = file->ReadMany(begin, 20, {});
    ASSERT_EQ(static_cast<int64_t>(rows.size()), std::min<int64_t>(20, 3000 - begin));
    for (size_t i = 0; i < rows.size(); ++i)
      EXPECT_EQ((*rows[i])["id"], begin + static_cast<int64_t>(i));
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ManyRowsTest, testing::Values("jsonl", "json"));

TEST(RowFormatTest, IsKnownByNameAndFirstBytes) {
  const Scratch scratch;
  EXPECT_EQ((*RowFile::Open(scratch.Write("a.json", " [{},{}]")))->rows(), 2);
  EXPECT_EQ((*RowFile::Open(scratch.Write("b.json", "{}\n{}\n{}")))->rows(), 3);
  EXPECT_EQ((*RowFile::Open(scratch.Write("c.jsonl", "[1]\n[2]\n")))->rows(), 2);
  EXPECT_EQ((*RowFile::Open(scratch.Write("d.jsonl", "[{}\n]"), "json"))->rows(), 1);
}

}  // namespace
}  // namespace ziprl
