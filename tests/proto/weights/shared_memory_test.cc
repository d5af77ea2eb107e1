#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "proto/weights/shared_memory_format.h"
#include "proto/weights/shared_memory_publisher.h"
#include "proto/weights/shared_memory_reader.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60), kNone = absl::ZeroDuration();

std::string Job(const char* name) { return absl::StrCat("test_", name, "_", getpid()); }

bool Exists(const std::string& name) {
  const int fd = shm_open(name.c_str(), O_RDONLY, 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

// Bytes of an object, to be spoiled by tests.
std::unique_ptr<ShmSegment> MapForWriting(const std::string& name) {
  auto segment = *ShmSegment::OpenForWriting(name);
  EXPECT_TRUE(segment->Map().ok());
  return segment;
}

// Runs `body` in a child process, which is to end by KillMyself: no destructor runs.
void KillMyself() { kill(getpid(), SIGKILL); }
void InKilledChild(const std::function<void()>& body) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body();
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
}

class ReadModeTest : public testing::TestWithParam<SharedMemoryReader::Mode> {
 protected:
  SharedMemoryReader Reader(const std::string& job) {
    return SharedMemoryReader({job, GetParam()});
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, ReadModeTest,
                         testing::Values(SharedMemoryReader::Mode::kMap,
                                         SharedMemoryReader::Mode::kCopy),
                         [](const auto& info) {
                           return info.param == SharedMemoryReader::Mode::kMap ? "Map" : "Copy";
                         });

TEST_P(ReadModeTest, EveryVersionArrivesAndTheSegmentsAreRemovedAtTheEnd) {
  const std::string job = Job("arrives");
  auto publisher = *SharedMemoryPublisher::Create(job, 2);
  SharedMemoryReader reader = Reader(job);
  for (PolicyVersion version : {1, 2, 3, 7, 5}) {  // 5: the learner went back
    const auto weights = RandomWeights(CaseLayout(1200), version, version);
    ASSERT_TRUE(publisher->Publish(*weights).ok());
    const auto read = reader.Next(kNone);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ((*read)->id(), weights->id());
    EXPECT_EQ((*read)->bytes(), weights->bytes());
    EXPECT_EQ((*read)->layout().tensors(), weights->layout().tensors());
  }
  publisher.reset();
  for (const char* part : {".head", ".0", ".1"}) {
    EXPECT_FALSE(Exists(absl::StrCat("/ziprl.", job, part))) << part;
  }
}

TEST_P(ReadModeTest, WhatAReaderHoldsDoesNotChange) {
  const std::string job = Job("holds");
  auto publisher = *SharedMemoryPublisher::Create(job, 1);
  SharedMemoryReader reader = Reader(job);
  std::vector<WeightSnapshot::Ptr> held;
  for (PolicyVersion version = 1; version <= 6; ++version) {
    ASSERT_TRUE(publisher->Publish(*UniformWeights(CaseLayout(40), version)).ok());
    held.push_back(*reader.Next(kNone));
  }
  publisher.reset();
  for (PolicyVersion version = 1; version <= 6; ++version) {
    EXPECT_EQ(UniformVersion(*held[version - 1]), version);
    EXPECT_TRUE(held[version - 1]->Verify(1).ok());
  }
}

TEST_P(ReadModeTest, AnotherSizeReplacesTheSegments) {
  const std::string job = Job("size");
  auto publisher = *SharedMemoryPublisher::Create(job, 1);
  SharedMemoryReader reader = Reader(job);
  for (int64_t rows : {10, 10, 10, 2000, 3, 3, 2000}) {
    const auto weights = RandomWeights(CaseLayout(rows), 1, rows);
    ASSERT_TRUE(publisher->Publish(*weights).ok());
    EXPECT_EQ((*reader.Next(kNone))->bytes(), weights->bytes());
  }
}

TEST_P(ReadModeTest, ConcurrentReadersSeeWholeVersionsOnly) {
  constexpr PolicyVersion kLast = 80;
  const std::string job = Job("concurrent");
  auto publisher = *SharedMemoryPublisher::Create(job, 1);
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      SharedMemoryReader reader = Reader(job);
      PolicyVersion seen = 0;
      while (seen < kLast) {
        const auto weights = reader.Next(kLong);
        ASSERT_TRUE(weights.ok()) << weights.status();
        ASSERT_EQ(UniformVersion(**weights), (*weights)->version());
        ASSERT_GT((*weights)->version(), seen);
        seen = (*weights)->version();
      }
    });
  }
  for (PolicyVersion version = 1; version <= kLast; ++version) {
    ASSERT_TRUE(publisher->Publish(*UniformWeights(CaseLayout(64), version)).ok());
  }
  for (std::thread& reader : readers) reader.join();
}

