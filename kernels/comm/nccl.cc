#include "kernels/comm/nccl.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/nccl_api.h"
#include "kernels/comm/nccl_calls.h"
#include "kernels/comm/nccl_start.h"
#include "kernels/comm/shards.h"

namespace ziprl::comm {
namespace {

char* At(const void* base, int64_t offset) {
  return const_cast<char*>(static_cast<const char*>(base)) + offset;
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> host, Membership membership, const Config& config,
                   const NcclOptions& options)
      : Communicator(Backend::kNccl, std::move(membership), config),
        options_(options),
        api_(*options.api),
        host_(std::move(host)),
        nccl_(api_) {
    host_->SetMonitor(nullptr);  // what it does is part of the operations here
  }
  ~NcclCommunicator() override;
  // Whoever waits for other ranks does so in the host's roll call.
  void Cancel() override { Communicator::Cancel(), host_->Cancel(); }

  // host: for this communicator alone.
  static absl::StatusOr<std::unique_ptr<Communicator>> Make(std::unique_ptr<Communicator> host,
                                                            Membership membership, Config config,
                                                            const NcclOptions& options);
  static Membership MembershipOf(const Communicator& host);

  absl::Status CheckMemory(const std::string& what, const void* memory) const override;

 protected:
  absl::Status DoReduceScatter(const Operation& op, const void* in, void* out,
                               const std::vector<int64_t>& counts, DType dtype) override;
  absl::Status DoAllReduce(const Operation& op, void* data, int64_t n, DType dtype) override;
  absl::Status DoAllGather(const Operation& op, const void* in, void* out,
                           const std::vector<int64_t>& byte_counts) override;
  absl::Status DoBroadcast(const Operation& op, void* data, int64_t bytes, int root) override;
  absl::Status DoBarrier(const Operation& op) override { return RollCall(op); }
  absl::Status DoAllGatherHost(const Operation& op, const void* in, void* out,
                               const std::vector<int64_t>& byte_counts) override;
  absl::Status DoGatherHost(const Operation& op, const void* in, void* out,
                            const std::vector<int64_t>& byte_counts, int root) override;
  absl::Status DoBroadcastHost(const Operation& op, void* data, int64_t bytes, int root) override;
  absl::StatusOr<std::unique_ptr<Communicator>> DoSplit(const Operation& op, int color,
                                                        Membership membership,
                                                        const std::vector<int>& members,
                                                        Config config) override;
  absl::Status Issue(Operation* op) override;
  absl::Status DoCopy(const Operation& op, const void* in, void* out, int64_t bytes) override;

 private:
  absl::Status Open(SteadyTime expires);
  absl::Status Check(const Operation& op, int result) {
    return nccl_.Settle(result, op.ToString(), op.expires);
  }
  absl::Status HostStatus(const Operation& op, const absl::Status& status);
  absl::Status RollCall(const Operation& op);
  absl::Status Begin(const Operation& op);
  absl::Status Finish(const Operation& op);
  absl::Status SumShards(const Operation& op, const void* in, void* out,
                         const std::vector<int64_t>& counts, DType dtype);
  absl::Status ExchangePieces(const Operation& op, const void* in, int64_t piece,
                              const std::vector<int64_t>& begins,
                              const std::vector<int64_t>& lengths);
  absl::Status GatherParts(const Operation& op, const void* in, void* out,
                           const std::vector<int64_t>& byte_counts);
  absl::Status Staging(const Operation& op, int64_t bytes);

