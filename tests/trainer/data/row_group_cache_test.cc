#include "trainer/data/row_group_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "trainer/data/parquet_file.h"
#include "trainer/data/row.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

// Groups of 10 rows {"id": row of the file}, 100 bytes each; `broken` cannot be decoded.
class FakeReader : public ParquetReader {
 public:
  class Group : public ParquetGroup {
   public:
    explicit Group(int group) : group_(group) {}
    nlohmann::json Row(int64_t row) const override { return {{"id", group_ * 10 + row}}; }

   private:
    const int group_;
  };

  explicit FakeReader(int groups, int broken = -1) : groups_(groups), broken_(broken) {}
  const std::vector<ParquetColumn>& columns() const override { return columns_; }
  int groups() const override { return groups_; }
  int64_t rows(int) const override { return 10; }
  int64_t bytes(int) const override { return 100; }
  std::unique_ptr<ParquetGroup> Decode(int group, const std::vector<std::string>&,
                                       std::string* error) override {
    ++decoded_;
    if (group != broken_) return std::make_unique<Group>(group);
    *error = "torn page";
    return nullptr;
  }
  int decoded() const { return decoded_; }

 private:
  const int groups_, broken_;
  std::atomic<int> decoded_ = 0;
  std::vector<ParquetColumn> columns_ = {{"id", {ParquetType::Kind::kNumber, "int64", {}}}};
};

TEST(RowGroupCacheTest, HoldsWhatWasUsedLast) {
  RowGroupCache cache(250);
  FakeReader reader(5);
  for (int group : {0, 1, 0, 2, 0, 1}) ASSERT_TRUE(cache.Get(reader, group).ok());
  EXPECT_EQ(cache.decoded(), 4);  // 0, 1, 2 (lets 1 go), 1 again
  EXPECT_EQ(cache.bytes(), 200);
  RowGroupCache small(50);
  const auto held = *small.Get(reader, 3);
  EXPECT_EQ(small.bytes(), 100);
  ASSERT_TRUE(small.Get(reader, 4).ok());
  EXPECT_EQ(small.bytes(), 100);
  EXPECT_EQ(held->Row(7)["id"], 37);  // whoever has a group keeps it
}

TEST(RowGroupCacheTest, ManyThreadsDecodeAGroupOnce) {
  RowGroupCache cache(10'000);
  FakeReader reader(20);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 400; ++i) {
        const auto group = cache.Get(reader, i % 20);
        wrong += !group.ok() || (*group)->Row(0)["id"] != i % 20 * 10;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(reader.decoded(), 20);
}

TEST(ParquetFileTest, RowsAreThoseOfTheGroups) {
  const auto cache = std::make_shared<RowGroupCache>(100);
  const ParquetFile file("x.parquet", std::make_unique<FakeReader>(3, /*broken=*/1), cache);
  EXPECT_EQ(file.rows(), 30);
  EXPECT_EQ(file.Units().size(), 3);
  for (int64_t row : {0, 9, 20, 29}) EXPECT_EQ((*file.Read(row))["id"], row);
  EXPECT_TRUE(absl::IsOutOfRange(file.Read(30).status()));
  EXPECT_TRUE(absl::IsOutOfRange(file.Read(-1).status()));
  const absl::Status torn = file.InRow(file.Read(10).status(), 10);
  EXPECT_EQ(torn.message(), "x.parquet: row 11: row group 1: torn page");
  const RowFile::Rows rows = file.ReadMany(8, 100, {});
  ASSERT_EQ(rows.size(), 22);
  EXPECT_EQ((*rows[1])["id"], 9);
  EXPECT_FALSE(rows[2].ok());
  EXPECT_EQ((*rows[21])["id"], 29);
}

TEST(ParquetFileTest, ColumnErrorsNameTheFile) {
  const auto cache = std::make_shared<RowGroupCache>(100);
  const ParquetFile file("x.parquet", std::make_unique<FakeReader>(3), cache);
  RowOptions options;
  options.prompt_key = "id";
  EXPECT_TRUE(file.CheckColumns(options).ok());
  const absl::Status missing = file.CheckColumns(RowOptions());
  EXPECT_EQ(ColumnOf(missing), "problem");
  EXPECT_EQ(missing.message(),
            "x.parquet: no column 'problem' (nor 'messages', nor 'prompt'), there are: id");
}

}  // namespace
}  // namespace ziprl
