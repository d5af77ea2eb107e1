#include "configs/base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace ziprl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class FilesTest : public ::testing::Test {
 protected:
  FilesTest() : directory_(::testing::TempDir() + "/files_test." + std::to_string(getpid())) {
    fs::create_directories(directory_);
  }
  ~FilesTest() override { fs::remove_all(directory_); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  int Entries() const {
    return static_cast<int>(std::distance(fs::directory_iterator(directory_), {}));
  }

  const std::string directory_;
};

TEST_F(FilesTest, ReadsBackWhatWasWritten) {
  std::string contents(3 << 20, 'x');
  contents[5] = '\0';
  ASSERT_TRUE(WriteFileAtomically(Path("a"), contents).ok());
  EXPECT_EQ(*ReadFile(Path("a")), contents);
  ASSERT_TRUE(WriteFileAtomically(Path("a"), "").ok());
  EXPECT_EQ(*ReadFile(Path("a")), "");
  EXPECT_EQ(Entries(), 1) << "a temporary file stayed behind";
}

TEST_F(FilesTest, MissingFileIsNotFoundAndNamed) {
  const absl::Status status = ReadFile(Path("missing")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(Path("missing")));
}

TEST_F(FilesTest, ReadingADirectoryIsAnError) { EXPECT_FALSE(ReadFile(directory_).ok()); }

TEST_F(FilesTest, FailedWriteKeepsTheOldFileAndLeavesNothing) {
  // A directory cannot be replaced by a file: the rename fails after the temporary file is written.
  fs::create_directories(Path("taken/inside"));
  const absl::Status status = WriteFileAtomically(Path("taken"), "new");
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(fs::is_directory(Path("taken/inside")));
  EXPECT_EQ(Entries(), 1);
  EXPECT_FALSE(WriteFileAtomically(Path("no/such/folder/file"), "new").ok());
}

TEST_F(FilesTest, FullDiskIsReportedWithThePath) {
  // /dev/full accepts an open and refuses every byte.
  fs::create_symlink("/dev/full", Path("full.tmp" + std::to_string(getpid())));
  const absl::Status status = WriteFileAtomically(Path("full"), "bytes");
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("No space left on device"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(Path("full")));
  EXPECT_EQ(Entries(), 0);
}

TEST_F(FilesTest, MakesNestedDirectoriesAndRenames) {
  ASSERT_TRUE(MakeDirectories(Path("x/y/z")).ok());
  ASSERT_TRUE(MakeDirectories(Path("x/y/z")).ok());
  ASSERT_TRUE(RenameDurably(Path("x/y"), Path("moved")).ok());
  EXPECT_TRUE(fs::is_directory(Path("moved/z")));
  EXPECT_FALSE(RenameDurably(Path("nothing"), Path("other")).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("file"), "x").ok());
  EXPECT_FALSE(MakeDirectories(Path("file/below")).ok());
}

}  // namespace
}  // namespace ziprl
