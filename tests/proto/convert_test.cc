#include "proto/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "proto/types.pb.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ziprl {
namespace {

using ::testing::HasSubstr;

ScoredGroup SomeGroup() {
  ScoredGroup group;
  group.lease_id = 7;
  group.prompt.id = 12;
  group.prompt.row = 5;
  group.prompt.token_ids = {1, 2, 151655, 3};
  MediaRef image;
  image.bytes = std::make_shared<const std::string>("\x89PNG and so on");
  image.content_hash = XXH3_64bits(image.bytes->data(), image.bytes->size());
  image.source = "a.png";
  MediaRef clip;
  clip.kind = MediaKind::kVideo;
  clip.bytes = image.bytes;
  clip.content_hash = ContentHash(MediaKind::kVideo, *clip.bytes);
  MediaRef file;
  file.kind = MediaKind::kVideo;
  file.content_hash = 17;
  file.path = "/data/b.mp4";
  group.prompt.media = {image, clip, file};
  group.prompt.problem = "What colour?";
  group.prompt.answer = "grün";
  group.prompt.source = "set";
  group.prompt.kind = "colour";
  group.prompt.extra = {{"options", "[\"a\", \"b\"]"}};
  group.group_seed = 0xfedcba9876543210;
  group.version = 3;
  group.times = {1.5, 0.25, 2.0, 0.125};
  Completion completion;
  completion.index = 1;
  completion.p = 0.95;
  completion.seed = 99;
  completion.token_ids = {4, 5};
  completion.logprobs = {-0.5f, -1e-7f};
  completion.finish_reason = FinishReason::kStop;
  completion.text = "gr\xc3";  // half a character
  Bitmap layer(70);
  layer.Set(0);
  layer.Set(69);
  completion.kept.events = {{layer, Bitmap(70)}, {Bitmap(64), layer}};
  completion.digest = completion.kept.Digest();
  completion.kept_ratio = 0.25;
  completion.visual_kept_ratio = 0.125;
  completion.kv_kept_ratio = 0.5;
  completion.kept_mass = 0.9;
  completion.budget_action = 2;
  completion.budget_logprob = -1.5f;
  completion.version = 3;
  Score score;
  score.status = ScoreStatus::kScored;
  score.components = {{"accuracy", 1.0}, {"format", 1.0 / 3}};
  group.completions = {completion};
  group.scores = {score};
  return group;
}

void ExpectSame(const Prompt& a, const Prompt& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.row, b.row);
  EXPECT_EQ(a.token_ids, b.token_ids);
  ASSERT_EQ(a.media.size(), b.media.size());
  for (size_t i = 0; i < a.media.size(); ++i) {
    EXPECT_EQ(a.media[i].content_hash, b.media[i].content_hash);
    EXPECT_EQ(a.media[i].source, b.media[i].source);
    EXPECT_EQ(a.media[i].kind, b.media[i].kind);
    EXPECT_EQ(a.media[i].path, b.media[i].path);
    ASSERT_EQ(a.media[i].bytes == nullptr, b.media[i].bytes == nullptr);
    if (a.media[i].bytes != nullptr) {
      EXPECT_EQ(*a.media[i].bytes, *b.media[i].bytes);
    }
  }
  EXPECT_EQ(a.problem, b.problem);
  EXPECT_EQ(a.answer, b.answer);
  EXPECT_EQ(a.source, b.source);
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.extra, b.extra);
}

TEST(ConvertTest, AScoredGroupComesBackBitForBit) {
  const ScoredGroup group = SomeGroup();
  v1::ScoredGroup wire, read;
  ToPb(group, PromptBody::kWhole, &wire);
  ASSERT_TRUE(read.ParseFromString(wire.SerializeAsString()));
  const absl::StatusOr<ScoredGroup> back = FromPb(read, "group");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->lease_id, 7);
  EXPECT_EQ(back->group_seed, group.group_seed);
  EXPECT_EQ(back->version, 3);
  EXPECT_EQ(back->times.generate, 1.5);
  EXPECT_EQ(back->times.score, 0.25);
  EXPECT_EQ(back->times.worker_busy, 2.0);
  EXPECT_EQ(back->times.worker_idle, 0.125);
  ExpectSame(back->prompt, group.prompt);
  ASSERT_EQ(back->completions.size(), 1);
  const Completion &a = back->completions[0], &b = group.completions[0];
  EXPECT_EQ(a.index, b.index);
  EXPECT_EQ(a.p, b.p);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.token_ids, b.token_ids);
  EXPECT_EQ(a.logprobs, b.logprobs);
  EXPECT_EQ(a.finish_reason, b.finish_reason);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.kept.events, b.kept.events);
  EXPECT_EQ(a.digest, b.digest);
  EXPECT_EQ(a.kept_ratio, b.kept_ratio);
  EXPECT_EQ(a.visual_kept_ratio, b.visual_kept_ratio);
  EXPECT_EQ(a.kv_kept_ratio, b.kv_kept_ratio);
  EXPECT_EQ(a.kept_mass, b.kept_mass);
  EXPECT_EQ(a.budget_action, b.budget_action);
  EXPECT_EQ(a.budget_logprob, b.budget_logprob);
  EXPECT_EQ(a.version, b.version);
  EXPECT_EQ(back->scores[0].status, ScoreStatus::kScored);
  EXPECT_EQ(back->scores[0].components, group.scores[0].components);
}