  const NcclOptions options_;
  const NcclApi& api_;
  const std::unique_ptr<Communicator> host_;
  NcclHandle nccl_;
  void* stream_ = nullptr;
  void* done_ = nullptr;     // event
  void* staging_ = nullptr;  // device memory of the ordered sums
  int64_t staging_bytes_ = 0;
};

// ---- making and ending

NcclCommunicator::Membership NcclCommunicator::MembershipOf(const Communicator& host) {
  Membership membership;
  membership.rank = host.rank();
  for (int r = 0; r < host.size(); ++r) membership.world_ranks.push_back(host.world_rank(r));
  return membership;
}

absl::StatusOr<std::unique_ptr<Communicator>> NcclCommunicator::Make(
    std::unique_ptr<Communicator> host, Membership membership, Config config,
    const NcclOptions& options) {
  config.name = options.name;
  const SteadyTime expires =
      std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(config.deadline);
  auto made =
      std::make_unique<NcclCommunicator>(std::move(host), std::move(membership), config, options);
  ZIPRL_RETURN_IF_ERROR(made->Open(expires));
  return made;
}

absl::Status NcclCommunicator::Open(SteadyTime expires) {
  const std::string what = absl::StrCat("start of '", name(), "' on GPU ", options_.device);
  const auto prepare = [&]() -> absl::Status {
    ZIPRL_RETURN_IF_ERROR(NcclStatus(api_, api_.set_device(options_.device), what));
    ZIPRL_RETURN_IF_ERROR(NcclStatus(api_, api_.stream_create(&stream_), what));
    return NcclStatus(api_, api_.event_create(&done_), what);
  };
  const absl::Status prepared = prepare();
  std::string id(kNcclIdBytes, '\0');
  absl::Status named;
  if (rank() == 0) named = NcclStatus(api_, api_.unique_id(id.data()), what);
  ZIPRL_RETURN_IF_ERROR(host_->BroadcastBytes("NCCL's id", &id, 0));
  ZIPRL_RETURN_IF_ERROR(prepared);
  ZIPRL_RETURN_IF_ERROR(named);
  if (size() == 1) return absl::OkStatus();
  return nccl_.Init(size(), id, rank(), expires);
}

NcclCommunicator::~NcclCommunicator() {
  StopProgress();
  api_.set_device(options_.device);
  // After an error the GPU may still be at work with these; the process is about to end.
  if (!first_error().ok()) {
    nccl_.Abort();
    return;
  }
  if (staging_ != nullptr) api_.release(staging_);
  if (done_ != nullptr) api_.event_destroy(done_);
  if (stream_ != nullptr) api_.stream_destroy(stream_);
}

absl::StatusOr<std::unique_ptr<Communicator>> NcclCommunicator::DoSplit(
    const Operation& op, int color, Membership membership, const std::vector<int>& members,
    Config config) {
  NcclOptions options = options_;
  options.name = config.name;
  const int key = membership.rank;
  auto host = host_->Split(op.label, members.empty() ? -1 : color, key, config.name + ".host");
  ZIPRL_RETURN_IF_ERROR(HostStatus(op, host.status()));
  if (members.empty()) return nullptr;
  return Make(*std::move(host), std::move(membership), config, options);
}

// ---- the frame of an operation on the device

absl::Status NcclCommunicator::Issue(Operation* op) {
  void* event = nullptr;
  const auto note = [&]() -> int {
    if (const int result = api_.set_device(options_.device); result != 0) return result;
    if (const int result = api_.event_create(&event); result != 0) return result;
    return api_.event_record(event, options_.caller_stream ? options_.caller_stream() : nullptr);
  };
  const int result = note();
  op->issue_state = {event, [api = &api_](void* e) {
                       if (e != nullptr) api->event_destroy(e);
                     }};
  return NcclStatus(api_, result, op->ToString());
}

absl::Status NcclCommunicator::CheckMemory(const std::string& what, const void* memory) const {
  const int device = memory == nullptr ? options_.device : api_.memory_device(memory);
  if (device == options_.device) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": NCCL works on memory of GPU ", options_.device, " here, this is ",
                   device == kHostMemory ? "host memory" : absl::StrCat("memory of GPU ", device),
                   "; host memory is MPI's: ", kCpuAlternative));
}

// Without its peers NCCL has no way to end by itself.
absl::Status NcclCommunicator::HostStatus(const Operation& op, const absl::Status& status) {
  if (!status.ok()) nccl_.Abort();
  if (absl::IsDeadlineExceeded(status)) return Late(op, host_->late_ranks());
  return status;
}

absl::Status NcclCommunicator::RollCall(const Operation& op) {
  host_->SetDeadline(op.allowed);
  return HostStatus(op, host_->Barrier(OpLabel(op.ToString(), op.label.step)));
}

absl::Status NcclCommunicator::Begin(const Operation& op) {
  ZIPRL_RETURN_IF_ERROR(RollCall(op));
  ZIPRL_RETURN_IF_ERROR(Check(op, api_.set_device(options_.device)));
  return Check(op, api_.stream_wait(stream_, op.issue_state.get()));
}

absl::Status NcclCommunicator::Finish(const Operation& op) {
  ZIPRL_RETURN_IF_ERROR(Check(op, api_.event_record(done_, stream_)));
  return nccl_.WaitFor(done_, op.ToString(), op.expires);
}

// ---- sums

