#include "trainer/colocated_learner.h"

#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr absl::Duration kLongestWait = absl::Milliseconds(200);

}  // namespace

class ColocatedLearner::TurnEngine : public RolloutEngine {
 public:
  explicit TurnEngine(ColocatedLearner& owner) : owner_(owner) {}

  absl::Status GenerateStream(GroupStream& groups) override {
    MutexLock lock(&owner_.turn_);
    const absl::Time deadline = absl::Now() + kLongestWait;
    while ((!owner_.open_ || owner_.wanted_ > 0) && absl::Now() < deadline) {
      owner_.opened_.WaitWithTimeout(&owner_.turn_, deadline - absl::Now());
    }
    if (!owner_.open_) return absl::FailedPreconditionError("the learner has the parameters");
    const StreamInTurn stream(owner_, groups);
    return owner_.inner_engine_.GenerateStream(groups);
  }

  // Decoding takes threads, which a learner has to itself.
  void Prepare(const std::vector<GroupLease>& leases) override {
    if (owner_.open_) owner_.inner_engine_.Prepare(leases);
  }

  PolicyVersion version() const override {
    MutexLock lock(&owner_.turn_);
    return owner_.version_;
  }

 private:
  // Known to whoever wants the turn for as long as it lives, however the call ends.
  class StreamInTurn {
   public:
    StreamInTurn(ColocatedLearner& owner, GroupStream& stream) : owner_(owner) {
      owner_.SetStream(&stream);
    }
    ~StreamInTurn() { owner_.SetStream(nullptr); }
    StreamInTurn(const StreamInTurn&) = delete;
    StreamInTurn& operator=(const StreamInTurn&) = delete;

   private:
    ColocatedLearner& owner_;
  };

  ColocatedLearner& owner_;
};

ColocatedLearner::ColocatedLearner(Learner& learner, RolloutEngine& engine)
    : learner_(learner), inner_engine_(engine), engine_(std::make_unique<TurnEngine>(*this)) {}

ColocatedLearner::~ColocatedLearner() = default;

RolloutEngine& ColocatedLearner::engine() { return *engine_; }

ColocatedLearner::Turn::Turn(ColocatedLearner& of) : of_(of) {
  ++of_.wanted_;
  of_.CloseStream();
  of_.turn_.Lock();
  --of_.wanted_;
}

ColocatedLearner::Turn::~Turn() {
  of_.turn_.Unlock();
  of_.opened_.NotifyAll();
}

// Whoever wants the turn closes the stream that is there, or the engine sees here that it is
// wanted.
void ColocatedLearner::SetStream(GroupStream* stream) {
  MutexLock lock(&stream_mutex_);
  stream_ = stream;
  if (stream != nullptr && wanted_ > 0) stream->Close();
}

void ColocatedLearner::CloseStream() {
  MutexLock lock(&stream_mutex_);
  if (stream_ != nullptr) stream_->Close();
}

absl::Status ColocatedLearner::BeginGeneration() {
  if (generating_) return absl::OkStatus();
  ZIPRL_RETURN_IF_ERROR(learner_.GatherParams());
  generating_ = true;
  MutexLock lock(&turn_);
  open_ = true;
  version_ = inner_engine_.version();
  opened_.NotifyAll();
  return absl::OkStatus();
}

void ColocatedLearner::EndGeneration() {
  if (!generating_) return;
  {
    Turn turn(*this);
    open_ = false;
  }
  inner_engine_.FreeMemory();
  learner_.ReleaseParams(/*changed=*/false);
  generating_ = false;
}

absl::StatusOr<StepStats> ColocatedLearner::Step(const std::vector<ScoredGroup>& groups,
                                                 const StepAdvantages& advantages) {
  EndGeneration();
  return learner_.Step(groups, advantages);
}

absl::Status ColocatedLearner::GatherParams() {
  return generating_ ? absl::OkStatus() : learner_.GatherParams();
}

void ColocatedLearner::ReleaseParams(bool changed) {
  if (!generating_) learner_.ReleaseParams(changed);
}

}  // namespace ziprl
