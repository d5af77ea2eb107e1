#include "trainer/coordinator/coordinator_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/coordinator.grpc.pb.h"
#include "proto/rpc_status.h"
#include "trainer/coordinator/coordinator_handler.h"
#include "trainer/coordinator/group_parts.h"
#include "trainer/coordinator/snapshot_pb.h"

namespace ziprl {
namespace {

constexpr size_t kPushBytes = 32 << 20;  // of one Push call, its last group besides
constexpr absl::Duration kLongestAsk = absl::Seconds(10);  // of waiting, in one call
// For a step of many gigabytes; the channel's pings notice a coordinator that is gone.
constexpr absl::Duration kStepTransfer = absl::Minutes(5);
constexpr absl::Duration kNoWait = absl::ZeroDuration();

// Of the encoded group, its prompt and scores apart.
size_t RoughBytes(const ScoredGroup& group) {
  size_t bytes = 0;
  for (const Completion& completion : group.completions) {
    bytes += 8 * completion.token_ids.size() + completion.text.size() +
             2 * completion.selection_logits.size() + 256;
    for (const auto& layers : completion.kept.events) {
      for (const Bitmap& layer : layers) bytes += 8 * layer.words.size() + 8;
    }
  }
  return bytes;
}

}  // namespace

struct CoordinatorClient::Stub {
  std::unique_ptr<v1::Coordinator::Stub> rpc;
};

CoordinatorClient::CoordinatorClient(const Config& config, std::unique_ptr<CoordinatorLink> link)
    : address_(config.address),
      clock_(config.clock),
      link_(std::move(link)),
      stub_(new Stub{v1::Coordinator::NewStub(link_->channel())}),
      learner_watch_(config.learner_limit, clock_->Now()) {}

CoordinatorClient::~CoordinatorClient() = default;

absl::StatusOr<std::unique_ptr<CoordinatorClient>> CoordinatorClient::Connect(
    const Config& config) {
  ZIPRL_ASSIGN_OR_RETURN(auto link, CoordinatorLink::Open(config));
  const auto nothing = [](uint64_t, grpc::ClientContext*) { return absl::OkStatus(); };
  ZIPRL_RETURN_IF_ERROR(link->Call(kNoWait, nothing));
  link->StartHeartbeats();
  return std::unique_ptr<CoordinatorClient>(new CoordinatorClient(config, std::move(link)));
}

// ---- the worker's calls ----

uint64_t CoordinatorClient::NextSequence(const WorkerId& worker) {
  MutexLock lock(&mutex_);
  return ++sequences_[worker.name];
}

absl::Status CoordinatorClient::CheckLearner(bool known, absl::Duration silent) {
  MutexLock lock(&mutex_);
  const absl::Status status = learner_watch_.Check(clock_->Now(), known, silent);
  if (status.ok()) return status;
  return absl::UnavailableError(absl::StrFormat(
      "coordinator %s: %s: start `ziprl learn CONFIG --coordinator %s`, then this worker again",
      address_, status.message(), address_));
}

absl::StatusOr<std::vector<GroupLease>> CoordinatorClient::LeaseOnce(const WorkerId& worker,
                                                                     int max_groups,
                                                                     absl::Duration wait) {
  v1::LeaseRequest request;
  v1::LeaseReply reply;
  ToPb(worker, request.mutable_worker());
  request.set_sequence(NextSequence(worker));
  request.set_max_groups(std::min(max_groups, kMaxGroupsPerCall));
  request.set_wait_ms(absl::ToInt64Milliseconds(wait));
  ZIPRL_RETURN_IF_ERROR(link_->Call(wait, [&](uint64_t session, grpc::ClientContext* context) {
    request.set_session(session);
    return FromGrpcStatus(stub_->rpc->Lease(context, request, &reply));
  }));
  std::vector<GroupLease> leases;
  if (reply.leases().empty()) {
    ZIPRL_RETURN_IF_ERROR(
        CheckLearner(reply.learner_known(), absl::Milliseconds(reply.learner_silent_ms())));
  }
  for (int i = 0; i < reply.leases_size(); ++i) {
    ZIPRL_ASSIGN_OR_RETURN(GroupLease lease,
                           FromPb(reply.leases(i), absl::StrFormat("leases[%d]", i)));
    leases.push_back(std::move(lease));
  }
  return leases;
}

absl::StatusOr<std::vector<GroupLease>> CoordinatorClient::Lease(const WorkerId& worker,
                                                                 int max_groups,
                                                                 absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  while (true) {
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    auto leases = LeaseOnce(worker, max_groups, std::min(left, kLongestAsk));
    if (!leases.ok() || !leases->empty() || absl::Now() >= deadline) return leases;
  }
}

absl::Status CoordinatorClient::PushOnce(const WorkerId& worker,
                                         absl::Span<const ScoredGroup> groups) {
  size_t bytes = 0;
  for (const ScoredGroup& group : groups) bytes += RoughBytes(group);
  const absl::Duration longer = absl::Seconds(bytes >> 20);  // at 1 MiB/s
  return link_->Call(longer, [&](uint64_t session, grpc::ClientContext* context) {
    v1::PushRequest first;
    first.set_session(session);
    ToPb(worker, first.mutable_worker());
    v1::PushReply reply;
    const auto writer = stub_->rpc->Push(context, &reply);
    // What ends the writing early is what Finish says.
    WriteGroups<v1::PushRequest>(groups, PromptBody::kIdOnly, std::move(first),
                                 [&writer](v1::PushRequest& part, bool more) {
                                   part.set_more(more);
                                   grpc::WriteOptions options;
                                   if (!more) options.set_last_message();
                                   return writer->Write(part, options);
                                 });
    return FromGrpcStatus(writer->Finish());
  });
}

absl::Status CoordinatorClient::Push(const WorkerId& worker, std::vector<ScoredGroup> groups) {
  absl::Status first;
  size_t begin = 0, bytes = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    bytes += RoughBytes(groups[i]);
    const size_t end = i + 1;
    const bool full = bytes >= kPushBytes || end - begin == kMaxGroupsPerCall;
    if (!full && end < groups.size()) continue;
    const absl::Status status =
        PushOnce(worker, absl::MakeConstSpan(groups).subspan(begin, end - begin));
    first.Update(status);
    if (OutOfReach(status)) return status;
    begin = end;
    bytes = 0;
  }
  return first;
}

