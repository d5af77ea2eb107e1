#include "launch/weight_sender.h"

#include <unistd.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/tcp.h"
#include "proto/weights/weight_places.h"

namespace ziprl {
namespace {

// Of this process, and of no other one that ever had its number.
std::string NewJobName() {
  std::random_device random;
  return absl::StrFormat("%d-%08x%08x", getpid(), random(), random());
}

WeightService::Config ServiceConfig(const WeightSender::Config& config) {
  WeightService::Config out;
  out.delta = config.route.way == WeightWay::kGrpc || !config.route.one_host;
  out.threads = config.threads;
  return out;
}

void WarnOfGrpc(const absl::Status& status) {
  LogWarn(absl::StrCat("weights go over gRPC instead of shared memory: ", status.message()));
}

}  // namespace

WeightSender::WeightSender(const Config& config)
    : config_(config), service_(&store_, ServiceConfig(config)), server_(&service_) {}

WeightSender::~WeightSender() = default;

absl::StatusOr<std::unique_ptr<WeightSender>> WeightSender::Start(const Config& config) {
  std::unique_ptr<WeightSender> out(new WeightSender(config));
  WeightPlaces places;
  if (config.route.way == WeightWay::kBroadcast) {
    out->broadcaster_ =
        std::make_unique<WeightBroadcaster>(*config.route.group, config.route.gpu, config.threads);
    places.broadcast = true;
  } else {
    ZIPRL_ASSIGN_OR_RETURN(
        out->rpc_, RpcServer::Start(config.listen, config.security, {out->server_.grpc_service()}));
    places.address = out->rpc_->address();
  }
  if (config.route.way == WeightWay::kSharedMemory) out->OpenSharedMemory();
  if (out->shared_memory_ != nullptr) {
    places.job = out->job_;
    places.host = comm::HostName();
  }
  out->places_ = places.ToString();
  return out;
}

void WeightSender::OpenSharedMemory() {
  job_ = NewJobName();
  auto made = SharedMemoryPublisher::Create(job_, config_.threads);
  if (!made.ok()) return WarnOfGrpc(made.status());
  shared_memory_ = *std::move(made);
}

// What receivers do not find there they ask gRPC for.
void WeightSender::PublishToSharedMemory(const WeightSnapshot& snapshot) {
  const absl::Status status = shared_memory_->Publish(snapshot);
  if (status.ok()) return;
  WarnOfGrpc(status);
  shared_memory_ = nullptr;
}

absl::StatusOr<uint64_t> WeightSender::Publish(const WeightSnapshot::Ptr& snapshot) {
  if (broadcaster_ != nullptr) {
    ZIPRL_RETURN_IF_ERROR(broadcaster_->Publish(*snapshot));
    return 0;
  }
  if (shared_memory_ != nullptr) PublishToSharedMemory(*snapshot);
  return service_.Publish(snapshot).delta_bytes;
}

absl::Status WeightSender::Publish(const LiveWeights& weights) {
  if (config_.route.gpu != nullptr) return broadcaster_->Publish(weights);
  return absl::FailedPreconditionError(
      "weights go by way of the host's memory here, not from GPU to GPU");
}

absl::Status WeightSender::End() {
  return broadcaster_ == nullptr ? absl::OkStatus() : broadcaster_->End();
}

}  // namespace ziprl
