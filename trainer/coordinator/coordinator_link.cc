#include "trainer/coordinator/coordinator_link.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "configs/base/backoff.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/coordinator.grpc.pb.h"
#include "proto/rpc_status.h"
#include "trainer/coordinator/coordinator_handler.h"

namespace ziprl {
namespace {

constexpr absl::Duration kNap = absl::Milliseconds(200);  // of a backoff, between looks at stop

}  // namespace

struct CoordinatorLink::Stub {
  std::unique_ptr<v1::Coordinator::Stub> rpc;
};

CoordinatorLink::CoordinatorLink(const Config& config, std::shared_ptr<grpc::Channel> channel)
    : config_(config),
      channel_(std::move(channel)),
      stub_(new Stub{v1::Coordinator::NewStub(channel_)}) {}

absl::StatusOr<std::unique_ptr<CoordinatorLink>> CoordinatorLink::Open(const Config& config) {
  ZIPRL_ASSIGN_OR_RETURN(auto channel, OpenChannel(config.address, config.security));
  return std::unique_ptr<CoordinatorLink>(new CoordinatorLink(config, std::move(channel)));
}

void CoordinatorLink::Prepare(absl::Duration timeout, grpc::ClientContext* context) const {
  PrepareCall(config_.security, absl::Now() + timeout, context);
}

absl::Status CoordinatorLink::HelloLocked() {
  grpc::ClientContext context;
  Prepare(config_.call_timeout, &context);
  v1::HelloRequest request;
  v1::HelloReply reply;
  request.set_protocol(kCoordinatorProtocol);
  request.set_role(config_.worker.name.empty() ? "learner" : "rollout");
  if (!config_.worker.name.empty()) ToPb(config_.worker, request.mutable_worker());
  request.set_config_hash(config_.identity.config_hash);
  request.set_model_hash(config_.identity.model_hash);
  ZIPRL_RETURN_IF_ERROR(FromGrpcStatus(stub_->rpc->Hello(&context, request, &reply)));
  session_ = reply.session();
  return absl::OkStatus();
}

absl::Status CoordinatorLink::BeginLocked() {
  grpc::ClientContext context;
  Prepare(config_.call_timeout, &context);
  v1::BeginRunRequest request;
  v1::BeginRunReply reply;
  request.set_session(session_);
  request.set_version(run_.version);
  request.set_position(run_.position);
  request.set_steps(run_.steps);
  request.set_steps_in_training(run_.steps_in_training);
  request.set_lease_epoch(run_.oldest_lease_id);
  request.set_weights(run_.weights);
  ZIPRL_RETURN_IF_ERROR(FromGrpcStatus(stub_->rpc->BeginRun(&context, request, &reply)));
  run_.oldest_lease_id = reply.lease_epoch();
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> CoordinatorLink::Session() {
  MutexLock lock(&session_mutex_);
  if (session_ != 0) return session_;
  ZIPRL_RETURN_IF_ERROR(HelloLocked());
  if (!run_begun_) return session_;
  const absl::Status begun = BeginLocked();
  if (!begun.ok()) session_ = 0;
  ZIPRL_RETURN_IF_ERROR(begun);
  return session_;
}

void CoordinatorLink::LoseSession(uint64_t session) {
  MutexLock lock(&session_mutex_);
  if (session_ == session) session_ = 0;
}

absl::Status CoordinatorLink::Unreachable(absl::Duration since, const absl::Status& last) const {
  return absl::UnavailableError(absl::StrFormat("coordinator %s unreachable for %.0f s: %s",
                                                config_.address, absl::ToDoubleSeconds(since),
                                                last.ToString()));
}

void CoordinatorLink::Nap(absl::Duration wait) const {
  const absl::Time end = absl::Now() + wait;
  while (!Stopping() && absl::Now() < end) absl::SleepFor(std::min(kNap, end - absl::Now()));
}

absl::Status CoordinatorLink::Call(absl::Duration longer, const Attempt& attempt) {
  uint64_t call = 0;
  {
    MutexLock lock(&mutex_);
    call = calls_++;
  }
  Backoff backoff(config_.first_backoff, config_.longest_backoff, config_.jitter_seed + call);
  const absl::Time start = absl::Now();
  while (true) {
    const absl::StatusOr<uint64_t> session = Session();
    absl::Status status = session.status();
    if (session.ok()) {
      grpc::ClientContext context;
      Prepare(config_.call_timeout + longer, &context);
      status = attempt(*session, &context);
      if (IsSessionLost(status)) LoseSession(*session);
    }
    if (!IsRetriable(status) && !IsSessionLost(status)) return status;
    const absl::Duration since = absl::Now() - start;
    if (since >= config_.give_up) return Unreachable(since, status);
    if (Stopping()) return absl::CancelledError(Unreachable(since, status).message());
    LogDebug(Unreachable(since, status).ToString());
    Nap(std::min(backoff.Next(), config_.give_up - since));
  }
}

// ---- the learner's run ----

void CoordinatorLink::SetRun(const RunStart& start) {
  MutexLock lock(&session_mutex_);
  run_ = start;
  run_.oldest_lease_id = 0;
  run_begun_ = true;
  session_ = 0;  // Hello and BeginRun are said together
}

uint64_t CoordinatorLink::steps_received() {
  MutexLock lock(&session_mutex_);
  return steps_received_;
}

// A coordinator that a sign of life has found restarted meanwhile was told less than what is noted
// here; in both cases below it is told again.
void CoordinatorLink::StepReceived(uint64_t session, uint64_t position) {
  MutexLock lock(&session_mutex_);
  ++steps_received_;
  run_.position = position;
  --run_.steps;
  ++run_.steps_in_training;
  if (session_ != session) session_ = 0;
}

void CoordinatorLink::Published(uint64_t session, PolicyVersion version) {
  MutexLock lock(&session_mutex_);
  run_.version = version;
  run_.steps_in_training = 0;
  if (session_ != session) session_ = 0;
}

// ---- signs of life ----

absl::Status CoordinatorLink::HeartbeatOnce() {
  ZIPRL_ASSIGN_OR_RETURN(const uint64_t session, Session());
  grpc::ClientContext context;
  Prepare(config_.call_timeout, &context);
  v1::HeartbeatRequest request;
  v1::HeartbeatReply reply;
  request.set_session(session);
  if (!config_.worker.name.empty()) ToPb(config_.worker, request.mutable_worker());
  const absl::Status status = FromGrpcStatus(stub_->rpc->Heartbeat(&context, request, &reply));
  if (IsSessionLost(status)) LoseSession(session);
  return status;
}

void CoordinatorLink::StartHeartbeats() {
  if (config_.heartbeat <= absl::ZeroDuration()) return;
  heartbeats_ = std::thread([this] {
    while (true) {
      {
        MutexLock lock(&mutex_);
        const absl::Time next = absl::Now() + config_.heartbeat;
        while (!stop_ && absl::Now() < next) {
          stopping_.WaitWithTimeout(&mutex_, next - absl::Now());
        }
        if (stop_) return;
      }
      const absl::Status status = HeartbeatOnce();
      if (!status.ok()) LogDebug(absl::StrCat("heartbeat: ", status.ToString()));
    }
  });
}

CoordinatorLink::~CoordinatorLink() {
  {
    MutexLock lock(&mutex_);
    stop_ = true;
    stopping_.NotifyAll();
  }
  if (heartbeats_.joinable()) heartbeats_.join();
}

}  // namespace ziprl
