#include "proto/weights/weight_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60), kNone = absl::ZeroDuration();

TEST(WeightStoreTest, PublishingMakesTheNewOneLiveAndKeepsTheOneBefore) {
  WeightStore store;
  EXPECT_EQ(store.version(), WeightStore::kNone);
  EXPECT_EQ(store.Live(), nullptr);
  ASSERT_TRUE(store.Publish(UniformWeights(CaseLayout(1), 4)).ok());
  EXPECT_EQ(store.Previous(), nullptr);
  ASSERT_TRUE(store.Publish(UniformWeights(CaseLayout(1), 5)).ok());
  EXPECT_EQ(store.Live()->version(), 5);
  EXPECT_EQ(store.Previous()->version(), 4);
}

TEST(WeightStoreTest, OnlyNewerVersionsArePublishedRewindTakesAny) {
  WeightStore store;
  ASSERT_TRUE(store.Publish(UniformWeights(CaseLayout(1), 4)).ok());
  for (PolicyVersion old : {3, 4}) {
    const absl::Status status = store.Publish(UniformWeights(CaseLayout(1), old));
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("live version 4"));
  }
  store.Rewind(UniformWeights(CaseLayout(1), 2));
  EXPECT_EQ(store.version(), 2);
}

TEST(WeightStoreTest, WaitSaysWhichVersionIsMissingAndWhichIsPast) {
  WeightStore store;
  ASSERT_TRUE(store.Publish(UniformWeights(CaseLayout(1), 4)).ok());
  EXPECT_EQ((*store.WaitForVersion(4, kNone))->version(), 4);
  const absl::Status late = store.WaitForVersion(6, absl::Milliseconds(1)).status();
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(late.message()), HasSubstr("version 6 did not arrive within 1ms"));
  EXPECT_THAT(std::string(late.message()), HasSubstr("live is version 4"));
  EXPECT_EQ(store.WaitForVersion(3, kLong).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(WeightStoreTest, CloseEndsTheWait) {
  WeightStore store;
  std::thread waiter([&] {
    EXPECT_EQ(store.WaitForVersion(1, kLong).status(), absl::CancelledError("the run is over"));
  });
  store.Close(absl::CancelledError("the run is over"));
  waiter.join();
}

// Readers check every word of what they hold while versions go by.
TEST(WeightStoreTest, ReadersNeverSeeTwoVersionsMixed) {
  constexpr PolicyVersion kVersions = 60;
  const auto layout = CaseLayout(16);
  WeightStore store;
  std::atomic<int> mixed{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      PolicyVersion seen = WeightStore::kNone;
      while (seen < kVersions) {
        const WeightSnapshot::Ptr live = store.Live();
        if (live == nullptr) continue;
        mixed += UniformVersion(*live) != live->version() || live->version() < seen;
        seen = live->version();
      }
    });
  }
  WeightBufferPool pool;  // the writer's buffers are used again and again
  for (PolicyVersion version = 1; version <= kVersions; ++version) {
    auto builder = *WeightBuilder::Start(layout, &pool);
    const auto source = UniformWeights(layout, version);
    for (size_t t = 0; t < layout->tensors().size(); ++t) {
      source->tensor(t).copy(builder.tensor(t), layout->tensors()[t].bytes);
    }
    ASSERT_TRUE(store.Publish(std::move(builder).Finish(version, 1)).ok());
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(mixed, 0);
}

// As a rollout worker does: work of a version starts when that version is live, work of an older
// one is given back.
TEST(WeightStoreTest, AWorkerTakesWorkOnlyWhenItsVersionMatches) {
  WeightStore store;
  const std::vector<PolicyVersion> leases = {1, 1, 2, 1, 3};
  std::vector<PolicyVersion> sampled_under;
  int given_back = 0;
  std::thread worker([&] {
    for (PolicyVersion lease : leases) {
      const auto weights = store.WaitForVersion(lease, kLong);
      if (absl::IsFailedPrecondition(weights.status())) {
        ++given_back;
        continue;
      }
      ASSERT_TRUE(weights.ok()) << weights.status();
      EXPECT_EQ(UniformVersion(**weights), lease);
      sampled_under.push_back(lease);
      if (lease < 3) {  // the learner's step
        ASSERT_TRUE(sampled_under.size() == 1 ||
                    store.Publish(UniformWeights(CaseLayout(1), lease + 1)).ok());
      }
    }
  });
  ASSERT_TRUE(store.Publish(UniformWeights(CaseLayout(1), 1)).ok());
  worker.join();
  EXPECT_EQ(sampled_under, (std::vector<PolicyVersion>{1, 1, 2, 3}));
  EXPECT_EQ(given_back, 1);
}

}  // namespace
}  // namespace ziprl
