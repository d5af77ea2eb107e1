#include "trainer/data/row_order.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "trainer/data/row_set.h"
#include "trainer/data/source_mix.h"

namespace ziprl {
namespace {

using Units = std::vector<RowFile::Unit>;

std::vector<int64_t> Places(const RowOrder& order, int64_t rows) {
  std::vector<int64_t> out;
  for (int64_t place = 0; place < rows; ++place) out.push_back(order.RowAt(place));
  return out;
}

// What runs that are under way go on with: these numbers never change.
TEST(RowOrderTest, TheOrderOfExistingRunsStays) {
  const std::vector<int64_t> epoch0 = {4, 11, 0,  5, 15, 17, 13, 10, 3, 2,
                                       8, 7,  14, 9, 12, 6,  19, 16, 1, 18};
  const std::vector<int64_t> epoch3 = {5, 10, 16, 7,  13, 18, 1,  4, 6,  8,
                                       2, 19, 9,  15, 11, 17, 12, 3, 14, 0};
  EXPECT_EQ(Places(RowOrder({{20, 0}}, 0, 42, 0), 20), epoch0);
  EXPECT_EQ(Places(RowOrder({{20, 0}}, 0, 42, 3), 20), epoch3);
}

TEST(RowOrderTest, WhatFitsIsShuffledAsAWholeWhateverItsUnits) {
  const std::vector<int64_t> whole = Places(RowOrder({{100, 0}}, 0, 7, 2), 100);
  EXPECT_EQ(Places(RowOrder({{30, 50}, {60, 40}, {10, 10}}, 100, 7, 2), 100), whole);
  EXPECT_NE(Places(RowOrder({{30, 50}, {60, 40}, {10, 10}}, 99, 7, 2), 100), whole);
}

struct WindowCase {
  Units units;
  int64_t window;
};
class WindowOrderTest : public testing::TestWithParam<WindowCase> {};

TEST_P(WindowOrderTest, EachRowOnceAndFewUnitsAtATime) {
  const Units& units = GetParam().units;
  std::vector<size_t> unit_of;
  for (size_t i = 0; i < units.size(); ++i) unit_of.insert(unit_of.end(), units[i].rows, i);
  const auto rows = static_cast<int64_t>(unit_of.size());
  std::set<std::vector<int64_t>> orders;
  for (int64_t epoch : {0, 1, 2}) {
    const std::vector<int64_t> order = Places(RowOrder(units, GetParam().window, 3, epoch), rows);
    EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), unit_of.size());
    orders.insert(order);
    // Bytes of the units between their first and last use: at most a window's, or one unit's.
    std::map<size_t, std::pair<int64_t, int64_t>> use;
    for (int64_t place = 0; place < rows; ++place) {
      use.try_emplace(unit_of[order[place]], place, place).first->second.second = place;
    }
    for (int64_t place = 0; place < rows; ++place) {
      int64_t bytes = 0, costly = 0;
      for (const auto& [unit, between] : use) {
        if (between.first > place || between.second < place) continue;
        bytes += units[unit].bytes;
        costly += units[unit].bytes > 0;
      }
      EXPECT_TRUE(bytes <= GetParam().window || costly == 1) << bytes;
    }
  }
  EXPECT_EQ(orders.size(), 3);
}

INSTANTIATE_TEST_SUITE_P(
    Units, WindowOrderTest,
    testing::Values(WindowCase{Units(10, {20, 100}), 350}, WindowCase{Units(7, {33, 10}), 9},
                    WindowCase{{{5, 0}, {40, 70}, {3, 500}, {60, 20}, {100, 0}, {1, 90}}, 100},
                    WindowCase{{{200, 1000}, {2, 1}, {2, 1}}, 1000}));

TEST(SourceMixTest, HoldsTheWeightsAndGivesEachDrawOnce) {
  const SourceMix mix({3, 0, 1, 1e-9}, 5);
  std::map<size_t, std::set<int64_t>> drawn;
  for (uint64_t draw = 0; draw < 40'004; ++draw) {
    const SourceMix::Draw one = mix.At(draw);
    EXPECT_TRUE(drawn[one.source].insert(one.number).second);
  }
  EXPECT_EQ(drawn.count(1), 0);
  EXPECT_NEAR(static_cast<double>(drawn[0].size()), 30'000, 8);
  EXPECT_NEAR(static_cast<double>(drawn[2].size()), 10'000, 8);
  EXPECT_EQ(drawn[3].size(), 4);  // once a cycle
  for (const auto& [source, numbers] : drawn) {
    EXPECT_EQ(*numbers.rbegin(), static_cast<int64_t>(numbers.size()) - 1);
  }
  int64_t first = 0;  // of a short run, the weights hold nearly too
  for (uint64_t draw = 0; draw < 400; ++draw) first += mix.At(draw).source == 0;
  EXPECT_NEAR(static_cast<double>(first), 300, 45);
}

}  // namespace
}  // namespace ziprl
