// The way to a coordinator in another process: the session, its renewal after the coordinator was
// restarted, repeated attempts with growing waits, signs of life. For a learner it also keeps where
// the run would go on, which a new coordinator is told. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "configs/base/clock.h"
#include "configs/base/mutex.h"
#include "proto/coordinator.h"
#include "proto/rpc.h"
#include "trainer/coordinator/run_identity.h"
#include "trainer/coordinator/run_start.h"

namespace ziprl {

class CoordinatorLink {
 public:
  struct Config {
    std::string address;  // host:port
    RpcSecurity security;
    RunIdentity identity;
    WorkerId worker;  // who says Hello and gives signs of life; no name: the learner
    absl::Duration heartbeat = absl::Seconds(5);  // between signs of life; zero: none
    absl::Duration call_timeout =
        absl::Seconds(30);                        // of one attempt, the coordinator's wait apart
    absl::Duration give_up = absl::Seconds(120);  // without reaching the coordinator
    absl::Duration learner_limit =
        absl::InfiniteDuration();  // a worker waits this long at a coordinator without a learner
    const Clock* clock = Clock::Real();  // of learner_limit
    absl::Duration first_backoff = absl::Milliseconds(100), longest_backoff = absl::Seconds(2);
    uint64_t jitter_seed = 0;
    std::function<bool()> stop_requested;  // ends retries with Cancelled; may be null
  };

  // What one attempt of a call does; the context has its deadline and the token.
  using Attempt = std::function<absl::Status(uint64_t session, grpc::ClientContext* context)>;

  static absl::StatusOr<std::unique_ptr<CoordinatorLink>> Open(const Config& config);
  ~CoordinatorLink();

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // Says Hello if need be and repeats `attempt` until the coordinator has answered or give_up has
  // passed. `longer` is what the coordinator may wait on its side.
  absl::Status Call(absl::Duration longer, const Attempt& attempt);

  // Signs of life from now on.
  void StartHeartbeats();

  // The learner's run: where it starts, and what happened since, with the session that it happened
  // in. The next call tells a coordinator that does not know it.
  void SetRun(const RunStart& start);
  uint64_t steps_received();
  void StepReceived(uint64_t session, uint64_t position);
  void Published(uint64_t session, PolicyVersion version);

 private:
  struct Stub;
  CoordinatorLink(const Config& config, std::shared_ptr<grpc::Channel> channel);

  absl::StatusOr<uint64_t> Session();
  absl::Status HelloLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(session_mutex_);
  absl::Status BeginLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(session_mutex_);
  void LoseSession(uint64_t session);
  absl::Status HeartbeatOnce();
  absl::Status Unreachable(absl::Duration since, const absl::Status& last) const;
  bool Stopping() const { return config_.stop_requested && config_.stop_requested(); }
  void Nap(absl::Duration wait) const;
  void Prepare(absl::Duration timeout, grpc::ClientContext* context) const;

  const Config config_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<Stub> stub_;

  // Held while Hello and BeginRun are said, so that what the learner notes of its run and what a
  // new coordinator is told never cross.
  Mutex session_mutex_;
  uint64_t session_ ABSL_GUARDED_BY(session_mutex_) = 0;  // 0: Hello is to be said
  bool run_begun_ ABSL_GUARDED_BY(session_mutex_) = false;
  RunStart run_ ABSL_GUARDED_BY(session_mutex_);  // where it would go on now
  uint64_t steps_received_ ABSL_GUARDED_BY(session_mutex_) = 0;

  Mutex mutex_;
  CondVar stopping_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread heartbeats_;
};

}  // namespace ziprl