absl::Status CoordinatorClient::Abandon(const WorkerId& worker,
                                        const std::vector<uint64_t>& lease_ids) {
  v1::AbandonRequest request;
  v1::AbandonReply reply;
  ToPb(worker, request.mutable_worker());
  request.mutable_lease_ids()->Assign(lease_ids.begin(), lease_ids.end());
  return link_->Call(kNoWait, [&](uint64_t session, grpc::ClientContext* context) {
    request.set_session(session);
    return FromGrpcStatus(stub_->rpc->Abandon(context, request, &reply));
  });
}

// ---- the learner's calls ----

namespace {

absl::Status AddPart(const v1::NextStepPart& part, std::vector<ScoredGroup>* groups) {
  for (const v1::ScoredGroup& in : part.groups()) {
    ZIPRL_ASSIGN_OR_RETURN(ScoredGroup group,
                           FromPb(in, absl::StrFormat("groups[%d]", groups->size())));
    groups->push_back(std::move(group));
  }
  for (int i = 0; i < part.selection_logits_size(); ++i) {
    ZIPRL_RETURN_IF_ERROR(AddSelectionLogits(part.selection_logits(i),
                                             absl::StrFormat("selection_logits[%d]", i),
                                             absl::MakeSpan(*groups)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CoordinatorClient::BeginRun(const RunStart& start) {
  link_->SetRun(start);
  return link_->Call(kNoWait, [](uint64_t, grpc::ClientContext*) { return absl::OkStatus(); });
}

absl::StatusOr<std::vector<ScoredGroup>> CoordinatorClient::NextStepOnce(absl::Duration wait,
                                                                         std::string* waiting) {
  v1::NextStepRequest request;
  request.set_step(link_->steps_received());
  request.set_wait_ms(absl::ToInt64Milliseconds(wait));
  std::vector<ScoredGroup> groups;
  uint64_t used = 0;
  const absl::Duration longer = wait + kStepTransfer;
  ZIPRL_RETURN_IF_ERROR(link_->Call(longer, [&](uint64_t session, grpc::ClientContext* context) {
    used = session;
    request.set_session(session);
    groups.clear();
    const auto reader = stub_->rpc->NextStep(context, request);
    absl::Status bad;
    for (v1::NextStepPart part; reader->Read(&part);) {
      *waiting = part.waiting_for();
      bad.Update(AddPart(part, &groups));
    }
    const absl::Status ended = FromGrpcStatus(reader->Finish());
    for (size_t g = 0; ended.ok() && g < groups.size(); ++g) {
      bad.Update(CheckSelectionLogits(groups[g], absl::StrFormat("groups[%d]", g)));
    }
    return ended.ok() ? bad : ended;
  }));
  if (!groups.empty()) link_->StepReceived(used, groups.back().prompt.id + 1);
  return groups;
}

absl::StatusOr<std::vector<ScoredGroup>> CoordinatorClient::NextStep(absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  while (true) {
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    std::string waiting;
    auto groups = NextStepOnce(std::min(left, kLongestAsk), &waiting);
    if (!groups.ok() || !groups->empty()) return groups;
    if (absl::Now() >= deadline) return absl::DeadlineExceededError(waiting);
  }
}

absl::Status CoordinatorClient::PublishVersion(PolicyVersion version) {
  v1::PublishVersionRequest request;
  v1::PublishVersionReply reply;
  request.set_version(version);
  uint64_t used = 0;
  ZIPRL_RETURN_IF_ERROR(link_->Call(kNoWait, [&](uint64_t session, grpc::ClientContext* context) {
    used = session;
    request.set_session(session);
    return FromGrpcStatus(stub_->rpc->PublishVersion(context, request, &reply));
  }));
  link_->Published(used, version);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> CoordinatorClient::StaleGroups() {
  v1::StatusReply reply;
  ZIPRL_RETURN_IF_ERROR(link_->Call(kNoWait, [&](uint64_t, grpc::ClientContext* context) {
    return FromGrpcStatus(stub_->rpc->Status(context, v1::StatusRequest(), &reply));
  }));
  return reply.groups_refused_stale();
}

absl::Status CoordinatorClient::EndRun() {
  v1::EndRunRequest request;
  v1::EndRunReply reply;
  return link_->Call(kNoWait, [&](uint64_t session, grpc::ClientContext* context) {
    request.set_session(session);
    return FromGrpcStatus(stub_->rpc->EndRun(context, request, &reply));
  });
}

absl::Status CoordinatorClient::Heartbeat(const WorkerId& worker) {
  v1::HeartbeatRequest request;
  v1::HeartbeatReply reply;
  ToPb(worker, request.mutable_worker());
  return link_->Call(kNoWait, [&](uint64_t session, grpc::ClientContext* context) {
    request.set_session(session);
    return FromGrpcStatus(stub_->rpc->Heartbeat(context, request, &reply));
  });
}

absl::StatusOr<CoordinatorSnapshot> FetchSnapshot(const std::string& address,
                                                  const RpcSecurity& security,
                                                  absl::Duration timeout) {
  ZIPRL_ASSIGN_OR_RETURN(const auto channel, OpenChannel(address, security));
  const auto stub = v1::Coordinator::NewStub(channel);
  grpc::ClientContext context;
  PrepareCall(security, absl::Now() + timeout, &context);
  v1::StatusReply reply;
  const absl::Status status = FromGrpcStatus(stub->Status(&context, v1::StatusRequest(), &reply));
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrFormat("coordinator %s: %s", address, status.message()));
  }
  return SnapshotFromPb(reply);
}

}  // namespace ziprl
