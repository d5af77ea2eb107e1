// Decode steps that are captured once and replayed, as on a GPU: the graph here is one of the
// test's, which runs the captured work again and compares what it launches.
#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "rollout/decode.h"
#include "rollout/group.h"
#include "tests/rollout/engine_case.h"

namespace ziprl {
namespace {

// The operations of a piece of work: names, shapes, and of what the work did not compute itself
// where it lies. A graph can hold it only if they are the same each time.
class Launches : public c10::MemoryReportingInfoBase {
 public:
  static std::vector<std::string> Of(const std::function<void()>& work) {
    const auto launches = std::make_shared<Launches>();
    current_ = launches.get();
    const c10::DebugInfoGuard memory(c10::DebugInfoKind::PROFILER_STATE, launches);
    const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback(&Launches::Begin)
                                                       .needsInputs(true)
                                                       .scopes({at::RecordScope::FUNCTION}));
    work();
    at::removeCallback(handle);
    current_ = nullptr;
    return launches->lines_;
  }

  void reportMemoryUsage(void* at, int64_t size, size_t, size_t, c10::Device) override {
    if (size > 0) own_.insert(at);
  }
  bool memoryProfilingEnabled() const override { return true; }

 private:
  static std::unique_ptr<at::ObserverContext> Begin(const at::RecordFunction& function) {
    std::string line = function.name();
    for (const c10::IValue& input : function.inputs()) {
      if (!input.isTensor()) {
        absl::StrAppend(&line, " ", c10::str(input));
        continue;
      }
      if (!input.toTensor().defined()) continue;
      const at::Tensor& tensor = input.toTensor();
      const void* at = tensor.storage().data();
      absl::StrAppend(&line, " ", c10::str(tensor.sizes()));
      if (at == nullptr || current_->own_.count(at) > 0) continue;
      absl::StrAppend(&line, "@", reinterpret_cast<uintptr_t>(at), "+", tensor.storage_offset());
    }
    current_->lines_.push_back(line);
    return nullptr;
  }

  static thread_local Launches* current_;
  std::vector<std::string> lines_;
  std::set<const void*> own_;  // what the work allocated
};
thread_local Launches* Launches::current_ = nullptr;

// Operations whose result the host needs.
bool WaitsForTheDevice(const std::string& launch) {
  for (const char* name : {"aten::item", "aten::_local_scalar_dense", "aten::nonzero",
                           "aten::masked_select", "aten::equal", "aten::is_nonzero"}) {
    if (absl::StartsWith(launch, name)) return true;
  }
  return false;
}

struct Counts {
  int captures = 0, replays = 0;
};

class RepeatedWork : public DeviceGraph {
 public:
  RepeatedWork(std::function<void()> body, Counts* counts)
      : body_(std::move(body)), counts_(counts) {}

  void Replay() override {
    ++counts_->replays;
    const std::vector<std::string> launched = Launches::Of(body_);
    if (launches_.empty()) launches_ = launched;
    EXPECT_GT(launched.size(), 20);
    EXPECT_EQ(launched, launches_);
    for (const std::string& line : launched) EXPECT_FALSE(WaitsForTheDevice(line)) << line;
  }

 private:
  const std::function<void()> body_;
  Counts* const counts_;
  std::vector<std::string> launches_;
};

class RepeatedWorks : public DeviceGraphs {
 public:
  explicit RepeatedWorks(Counts* counts, bool refuses = false)
      : counts_(counts), refuses_(refuses) {}

  std::unique_ptr<DeviceGraph> Capture(const std::function<void()>& body,
                                       std::string* error) override {
    ++counts_->captures;
    if (!refuses_) return std::make_unique<RepeatedWork>(body, counts_);
    *error = "no graphs today";
    return nullptr;
  }