TEST(ConvertTest, ALeaseComesBack) {
  GroupLease lease;
  lease.lease_id = 3;
  lease.prompt = SomeGroup().prompt;
  lease.group_seed = 8;
  lease.samples = {{0, 0.5, 11}, {1, 1.0, 12}};
  lease.version = 2;
  v1::GroupLease wire;
  ToPb(lease, &wire);
  const absl::StatusOr<GroupLease> back = FromPb(wire, "lease");
  ASSERT_TRUE(back.ok()) << back.status();
  ExpectSame(back->prompt, lease.prompt);
  EXPECT_EQ(back->group_seed, 8);
  ASSERT_EQ(back->samples.size(), 2);
  EXPECT_EQ(back->samples[1].index, 1);
  EXPECT_EQ(back->samples[0].p, 0.5);
  EXPECT_EQ(back->samples[1].seed, 12);
  EXPECT_EQ(back->version, 2);
}

TEST(ConvertTest, APushedPromptIsItsIdAndRow) {
  v1::ScoredGroup wire;
  ToPb(SomeGroup(), PromptBody::kIdOnly, &wire);
  const absl::StatusOr<ScoredGroup> back = FromPb(wire, "group");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->prompt.id, 12);
  EXPECT_EQ(back->prompt.row, 5);
  EXPECT_TRUE(back->prompt.media.empty());
}

TEST(ConvertTest, ARewardServiceGetsNoKeptSets) {
  v1::Completion wire;
  ToPb(SomeGroup().completions[0], Kept::kWithout, &wire);
  EXPECT_FALSE(wire.has_kept());
  EXPECT_TRUE(FromPb(wire, "completion").ok());
}

TEST(ConvertTest, TextIsMadeUtf8) {
  EXPECT_EQ(ToUtf8("gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80"),
            "gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(ToUtf8("a\xc3"), "a?");
  EXPECT_EQ(ToUtf8("\xc0\xaf\xed\xa0\x80\xf5\x80\x80\x80"), "?????????");
  EXPECT_EQ(ToUtf8(std::string("a\0b", 3)), std::string("a\0b", 3));
}

struct Spoiled {
  const char* name;
  std::function<void(v1::ScoredGroup&)> spoil;
  const char* field;
};

class SpoiledTest : public testing::TestWithParam<Spoiled> {};

TEST_P(SpoiledTest, IsRefusedNamingTheField) {
  v1::ScoredGroup wire;
  ToPb(SomeGroup(), PromptBody::kWhole, &wire);
  GetParam().spoil(wire);
  const absl::Status status = FromPb(wire, "groups[3]").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().field));
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
v1::Completion& C(v1::ScoredGroup& group) { return *group.mutable_completions(0); }
v1::Bitmap& Layer(v1::ScoredGroup& group) {
  return *C(group).mutable_kept()->mutable_events(0)->mutable_layers(1);
}