absl::Status NcclCommunicator::Staging(const Operation& op, int64_t bytes) {
  if (bytes <= staging_bytes_) return absl::OkStatus();
  if (staging_ != nullptr) ZIPRL_RETURN_IF_ERROR(Check(op, api_.release(staging_)));
  staging_ = nullptr;
  staging_bytes_ = 0;
  ZIPRL_RETURN_IF_ERROR(Check(op, api_.allocate(&staging_, bytes)));
  staging_bytes_ = bytes;
  return absl::OkStatus();
}

// Sends lengths[r] bytes of `in` from begins[r] to each rank r, receives lengths[rank] bytes from
// each into its row of the staging memory, of `piece` bytes.
absl::Status NcclCommunicator::ExchangePieces(const Operation& op, const void* in, int64_t piece,
                                              const std::vector<int64_t>& begins,
                                              const std::vector<int64_t>& lengths) {
  ZIPRL_RETURN_IF_ERROR(Check(op, api_.group_start()));
  int result = 0;
  const auto add = [&](int one) {
    if (result == 0 && one != kNcclInProgress) result = one;
  };
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    if (lengths[rank()] > 0) {
      add(api_.receive(At(staging_, r * piece), lengths[rank()], r, nccl_.get(), stream_));
    }
    if (lengths[r] > 0) add(api_.send(At(in, begins[r]), lengths[r], r, nccl_.get(), stream_));
  }
  const int ended = api_.group_end();
  ZIPRL_RETURN_IF_ERROR(Check(op, result));
  return Check(op, ended);
}

// Piece k of every shard goes to its owner, who sums it; all in the order of the stream.
absl::Status NcclCommunicator::SumShards(const Operation& op, const void* in, void* out,
                                         const std::vector<int64_t>& counts, DType dtype) {
  const bool is_double = dtype == DType::kDouble;
  const int64_t width = is_double ? sizeof(double) : sizeof(float);
  const std::vector<int64_t> offsets = Offsets(counts);
  const int64_t longest = *std::max_element(counts.begin(), counts.end());
  const int64_t share = std::min(config().piece_bytes, config().staging_bytes / size());
  const int64_t piece = std::min(std::max(share, int64_t{64} << 10) / width, longest);
  ZIPRL_RETURN_IF_ERROR(Staging(op, piece * width * size()));
  for (int64_t begin = 0; begin < longest; begin += piece) {
    std::vector<int64_t> begins, lengths;  // in bytes
    for (int r = 0; r < size(); ++r) {
      begins.push_back((offsets[r] + begin) * width);
      lengths.push_back(std::clamp(counts[r] - begin, int64_t{0}, piece) * width);
    }
    ZIPRL_RETURN_IF_ERROR(ExchangePieces(op, in, piece * width, begins, lengths));
    if (lengths[rank()] == 0) continue;
    const OrderedSumParams sum = {staging_,
                                  At(in, begins[rank()]),
                                  At(out, begin * width),
                                  piece,
                                  lengths[rank()] / width,
                                  rank(),
                                  size(),
                                  is_double};
    ZIPRL_RETURN_IF_ERROR(Check(op, api_.ordered_sum(sum, stream_)));
  }
  return absl::OkStatus();
}

absl::Status NcclCommunicator::DoReduceScatter(const Operation& op, const void* in, void* out,
                                               const std::vector<int64_t>& counts, DType dtype) {
  ZIPRL_RETURN_IF_ERROR(Begin(op));
  const bool equal =
      std::all_of(counts.begin(), counts.end(), [&](int64_t count) { return count == counts[0]; });
  if (!config().deterministic && equal) {
    ZIPRL_RETURN_IF_ERROR(Check(op, api_.reduce_scatter(in, out, counts[0], dtype == DType::kDouble,
                                                        nccl_.get(), stream_)));
  } else {
    ZIPRL_RETURN_IF_ERROR(SumShards(op, in, out, counts, dtype));
  }
  return Finish(op);
}

absl::Status NcclCommunicator::DoAllReduce(const Operation& op, void* data, int64_t n,
                                           DType dtype) {
  ZIPRL_RETURN_IF_ERROR(Begin(op));
  if (!config().deterministic) {
    ZIPRL_RETURN_IF_ERROR(
        Check(op, api_.all_reduce(data, n, dtype == DType::kDouble, nccl_.get(), stream_)));
    return Finish(op);
  }
  std::vector<int64_t> counts = EvenCounts(n, size());
  const int64_t width = dtype == DType::kDouble ? sizeof(double) : sizeof(float);
  char* const mine = At(data, Offsets(counts)[rank()] * width);
  ZIPRL_RETURN_IF_ERROR(SumShards(op, data, mine, counts, dtype));
  for (int64_t& count : counts) count *= width;
  ZIPRL_RETURN_IF_ERROR(GatherParts(op, mine, data, counts));
  return Finish(op);
}