 private:
  Counts* const counts_;
  const bool refuses_;
};

struct Case {
  std::string model = "base", dtype = "fp32";
  int samples = 5, length = 14, interval = 5;
  bool deterministic = true;
  int late = 0;  // of the samples: they join after the third step
};

// Every sample of a group by the tensors' decoder, with graphs or without.
std::vector<Completion> Generated(const Case& c, std::shared_ptr<DeviceGraphs> graphs) {
  const std::shared_ptr<Model> model = TinyModel(c.model, c.dtype);
  EngineConfig config = Settings(c.length, c.interval);
  config.ignore_eos = true;
  config.deterministic = c.deterministic;
  EngineContext context = *MakeEngineContext(config, *model);
  context.floats = nullptr;
  context.float_prompts = false;
  context.graphs = std::move(graphs);
  std::vector<double> thresholds;
  for (int s = 0; s < c.samples; ++s) thresholds.push_back(s % 3 == 0 ? 1.0 : 0.85 + 0.01 * s);
  VisualFeatures features;
  std::vector<Completion> out;
  const absl::Status status = GuardTorch(1, [&] {
    PrefilledGroup group =
        *StartGroup(context, features, TinyLease(TinyPrompt(*model, 90, 1, 3), thresholds, 3));
    std::vector<Sequence*> sequences;
    for (Sequence& sequence : group.sequences) sequences.push_back(&sequence);
    DecodeBatch batch(context);
    const int early = c.samples - c.late;
    batch.Join({sequences.begin(), sequences.begin() + early}, group.last_rows.narrow(0, 0, early));
    for (int step = 0; !batch.empty(); ++step) {
      if (step == 3 && c.late > 0) {
        batch.Join({sequences.begin() + early, sequences.end()},
                   group.last_rows.narrow(0, early, c.late));
      }
      batch.Step();
    }
    for (Sequence& sequence : group.sequences) out.push_back(std::move(sequence.out));
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

void ExpectSame(const std::vector<Completion>& got, const std::vector<Completion>& want,
                float tolerance = 0.0f) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t s = 0; s < got.size(); ++s) {
    SCOPED_TRACE(absl::StrCat("sample ", s));
    EXPECT_EQ(got[s].token_ids, want[s].token_ids);
    ASSERT_EQ(got[s].logprobs.size(), want[s].logprobs.size());
    for (size_t t = 0; t < got[s].logprobs.size(); ++t) {
      EXPECT_NEAR(got[s].logprobs[t], want[s].logprobs[t], tolerance);
    }
    ASSERT_EQ(got[s].kept.events.size(), want[s].kept.events.size());
    for (size_t e = 0; e < got[s].kept.events.size(); ++e) {
      for (size_t layer = 0; layer < got[s].kept.events[e].size(); ++layer) {
        EXPECT_EQ(got[s].kept.events[e][layer].words, want[s].kept.events[e][layer].words);
      }
    }
  }
}

TEST(TensorDecoderTest, ReplayedStepsAreTheOnesLaunchedOneByOne) {
  for (const char* model : {"base", "odd"}) {
    for (const char* dtype : {"fp32", "bf16"}) {
      SCOPED_TRACE(absl::StrCat(model, " ", dtype));
      Case c;
      c.model = model, c.dtype = dtype;
      Counts counts;
      ExpectSame(Generated(c, std::make_shared<RepeatedWorks>(&counts)), Generated(c, nullptr));
      EXPECT_EQ(counts.captures, 1);
      EXPECT_EQ(counts.replays,
                c.length - 2);  // the first token is the prompt's, one step warms up
    }
  }
}

TEST(TensorDecoderTest, AGraphServesEveryNumberOfRowsOfItsTiles) {
  Case c;
  c.deterministic = false;
  c.samples = 11, c.late = 3;
  Counts counts;
  ExpectSame(Generated(c, std::make_shared<RepeatedWorks>(&counts)), Generated(c, nullptr), 1e-4f);
  EXPECT_EQ(counts.captures, 2);  // for 8 rows, which the three use too in the end, and for 16
  EXPECT_EQ(counts.replays, c.length - 1 + 3 - 2);
}

TEST(TensorDecoderTest, ListsOfPagesThatOutgrowTheirPlaceMakeANewGraph) {
  Case c;
  c.samples = 8, c.length = 420, c.interval = 0;
  Counts counts;
  ExpectSame(Generated(c, std::make_shared<RepeatedWorks>(&counts)), Generated(c, nullptr));
  EXPECT_GE(counts.captures, 2);
  EXPECT_LE(counts.captures, 4);
  EXPECT_EQ(counts.replays, c.length - 1 - counts.captures);
}

TEST(TensorDecoderTest, WhereNothingCanBeCapturedStepsAreLaunchedOneByOne) {
  const Case c;
  Counts counts;
  ExpectSame(Generated(c, std::make_shared<RepeatedWorks>(&counts, /*refuses=*/true)),
             Generated(c, nullptr));
  EXPECT_EQ(counts.captures, 1);
  EXPECT_EQ(counts.replays, 0);
}

}  // namespace
}  // namespace ziprl
