#include "proto/selection_logits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "configs/base/bfloat16.h"
#include "proto/types.pb.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

// A sample with two layers over `tokens` tokens and no logits yet.
Completion Sample(uint32_t tokens) {
  Completion completion;
  completion.p = 0.5;
  completion.kept.events = {{Bitmap(tokens), Bitmap(tokens)}};
  return completion;
}

std::vector<ScoredGroup> Groups() {
  std::vector<ScoredGroup> groups(2);
  groups[0].completions = {Sample(3), Sample(300000)};
  groups[1].completions = {Sample(5)};
  return groups;
}

void Fill(std::vector<ScoredGroup>* groups) {
  for (ScoredGroup& group : *groups) {
    for (Completion& c : group.completions) {
      const size_t count = c.NumSelectionLogits();
      for (size_t i = 0; i < count; ++i) {
        c.selection_logits.push_back(ToBfloat16(static_cast<float>(i) * 0.01f - 3));
      }
    }
  }
}

TEST(SelectionLogitsTest, AreCutAndPutTogether) {
  std::vector<ScoredGroup> sent = Groups(), received = Groups();
  Fill(&sent);
  sent[0].completions[0].selection_logits.clear();
  int pieces = 0;
  for (SelectionLogitsCutter cutter(sent); cutter.HasNext(); ++pieces) {
    v1::SelectionLogits piece;
    cutter.Next(&piece);
    EXPECT_LE(piece.values().size(), 1u << 20);
    const absl::Status added = AddSelectionLogits(piece, "piece", absl::MakeSpan(received));
    ASSERT_TRUE(added.ok()) << added;
  }
  EXPECT_EQ(pieces, 3);  // 600,000 values are two
  for (size_t g = 0; g < sent.size(); ++g) {
    EXPECT_TRUE(CheckSelectionLogits(received[g], "group").ok());
    for (size_t i = 0; i < sent[g].completions.size(); ++i) {
      EXPECT_EQ(received[g].completions[i].selection_logits,
                sent[g].completions[i].selection_logits);
    }
  }
}

TEST(SelectionLogitsTest, APartOfThemIsTold) {
  std::vector<ScoredGroup> groups = Groups();
  groups[0].completions[1].selection_logits = {1, 2, 3};
  const absl::Status status = CheckSelectionLogits(groups[0], "groups[4]");
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("groups[4].completions[1].selection_logits: 3 values, the sample's kept "
                        "sets account for 600000"));
}

struct Spoiled {
  const char* name;
  std::function<void(v1::SelectionLogits&, std::vector<ScoredGroup>&)> spoil;
  const char* message;
};

class SpoiledPieceTest : public testing::TestWithParam<Spoiled> {};

TEST_P(SpoiledPieceTest, IsRefusedAndChangesNothing) {
  std::vector<ScoredGroup> groups = Groups();
  v1::SelectionLogits piece;
  piece.set_values(std::string(12, '\1'));
  ASSERT_TRUE(AddSelectionLogits(piece, "piece", absl::MakeSpan(groups)).ok());
  groups = Groups();
  GetParam().spoil(piece, groups);
  const absl::Status status = AddSelectionLogits(piece, "piece", absl::MakeSpan(groups));
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
  EXPECT_TRUE(groups[0].completions[0].selection_logits.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Fields, SpoiledPieceTest,
    testing::Values(
        Spoiled{"group", [](auto& p, auto&) { p.set_group(2); }, "piece.group: 2, there are 2"},
        Spoiled{"completion", [](auto& p, auto&) { p.set_completion(2); },
                "piece.completion: 2, the group has 2"},
        Spoiled{"gap", [](auto& p, auto&) { p.set_offset(6); },
                "piece.offset: 6, the sample has 0 values so far"},
        Spoiled{"empty", [](auto& p, auto&) { p.clear_values(); }, "piece.values: 0 bytes"},
        Spoiled{"odd", [](auto& p, auto&) { p.mutable_values()->pop_back(); },
                "piece.values: 11 bytes"},
        Spoiled{"long_piece",
                [](auto& p, auto&) {
                  p.set_completion(1);
                  p.set_values(std::string((1 << 20) + 2, '\1'));
                },
                "piece.values: 1048578 bytes, allowed are 2 to 1048576"},
        Spoiled{"too_many", [](auto& p, auto&) { p.mutable_values()->append("aa"); },
                "piece.values: 7 values, the sample's kept sets account for 6"},
        Spoiled{"dense", [](auto&, auto& groups) { groups[0].completions[0].p = 1; },
                "account for 0"},
        Spoiled{"no_sets", [](auto&, auto& groups) { groups[0].completions[0].kept = {}; },
                "account for 0"},
        Spoiled{"huge",
                [](auto&, auto& groups) {
                  groups[0].completions[0].kept.events[0].assign(1025, Bitmap(1 << 15));
                },
                "33587200 logits, at most 33554432 are taken"},
        Spoiled{"infinite", [](auto& p, auto&) { p.set_values(std::string("\x80\x7f\1\1", 4)); },
                "piece.values: [0] is not finite"},
        Spoiled{"nan", [](auto& p, auto&) { p.set_values(std::string("\1\1\xff\xff", 4)); },
                "piece.values: [1] is not finite"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ziprl
