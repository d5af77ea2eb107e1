#include "trainer/coordinator/coordinator_handler.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/coordinator.pb.h"
#include "proto/rpc_status.h"
#include "trainer/coordinator/push_call.h"
#include "trainer/coordinator/snapshot_pb.h"

namespace ziprl {
namespace {

constexpr absl::Duration kSlice =
    absl::Milliseconds(500);              // of a wait, between looks at the caller
constexpr size_t kReplyBytes = 48 << 20;  // of leases in one reply, the last one besides

uint64_t NewSession() {
  std::random_device device;
  const uint64_t high = device(), low = device();
  return std::max<uint64_t>(high << 32 | low, 1);
}

absl::Status NoRun() {
  return SessionLost("no run has begun here: the learner has not said BeginRun yet");
}

std::string CallerOf(const v1::HelloRequest& request) {
  return request.worker().name().empty()
             ? request.role()
             : absl::StrFormat("%s '%s'", request.role(), request.worker().name());
}

absl::Status CheckSame(const v1::HelloRequest& request, const char* what, const std::string& ours,
                       const std::string& theirs) {
  if (ours.empty() || theirs.empty() || ours == theirs) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat("%s: the coordinator has %s, the %s has %s",
                                                       what, ours, CallerOf(request), theirs));
}

// Puts leases into the reply while they fit; the number that did.
size_t FillReply(const std::vector<GroupLease>& leases, v1::LeaseReply* reply) {
  size_t bytes = 0;
  for (size_t i = 0; i < leases.size(); ++i) {
    v1::GroupLease* lease = reply->add_leases();
    ToPb(leases[i], lease);
    bytes += lease->ByteSizeLong();
    if (bytes > kReplyBytes && i > 0) {
      reply->mutable_leases()->RemoveLast();
      return i;
    }
  }
  return leases.size();
}

std::vector<uint64_t> IdsFrom(const std::vector<GroupLease>& leases, size_t begin) {
  std::vector<uint64_t> ids;
  for (size_t i = begin; i < leases.size(); ++i) ids.push_back(leases[i].lease_id);
  return ids;
}

}  // namespace

CoordinatorHandler::CoordinatorHandler(const Config& config, std::shared_ptr<LocalCoordinator> run)
    : config_(config), session_(NewSession()), start_(config.clock->Now()), run_(std::move(run)) {}

CoordinatorHandler::CoordinatorHandler(const Config& config, MakeRun make_run)
    : config_(config),
      make_run_(std::move(make_run)),
      session_(NewSession()),
      start_(config.clock->Now()) {}

CoordinatorHandler::~CoordinatorHandler() = default;

absl::Status CoordinatorHandler::CheckSession(uint64_t session) const {
  if (session == session_) return absl::OkStatus();
  return SessionLost(
      absl::StrFormat("session %d is not of this coordinator (%d): it was restarted, say Hello",
                      session, session_));
}

void CoordinatorHandler::NoteLearner() {
  MutexLock lock(&mutex_);
  learner_seen_ = config_.clock->Now();
}

void CoordinatorHandler::TellOfLearner(v1::LeaseReply* reply) {
  MutexLock lock(&mutex_);
  const bool here = make_run_ == nullptr;  // in this process
  reply->set_learner_known(here || learner_seen_.has_value());
  if (here || !learner_seen_.has_value()) return;
  reply->set_learner_silent_ms(absl::ToInt64Milliseconds(config_.clock->Now() - *learner_seen_));
}

CoordinatorHandler::Run CoordinatorHandler::CurrentRun() {
  MutexLock lock(&mutex_);
  return run_;
}

CoordinatorHandler::Run CoordinatorHandler::WaitForRun(absl::Time deadline,
                                                       const Cancelled& cancelled) {
  MutexLock lock(&mutex_);
  while (run_ == nullptr && absl::Now() < deadline && !cancelled()) {
    run_changed_.WaitWithTimeout(&mutex_, std::min(kSlice, deadline - absl::Now()));
  }
  return run_;
}

absl::Duration CoordinatorHandler::WaitOf(int64_t milliseconds) const {
  return std::clamp(absl::Milliseconds(milliseconds), absl::ZeroDuration(), config_.longest_wait);
}

