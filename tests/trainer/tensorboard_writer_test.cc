#include "trainer/tensorboard_writer.h"

#include <gtest/gtest.h>

#include "tests/trainer/data/scratch.h"

namespace ziprl {
namespace {

// RFC 3720, B.4, and the check value of the CRC catalogue.
TEST(Crc32cTest, PublishedValues) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(TensorBoardWriterTest, NamesItsFileSoThatReadersFindIt) {
  const Scratch scratch;
  const absl::Time now = absl::FromUnixSeconds(1700000000);
  const auto first = TensorBoardWriter::Open(scratch.Path("logs/run"), 1, now);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_NE((*first)->path().find("/events.out.tfevents.1700000000."), std::string::npos);
  const auto second = TensorBoardWriter::Open(scratch.Path("logs/run"), 5, now);
  EXPECT_NE((*first)->path(), (*second)->path());
}

TEST(TensorBoardWriterTest, FramesARecord) {
  const Scratch scratch;
  std::string path;
  {
    auto writer = *TensorBoardWriter::Open(scratch.dir(), 1, absl::UnixEpoch());
    path = writer->path();
  }
  const std::string bytes = scratch.Read(path.substr(scratch.dir().size() + 1));
  // Event {wall_time 0, step 0, file_version}: 9 + 2 + 15 bytes.
  ASSERT_GT(bytes.size(), 42u);
  EXPECT_EQ(bytes[0], 26);
  EXPECT_EQ(bytes.substr(12 + 11, 15),
            "\x1a\x0d"
            "brain.Event:2");
}

TEST(TensorBoardWriterTest, SaysWhereItCannotWrite) {
  const Scratch scratch;
  scratch.Write("file", "");
  EXPECT_FALSE(TensorBoardWriter::Open(scratch.Path("file"), 1, absl::UnixEpoch()).ok());
}

}  // namespace
}  // namespace ziprl