// ---- copies

absl::Status NcclCommunicator::GatherParts(const Operation& op, const void* in, void* out,
                                           const std::vector<int64_t>& byte_counts) {
  const std::vector<int64_t> offsets = Offsets(byte_counts);
  const int64_t mine = byte_counts[rank()];
  char* const own = At(out, offsets[rank()]);
  if (mine > 0 && own != in) ZIPRL_RETURN_IF_ERROR(Check(op, api_.copy(own, in, mine, stream_)));
  ZIPRL_RETURN_IF_ERROR(Check(op, api_.group_start()));
  int result = 0;
  const auto add = [&](int one) {
    if (result == 0 && one != kNcclInProgress) result = one;
  };
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    if (byte_counts[r] > 0) {
      add(api_.receive(At(out, offsets[r]), byte_counts[r], r, nccl_.get(), stream_));
    }
    if (mine > 0) add(api_.send(in, mine, r, nccl_.get(), stream_));
  }
  const int ended = api_.group_end();
  ZIPRL_RETURN_IF_ERROR(Check(op, result));
  return Check(op, ended);
}

absl::Status NcclCommunicator::DoAllGather(const Operation& op, const void* in, void* out,
                                           const std::vector<int64_t>& byte_counts) {
  ZIPRL_RETURN_IF_ERROR(Begin(op));
  ZIPRL_RETURN_IF_ERROR(GatherParts(op, in, out, byte_counts));
  return Finish(op);
}

absl::Status NcclCommunicator::DoBroadcast(const Operation& op, void* data, int64_t bytes,
                                           int root) {
  ZIPRL_RETURN_IF_ERROR(Begin(op));
  ZIPRL_RETURN_IF_ERROR(Check(op, api_.broadcast(data, bytes, root, nccl_.get(), stream_)));
  return Finish(op);
}

absl::Status NcclCommunicator::DoCopy(const Operation& op, const void* in, void* out,
                                      int64_t bytes) {
  ZIPRL_RETURN_IF_ERROR(NcclStatus(api_, api_.set_device(options_.device), op.ToString()));
  ZIPRL_RETURN_IF_ERROR(
      NcclStatus(api_, api_.stream_wait(stream_, op.issue_state.get()), op.ToString()));
  if (in != out && bytes > 0) {
    ZIPRL_RETURN_IF_ERROR(NcclStatus(api_, api_.copy(out, in, bytes, stream_), op.ToString()));
  }
  return Finish(op);
}

// ---- strings travel over the host

absl::Status NcclCommunicator::DoAllGatherHost(const Operation& op, const void* in, void* out,
                                               const std::vector<int64_t>& byte_counts) {
  host_->SetDeadline(op.allowed);
  return HostStatus(op, host_->AllGather(op.label, in, out, byte_counts));
}

absl::Status NcclCommunicator::DoGatherHost(const Operation& op, const void* in, void* out,
                                            const std::vector<int64_t>& byte_counts, int root) {
  host_->SetDeadline(op.allowed);
  const auto all = host_->GatherBytes(
      op.label, {static_cast<const char*>(in), static_cast<size_t>(byte_counts[rank()])}, root);
  ZIPRL_RETURN_IF_ERROR(HostStatus(op, all.status()));
  char* end = static_cast<char*>(out);
  for (const std::string& part : *all) end = std::copy(part.begin(), part.end(), end);
  return absl::OkStatus();
}

absl::Status NcclCommunicator::DoBroadcastHost(const Operation& op, void* data, int64_t bytes,
                                               int root) {
  host_->SetDeadline(op.allowed);
  return HostStatus(op, host_->Broadcast(op.label, data, bytes, root));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeNcclCommunicator(Communicator& host,
                                                                   const NcclOptions& given) {
  ZIPRL_ASSIGN_OR_RETURN(const NcclOptions options, AgreeOnNccl(host, given));
  ZIPRL_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> own,
                         host.Split("host side of NCCL", 0, host.rank(), options.name + ".host"));
  return NcclCommunicator::Make(std::move(own), NcclCommunicator::MembershipOf(host), host.config(),
                                options);
}

}  // namespace ziprl::comm