TEST(SharedMemoryTest, ModeIsTheUsersAloneAndOthersAreRefused) {
  const std::string job = Job("mode");
  auto publisher = *SharedMemoryPublisher::Create(job, 1);
  ASSERT_TRUE(publisher->Publish(*UniformWeights(CaseLayout(1), 1)).ok());
  const int fd = shm_open(ShmSlotName(job, 1).c_str(), O_RDWR, 0);
  struct stat info;
  ASSERT_EQ(fstat(fd, &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(fchmod(fd, 0644), 0);
  close(fd);
  const absl::Status status = SharedMemoryReader({job}).Next(kNone).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("0644"));
}

TEST(SharedMemoryTest, JobNamesAreChecked) {
  for (const char* bad : {"", "a/b", "..", "a b"}) {
    EXPECT_EQ(SharedMemoryPublisher::Create(bad, 1).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(SharedMemoryTest, ALivingPublisherIsNotPushedAside) {
  const std::string job = Job("two");
  auto publisher = *SharedMemoryPublisher::Create(job, 1);
  ASSERT_TRUE(publisher->Publish(*UniformWeights(CaseLayout(1), 1)).ok());
  const absl::Status status = SharedMemoryPublisher::Create(job, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("process ", getpid())));
  EXPECT_TRUE(SharedMemoryReader({job}).Next(kNone).ok());
}

TEST(SharedMemoryTest, WaitingEndsWithTheReason) {
  const std::string job = Job("reason");
  SharedMemoryReader reader({job});
  EXPECT_EQ(reader.Next(absl::Milliseconds(2)).status().code(), absl::StatusCode::kNotFound);
  auto publisher = *SharedMemoryPublisher::Create(job, 1);
  EXPECT_EQ(reader.Next(kNone).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(SharedMemoryTest, AHalfWrittenSegmentIsNotTaken) {
  const std::string job = Job("torn");
  auto publisher = *SharedMemoryPublisher::Create(job, 1);
  ASSERT_TRUE(publisher->Publish(*UniformWeights(CaseLayout(1), 1)).ok());
  auto slot = MapForWriting(ShmSlotName(job, 1));
  auto* fields = reinterpret_cast<ShmSlot*>(slot->data());
  fields->turn.store(0);  // as while it is being written
  SharedMemoryReader reader({job});
  EXPECT_EQ(reader.Next(kNone).status().code(), absl::StatusCode::kDeadlineExceeded);
  fields->turn.store(3);  // stale: the slot of another publication
  EXPECT_EQ(reader.Next(kNone).status().code(), absl::StatusCode::kDeadlineExceeded);
  fields->turn.store(1);
  EXPECT_TRUE(reader.Next(kNone).ok());
}

TEST(SharedMemoryTest, SpoiledBytesAreNoticedByTheirChecksums) {
  const std::string job = Job("spoiled");
  auto publisher = *SharedMemoryPublisher::Create(job, 1);
  ASSERT_TRUE(publisher->Publish(*UniformWeights(CaseLayout(4), 1)).ok());
  auto slot = MapForWriting(ShmSlotName(job, 1));
  SharedMemoryReader reader({job});
  for (const uint64_t at : {slot->size() - 100, uint64_t{sizeof(ShmSlot) + 3}}) {
    slot->data()[at] ^= 1;
    const absl::Status status = reader.Next(kNone).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    slot->data()[at] ^= 1;
  }
  EXPECT_TRUE(reader.Next(kNone).ok());
}

TEST(SharedMemoryTest, LengthsThatLieAreRefused) {
  const std::string job = Job("lies");
  auto publisher = *SharedMemoryPublisher::Create(job, 1);
  ASSERT_TRUE(publisher->Publish(*UniformWeights(CaseLayout(4), 1)).ok());
  auto slot = MapForWriting(ShmSlotName(job, 1));
  auto* fields = reinterpret_cast<ShmSlot*>(slot->data());
  SharedMemoryReader reader({job});
  for (uint64_t* field : {&fields->description_bytes, &fields->data_offset}) {
    const uint64_t right = *field;
    for (uint64_t lie : {uint64_t{0}, right + kShmPage, slot->size() + 1, ~uint64_t{0}}) {
      *field = lie;
      const absl::Status status = reader.Next(kNone).status();
      EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsDataLoss(status)) << status;
    }
    *field = right;
  }
  EXPECT_TRUE(reader.Next(kNone).ok());
}

TEST(SharedMemoryTest, AKilledPublisherLeavesItsLastWholeVersionAndTheNextOneCleansUp) {
  const std::string job = Job("killed");
  InKilledChild([&] {
    auto publisher = *SharedMemoryPublisher::Create(job, 1);
    (void)publisher->Publish(*UniformWeights(CaseLayout(8), 1));
    (void)publisher->Publish(*UniformWeights(CaseLayout(8), 2));
    // In the middle of version 3: the slot is marked and half of it written.
    auto slot = MapForWriting(ShmSlotName(job, 3));
    reinterpret_cast<ShmSlot*>(slot->data())->turn.store(0);
    std::memset(slot->data() + slot->size() / 2, 3, slot->size() / 2);
    KillMyself();
  });
  SharedMemoryReader reader({job});
  const auto last = reader.Next(kNone);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(UniformVersion(**last), 2);
  const absl::Status gone = reader.Next(kNone).status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(gone.message()), HasSubstr("is gone"));

  auto publisher = *SharedMemoryPublisher::Create(job, 1);  // takes its place
  ASSERT_TRUE(publisher->Publish(*UniformWeights(CaseLayout(8), 9)).ok());
  EXPECT_EQ(UniformVersion(**reader.Next(kNone)), 9);
  EXPECT_EQ(UniformVersion(**last), 2);  // still held
}

TEST(SharedMemoryTest, APublisherKilledAtAnyMomentNeverShowsAMix) {
  const std::string job = Job("anytime");
  const auto layout = CaseLayout(400);
  for (int round = 0; round < 5; ++round) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto publisher = *SharedMemoryPublisher::Create(job, 1);
      const WeightSnapshot::Ptr weights[] = {UniformWeights(layout, 1), UniformWeights(layout, 2)};
      for (int64_t n = 0;; ++n) {
        if (!publisher->Publish(*weights[n % 2]).ok()) _exit(3);
        if (n == 2 * round && write(ready[1], "x", 1) != 1) _exit(4);
      }
    }
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    close(ready[0]);
    close(ready[1]);
    const auto weights = SharedMemoryReader({job}).Next(kLong);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_EQ(UniformVersion(**weights), (*weights)->version());
  }
  RemoveStaleSharedMemory();
  EXPECT_FALSE(Exists(ShmHeaderName(job)));
}

TEST(SharedMemoryTest, StaleSegmentsOfOtherJobsAreRemovedLivingOnesStay) {
  const std::string dead = Job("dead"), living = Job("living");
  InKilledChild([&] {
    auto publisher = *SharedMemoryPublisher::Create(dead, 1);
    (void)publisher->Publish(*UniformWeights(CaseLayout(8), 1));
    KillMyself();
  });
  EXPECT_TRUE(Exists(ShmSlotName(dead, 1)));
  auto publisher = *SharedMemoryPublisher::Create(living, 1);
  EXPECT_FALSE(Exists(ShmSlotName(dead, 1)));
  EXPECT_FALSE(Exists(ShmHeaderName(dead)));
  RemoveStaleSharedMemory();
  EXPECT_TRUE(Exists(ShmHeaderName(living)));
}

}  // namespace
}  // namespace ziprl