absl::StatusOr<CoordinatorHandler::Run> CoordinatorHandler::RunOf(uint64_t session) {
  ZIPRL_RETURN_IF_ERROR(CheckSession(session));
  Run run = CurrentRun();
  if (run == nullptr) return NoRun();
  return run;
}

// ---- Hello, Heartbeat ----

absl::Status CoordinatorHandler::CheckIdentity(const v1::HelloRequest& request) const {
  if (request.protocol() != kCoordinatorProtocol) {
    return absl::FailedPreconditionError(
        absl::StrFormat("protocol version: the coordinator has %d, the %s has %d",
                        kCoordinatorProtocol, CallerOf(request), request.protocol()));
  }
  ZIPRL_RETURN_IF_ERROR(
      CheckSame(request, "config hash", config_.identity.config_hash, request.config_hash()));
  return CheckSame(request, "model hash", config_.identity.model_hash, request.model_hash());
}

absl::Status CoordinatorHandler::Hello(const v1::HelloRequest& request, v1::HelloReply* reply) {
  ZIPRL_RETURN_IF_ERROR(CheckIdentity(request));
  if (request.role() != "rollout" && request.role() != "learner") {
    return absl::InvalidArgumentError(
        absl::StrFormat("role: '%s', allowed is rollout | learner", request.role()));
  }
  if (request.role() == "rollout") {
    ZIPRL_ASSIGN_OR_RETURN(const WorkerId worker, FromPb(request.worker(), "worker"));
    if (const Run run = CurrentRun()) ZIPRL_RETURN_IF_ERROR(run->Heartbeat(worker));
  } else {
    NoteLearner();
  }
  reply->set_session(session_);
  reply->set_protocol(kCoordinatorProtocol);
  return absl::OkStatus();
}

absl::Status CoordinatorHandler::Heartbeat(const v1::HeartbeatRequest& request,
                                           v1::HeartbeatReply* reply) {
  ZIPRL_RETURN_IF_ERROR(CheckSession(request.session()));
  if (!request.has_worker()) NoteLearner();
  const Run run = CurrentRun();
  if (run == nullptr) return request.has_worker() ? absl::OkStatus() : NoRun();
  if (request.has_worker()) {
    ZIPRL_ASSIGN_OR_RETURN(const WorkerId worker, FromPb(request.worker(), "worker"));
    ZIPRL_RETURN_IF_ERROR(run->Heartbeat(worker));
  }
  reply->set_version(run->version());
  return absl::OkStatus();
}

// ---- Lease ----

std::shared_ptr<CoordinatorHandler::LastLease> CoordinatorHandler::LastLeaseOf(
    const std::string& worker) {
  MutexLock lock(&mutex_);
  if (last_leases_.size() > WorkerRegistry::kMaxWorkers) {
    std::erase_if(last_leases_, [](const auto& entry) { return entry.second.use_count() == 1; });
  }
  std::shared_ptr<LastLease>& last = last_leases_[worker];
  if (last == nullptr) last = std::make_shared<LastLease>();
  return last;
}

// What the worker does with leases shows that it has them.
void CoordinatorHandler::ForgetLeases(const WorkerId& worker, const std::vector<uint64_t>& ids) {
  const std::shared_ptr<LastLease> last = LastLeaseOf(worker.name);
  MutexLock lock(&last->mutex);
  if (last->incarnation != worker.incarnation) return;
  std::erase_if(last->leases, [&ids](const GroupLease& lease) {
    return std::find(ids.begin(), ids.end(), lease.lease_id) != ids.end();
  });
}

absl::StatusOr<std::vector<GroupLease>> CoordinatorHandler::NewLeases(const Run& run,
                                                                      const WorkerId& worker,
                                                                      int max_groups,
                                                                      absl::Time deadline,
                                                                      const Cancelled& cancelled) {
  while (true) {
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    absl::StatusOr<std::vector<GroupLease>> leases =
        run->Lease(worker, max_groups, std::min(left, kSlice));
    if (absl::IsOutOfRange(leases.status()) && CurrentRun() != run) {
      return std::vector<GroupLease>();  // another run began meanwhile
    }
    if (!leases.ok() || !leases->empty() || left <= kSlice || cancelled()) return leases;
  }
}