INSTANTIATE_TEST_SUITE_P(
    Fields, SpoiledTest,
    testing::Values(
        Spoiled{"prompt_id", [](auto& g) { g.mutable_prompt()->set_id(~uint64_t{0}); },
                "groups[3].prompt.id: 18446744073709551615"},
        Spoiled{"row", [](auto& g) { g.mutable_prompt()->set_row(-1); }, "prompt.row: -1"},
        Spoiled{"prompt_token", [](auto& g) { g.mutable_prompt()->set_token_ids(2, -7); },
                "prompt.token_ids: [2] is -7"},
        Spoiled{"image_hash",
                [](auto& g) { g.mutable_prompt()->mutable_media(0)->set_content_hash(1); },
                "prompt.media[0].content_hash: given is 1"},
        Spoiled{"image_bytes",
                [](auto& g) { g.mutable_prompt()->mutable_media(0)->set_bytes("x"); },
                "prompt.media[0].content_hash"},
        Spoiled{
            "video_as_image",
            [](auto& g) { g.mutable_prompt()->mutable_media(1)->set_kind(v1::MEDIA_KIND_IMAGE); },
            "prompt.media[1].content_hash"},
        Spoiled{"media_kind",
                [](auto& g) {
                  g.mutable_prompt()->mutable_media(0)->set_kind(static_cast<v1::MediaKind>(7));
                },
                "prompt.media[0].kind: 7"},
        Spoiled{"image_path",
                [](auto& g) { g.mutable_prompt()->mutable_media(0)->set_path("/etc/passwd"); },
                "prompt.media[0].path"},
        Spoiled{"relative_path",
                [](auto& g) { g.mutable_prompt()->mutable_media(2)->set_path("b.mp4"); },
                "prompt.media[2].path"},
        Spoiled{"scores", [](auto& g) { g.add_scores(); }, "scores: 2 scores for 1 completions"},
        Spoiled{"version", [](auto& g) { g.set_version(-1); }, "groups[3].version: -1"},
        Spoiled{"huge_version", [](auto& g) { g.set_version(std::numeric_limits<int64_t>::max()); },
                "allowed is 0 to 2^53"},
        Spoiled{"generate", [](auto& g) { g.mutable_times()->set_generate(kNan); },
                "groups[3].times.generate: nan"},
        Spoiled{"score_time", [](auto& g) { g.mutable_times()->set_score(1 / 0.0); },
                "times.score: inf"},
        Spoiled{"worker_idle", [](auto& g) { g.mutable_times()->set_worker_idle(-1); },
                "times.worker_idle: -1, allowed are seconds from 0 on"},
        Spoiled{"index", [](auto& g) { C(g).set_index(-1); }, "completions[0].index: -1"},
        Spoiled{"zero_p", [](auto& g) { C(g).set_p(0); }, "completions[0].p: 0"},
        Spoiled{"nan_p", [](auto& g) { C(g).set_p(kNan); }, "completions[0].p: nan"},
        Spoiled{"large_p", [](auto& g) { C(g).set_p(1.5); }, "allowed is (0, 1]"},
        Spoiled{"token", [](auto& g) { C(g).set_token_ids(0, -1); }, "token_ids: [0] is -1"},
        Spoiled{"logprobs", [](auto& g) { C(g).add_logprobs(-1); },
                "logprobs: 3 numbers for 2 tokens"},
        Spoiled{"nan_logprob", [](auto& g) { C(g).set_logprobs(1, kNan); },
                "logprobs: nan is not finite"},
        Spoiled{"kept_ratio", [](auto& g) { C(g).set_kept_ratio(kNan); }, "kept_ratio"},
        Spoiled{"kept_mass", [](auto& g) { C(g).set_kept_mass(1 / 0.0); }, "kept_mass: inf"},
        Spoiled{"budget_logprob", [](auto& g) { C(g).set_budget_logprob(kNan); }, "budget_logprob"},
        Spoiled{"budget_action", [](auto& g) { C(g).set_budget_action(-2); }, "budget_action: -2"},
        Spoiled{"finish_reason", [](auto& g) { C(g).clear_finish_reason(); }, "finish_reason: 0"},
        Spoiled{"completion_version", [](auto& g) { C(g).set_version(-5); },
                "completions[0].version: -5"},
        Spoiled{"digest", [](auto& g) { C(g).set_digest(4); }, "digest: given is 4"},
        Spoiled{"bitmap_size", [](auto& g) { Layer(g).set_size(1000000); },
                "kept.events[0].layers[1].words: 16 bytes, a set of 1000000 has 125000"},
        Spoiled{"largest_bitmap", [](auto& g) { Layer(g).set_size(~uint32_t{0}); },
                "a set of 4294967295 has 536870912"},
        Spoiled{"bitmap_bits",
                [](auto& g) {
                  Layer(g).set_size(68);
                  (*Layer(g).mutable_words())[8] = 0x30;
                },
                "a bit beyond size 68 is set"},
        Spoiled{"layers", [](auto& g) { C(g).mutable_kept()->mutable_events(1)->add_layers(); },
                "kept.events: [1] has 3 layers, event 0 has 2"},
        Spoiled{"too_many_sets",
                [](auto& g) {
                  for (int i = 0; i < kMaxBitmaps; ++i) {
                    *C(g).mutable_kept()->add_events() = C(g).kept().events(0);
                  }
                },
                "more than 65536 sets"},
        Spoiled{"status", [](auto& g) { g.mutable_scores(0)->clear_status(); },
                "scores[0].status: 0"},
        Spoiled{"unknown_status",
                [](auto& g) { g.mutable_scores(0)->set_status(static_cast<v1::ScoreStatus>(9)); },
                "scores[0].status: 9"},
        Spoiled{"component",
                [](auto& g) { (*g.mutable_scores(0)->mutable_components())["accuracy"] = kNan; },
                "scores[0].components.accuracy: nan"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ziprl
