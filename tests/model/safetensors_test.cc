#include "model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>

#include "tests/model/temp_dir.h"

namespace ziprl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string FileText(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

std::string ErrorOf(const std::string& contents) {
  TempDir dir;
  const std::string path = dir.Write("x.safetensors", contents);
  const auto file = SafetensorsFile::Open(path);
  if (file.ok()) return "no error";
  EXPECT_THAT(file.status().message(), HasSubstr("x.safetensors"));
  return std::string(file.status().message());
}

std::string ErrorOfEntry(const std::string& entry) {
  return ErrorOf(FileText("{\"w\": " + entry + "}", "12345678"));
}

std::vector<TensorView> Views(const float (&a)[6], const uint8_t (&b)[3]) {
  return {{"layer.a", "F32", {2, 3}, a, sizeof(a)},
          {"b", "U8", {3}, b, sizeof(b)},
          {"empty", "F32", {0, 4}, a, 0}};
}

constexpr float kA[6] = {1, 2, 3, 4, 5, 6};
constexpr uint8_t kB[3] = {7, 8, 9};

TEST(SafetensorsTest, WritesWhatItReads) {
  TempDir dir;
  const std::string path = dir.File("m.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, Views(kA, kB), {{"format", "pt"}}).ok());
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->tensors().size(), 3u);
  EXPECT_EQ((*file)->metadata().at("format"), "pt");
  const TensorView* a = (*file)->Find("layer.a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(a->dtype, "F32");
  EXPECT_EQ(std::memcmp(a->data, kA, sizeof(kA)), 0);
  EXPECT_EQ((*file)->Find("b")->bytes, 3u);
  EXPECT_EQ((*file)->Find("empty")->bytes, 0u);
  EXPECT_EQ((*file)->Find("c"), nullptr);
}

TEST(SafetensorsTest, SameInputSameBytes) {
  TempDir dir;
  ASSERT_TRUE(WriteSafetensors(dir.File("1"), Views(kA, kB), {{"format", "pt"}}).ok());
  ASSERT_TRUE(WriteSafetensors(dir.File("2"), Views(kA, kB), {{"format", "pt"}}).ok());
  EXPECT_EQ(dir.Read("1"), dir.Read("2"));
  EXPECT_EQ((dir.Read("1").size() - 27) % 8, 0u) << "tensor data starts aligned";
}

TEST(SafetensorsTest, HeaderLengthLies) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("truncated"));
  EXPECT_THAT(ErrorOf("1234567"), HasSubstr("truncated"));
  std::string huge = FileText("{}", "");
  huge[7] = '\x7f';
  EXPECT_THAT(ErrorOf(huge), HasSubstr("header claims"));
  std::string longer = FileText("{}", "");
  longer[0] = 3;
  EXPECT_THAT(ErrorOf(longer), HasSubstr("header claims 3 bytes"));
}

TEST(SafetensorsTest, BrokenHeader) {
  EXPECT_THAT(ErrorOf(FileText("{\"w\"", "")), HasSubstr("broken header"));
  EXPECT_THAT(ErrorOf(FileText("[1]", "")), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(FileText("{\"__metadata__\": {\"a\": 1}}", "")), HasSubstr("__metadata__"));
  EXPECT_THAT(ErrorOf(FileText(R"({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
                                   "w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})",
                               "1")),
              HasSubstr("\"w\" is there twice"));
}

TEST(SafetensorsTest, BadEntriesNameTheTensor) {
  EXPECT_THAT(ErrorOfEntry("3"), HasSubstr("\"w\""));
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": "F32", "shape": [2]})"), HasSubstr("lacks"));
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": "F33", "shape": [2], "data_offsets": [0, 8]})"),
              AllOf(HasSubstr("\"w\""), HasSubstr("F33")));
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": 5, "shape": [2], "data_offsets": [0, 8]})"),
              HasSubstr("dtype"));
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]})"),
              HasSubstr("shape"));
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": "F32", "shape": 2, "data_offsets": [0, 8]})"),
              HasSubstr("shape"));
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": "F32", "shape": [2], "data_offsets": [8]})"),
              HasSubstr("data_offsets"));
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": "F32", "shape": [2], "data_offsets": [8, 0]})"),
              HasSubstr("outside"));
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]})"),
              HasSubstr("takes 12"));
  EXPECT_THAT(ErrorOfEntry(
                  R"({"dtype": "F32", "shape": [4611686018427387904, 8], "data_offsets": [0, 8]})"),
              HasSubstr("overflow"));
  EXPECT_THAT(
      ErrorOfEntry(R"({"dtype": "F32", "shape": [18446744073709551615], "data_offsets": [0, 8]})"),
      HasSubstr("too large"));
}

TEST(SafetensorsTest, TruncatedDataNamesTheTensor) {
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": "F32", "shape": [3], "data_offsets": [0, 12]})"),
              AllOf(HasSubstr("\"w\""), HasSubstr("truncated")));
}

TEST(SafetensorsTest, OverlapsHolesAndRests) {
  EXPECT_THAT(ErrorOf(FileText(R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                                   "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}})",
                               "123456")),
              AllOf(HasSubstr("\"b\""), HasSubstr("overlaps")));
  EXPECT_THAT(ErrorOf(FileText(R"({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
                                   "b": {"dtype": "U8", "shape": [2], "data_offsets": [4, 6]}})",
                               "123456")),
              AllOf(HasSubstr("\"b\""), HasSubstr("hole")));
  EXPECT_THAT(ErrorOfEntry(R"({"dtype": "U8", "shape": [4], "data_offsets": [0, 4]})"),
              HasSubstr("the file has 8"));
}

TEST(SafetensorsTest, MissingFilesAndDirectories) {
  TempDir dir;
  EXPECT_EQ(SafetensorsFile::Open(dir.File("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(SafetensorsFile::Open(dir.path()).status().message(),
              HasSubstr("not a regular file"));
}

TEST(SafetensorsTest, WriterChecksItsInput) {
  TempDir dir;
  EXPECT_THAT(WriteSafetensors(dir.File("x"), {{"a", "F32", {3}, kA, 8}}, {}).message(),
              AllOf(HasSubstr("\"a\""), HasSubstr("12")));
  EXPECT_THAT(WriteSafetensors(dir.File("x"), {{"a", "Q4", {3}, kA, 8}}, {}).message(),
              HasSubstr("Q4"));
  EXPECT_FALSE(
      WriteSafetensors(dir.File("x"), {{"a", "U8", {1}, kA, 1}, {"a", "U8", {1}, kA, 1}}, {}).ok());
  EXPECT_FALSE(WriteSafetensors(dir.File("no/dir/x"), Views(kA, kB), {}).ok());
}

TEST(SafetensorsTest, FullDiskIsResourceExhausted) {
  // A file size limit stands in for a full disk.
  TempDir dir;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit small = old;
  small.rlim_cur = 100;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::vector<float> data(1000);
  const absl::Status status = WriteSafetensors(
      dir.File("x"), {{"a", "F32", {1000}, data.data(), data.size() * sizeof(float)}}, {});
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(status.message(), HasSubstr(dir.File("x")));
}

}  // namespace
}  // namespace ziprl