absl::Status CoordinatorHandler::Lease(const v1::LeaseRequest& request, const Cancelled& cancelled,
                                       v1::LeaseReply* reply) {
  ZIPRL_RETURN_IF_ERROR(CheckSession(request.session()));
  ZIPRL_ASSIGN_OR_RETURN(const WorkerId worker, FromPb(request.worker(), "worker"));
  if (request.max_groups() < 1 || request.max_groups() > kMaxGroupsPerCall) {
    return absl::InvalidArgumentError(absl::StrFormat("max_groups: %d, allowed is 1 to %d",
                                                      request.max_groups(), kMaxGroupsPerCall));
  }
  const absl::Time deadline = absl::Now() + WaitOf(request.wait_ms());
  const Run run = WaitForRun(deadline, cancelled);
  TellOfLearner(reply);
  if (run == nullptr) return absl::OkStatus();  // the learner is still on its way
  ZIPRL_RETURN_IF_ERROR(run->Heartbeat(worker));
  const std::shared_ptr<LastLease> last = LastLeaseOf(worker.name);
  const MutexLock call(&last->calls);
  std::vector<GroupLease> leases;
  bool repeated = false;
  {
    MutexLock lock(&last->mutex);
    const bool same_life = last->incarnation == worker.incarnation;
    if (same_life && request.sequence() < last->sequence) return absl::OkStatus();  // nobody waits
    repeated = same_life && request.sequence() == last->sequence && last->given;
    if (repeated) leases = last->leases;
  }
  if (!repeated) {
    ZIPRL_ASSIGN_OR_RETURN(leases,
                           NewLeases(run, worker, request.max_groups(), deadline, cancelled));
  }
  const bool given = repeated || !leases.empty();
  const size_t sent = FillReply(leases, reply);
  const std::vector<uint64_t> rest = IdsFrom(leases, sent);
  leases.resize(sent);
  {
    MutexLock lock(&last->mutex);
    last->incarnation = worker.incarnation;
    last->sequence = request.sequence();
    last->given = given;
    last->leases = std::move(leases);
  }
  return rest.empty() ? absl::OkStatus() : run->Abandon(worker, rest);
}

// ---- Push, Abandon ----

absl::Status CoordinatorHandler::Push(const ReadPart& read) {
  v1::PushRequest part;
  const absl::Status broken =
      absl::CancelledError("the push broke off before its last part: nothing of it is taken in");
  if (!read(&part)) return broken;
  ZIPRL_ASSIGN_OR_RETURN(const Run run, RunOf(part.session()));
  ZIPRL_ASSIGN_OR_RETURN(const WorkerId worker, FromPb(part.worker(), "worker"));
  PushCall call(*run);
  ZIPRL_RETURN_IF_ERROR(call.Add(part));
  while (part.more()) {
    if (!read(&part)) return broken;
    ZIPRL_RETURN_IF_ERROR(call.Add(part));
  }
  ForgetLeases(worker, call.LeaseIds());
  return call.Finish(worker);
}

absl::Status CoordinatorHandler::Abandon(const v1::AbandonRequest& request) {
  ZIPRL_ASSIGN_OR_RETURN(const Run run, RunOf(request.session()));
  ZIPRL_ASSIGN_OR_RETURN(const WorkerId worker, FromPb(request.worker(), "worker"));
  const std::vector<uint64_t> ids(request.lease_ids().begin(), request.lease_ids().end());
  ForgetLeases(worker, ids);
  return run->Abandon(worker, ids);
}

absl::Status CoordinatorHandler::Status(v1::StatusReply* reply) {
  CoordinatorSnapshot snapshot;
  const Run run = CurrentRun();
  if (run != nullptr) snapshot = run->Snapshot();
  snapshot.run_begun = run != nullptr;
  snapshot.uptime = config_.clock->Now() - start_;
  ToPb(snapshot, reply);
  return absl::OkStatus();
}

}  // namespace ziprl
