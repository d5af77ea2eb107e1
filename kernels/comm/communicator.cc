#include "kernels/comm/communicator.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/progress_thread.h"

namespace ziprl::comm {
namespace {

// What an operation's deadline grants for its payload, so that a slow link is not a late rank.
constexpr double kSlowestBytesPerSecond = 16.0 * (1 << 20);

int64_t Sum(const std::vector<int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

}  // namespace

const char* BackendName(Backend backend) {
  switch (backend) {
    case Backend::kLocal:
      return "local";
    case Backend::kMpi:
      return "mpi";
    case Backend::kNccl:
      return "nccl";
  }
  return "unknown";
}

Communicator::Communicator(Backend backend, Membership membership, Config config)
    : backend_(backend),
      rank_(membership.rank),
      world_ranks_(std::move(membership.world_ranks)),
      config_(std::move(config)) {}

Communicator::~Communicator() = default;

void Communicator::StopProgress() { progress_ = nullptr; }

absl::Status Communicator::first_error() const {
  MutexLock lock(&mutex_);
  return first_error_;
}

Communicator::Stats Communicator::stats() const {
  MutexLock lock(&mutex_);
  return stats_;
}

// ---- naming, ordering, failures

Operation Communicator::NewOperation(const char* kind, const OpLabel& label, int64_t bytes) {
  Operation op;
  op.kind = kind;
  op.label = label;
  op.communicator = config_.name;
  op.sequence = next_sequence_++;
  op.bytes = bytes;
  op.allowed = config_.deadline + absl::Seconds(bytes / kSlowestBytesPerSecond);
  return op;
}

absl::Status Communicator::Execute(Operation op, const Body& body) {
  if (absl::Status error = first_error(); !error.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        op.ToString(), " was not started: '", config_.name, "' is broken since ", error.message()));
  }
  ZIPRL_RETURN_IF_ERROR(CheckCancelled(op));
  const SteadyTime start = std::chrono::steady_clock::now();
  op.expires = start + absl::ToChronoNanoseconds(op.allowed);
  if (config_.monitor != nullptr) config_.monitor->Begin(op);
  const absl::Status status = body(op);
  if (config_.monitor != nullptr) config_.monitor->End(op, status);

  MutexLock lock(&mutex_);
  if (first_error_.ok()) first_error_ = status;
  ++stats_.operations;
  stats_.bytes += op.bytes;
  stats_.busy += absl::FromChrono(std::chrono::steady_clock::now() - start);
  return status;
}

absl::Status Communicator::Run(const char* kind, const OpLabel& label, int64_t bytes,
                               const Body& body) {
  if (progress_ != nullptr && !progress_->Idle()) return Start(kind, label, bytes, body)->Wait();
  Operation op = NewOperation(kind, label, bytes);
  ZIPRL_RETURN_IF_ERROR(Issue(&op));
  return Execute(std::move(op), body);
}

std::unique_ptr<Pending> Communicator::Start(const char* kind, const OpLabel& label, int64_t bytes,
                                             Body body) {
  Operation op = NewOperation(kind, label, bytes);
  if (absl::Status status = Issue(&op); !status.ok()) return DonePending(std::move(status));
  if (progress_ == nullptr) progress_ = std::make_unique<ProgressThread>();
  return progress_->Submit(
      [this, op = std::move(op), body = std::move(body)] { return Execute(op, body); });
}

absl::Status Communicator::CheckCancelled(const Operation& op) const {
  if (!cancelled_) return absl::OkStatus();
  return absl::CancelledError(absl::StrCat(op.ToString(), " was cancelled"));
}

std::vector<int> Communicator::late_ranks() const {
  MutexLock lock(&mutex_);
  return late_ranks_;
}

absl::Status Communicator::Late(const Operation& op, const std::vector<int>& missing) {
  {
    MutexLock lock(&mutex_);
    late_ranks_ = missing;
  }
  const auto describe = [this](std::string* out, int rank) {
    const int world = world_ranks_[rank];
    absl::StrAppend(out, config_.monitor != nullptr ? config_.monitor->Describe(world)
                                                    : absl::StrCat("rank ", world));
  };
  return absl::DeadlineExceededError(
      absl::StrCat(op.ToString(), ": rank ", world_rank(rank_), " waited ",
                   absl::FormatDuration(absl::Trunc(op.allowed, absl::Milliseconds(1))),
                   " (the deadline) in a group of ", size(),
                   " ranks; did not arrive: ", absl::StrJoin(missing, "; ", describe)));
}

// ---- arguments

absl::Status Communicator::CheckCounts(const char* kind, const OpLabel& label,
                                       const std::vector<int64_t>& counts) const {
  const bool negative = std::any_of(counts.begin(), counts.end(), [](int64_t n) { return n < 0; });
  if (static_cast<int>(counts.size()) == size() && !negative) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      kind, " '", label.what, "' of '", config_.name, "' needs one count >= 0 for each of its ",
      size(), " ranks, was given [", absl::StrJoin(counts, ", "), "]"));
}

absl::Status Communicator::CheckRoot(const char* kind, const OpLabel& label, int root,
                                     int64_t bytes) const {
  if (root >= 0 && root < size() && bytes >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(kind, " '", label.what, "' of '", config_.name, "' needs a root in [0, ", size(),
                   ") and bytes >= 0, was given root ", root, " and ", bytes, " bytes"));
}

absl::Status Communicator::CheckUsed(const char* kind, const OpLabel& label, const void* memory,
                                     int64_t bytes) const {
  if (memory == nullptr || bytes == 0) return absl::OkStatus();
  return CheckMemory(absl::StrCat(kind, " '", label.what, "' of '", config_.name, "'"), memory);
}

absl::Status Communicator::CheckReduceScatter(const OpLabel& label, const float* in,
                                              const float* out,
                                              const std::vector<int64_t>& counts) const {
  constexpr char kKind[] = "ReduceScatterSum";
  ZIPRL_RETURN_IF_ERROR(CheckCounts(kKind, label, counts));
  ZIPRL_RETURN_IF_ERROR(CheckUsed(kKind, label, in, Sum(counts)));
  return CheckUsed(kKind, label, out, counts[rank_]);
}

absl::Status Communicator::CheckAllGather(const OpLabel& label, const void* in, const void* out,
                                          const std::vector<int64_t>& byte_counts) const {
  ZIPRL_RETURN_IF_ERROR(CheckCounts("AllGather", label, byte_counts));
  ZIPRL_RETURN_IF_ERROR(CheckUsed("AllGather", label, in, byte_counts[rank_]));
  return CheckUsed("AllGather", label, out, Sum(byte_counts));
}

absl::Status Communicator::CheckBroadcast(const OpLabel& label, const void* data, int64_t bytes,
                                          int root) const {
  ZIPRL_RETURN_IF_ERROR(CheckRoot("Broadcast", label, root, bytes));
  return CheckUsed("Broadcast", label, data, bytes);
}

// ---- operations

absl::Status Communicator::DoCopy(const Operation& op, const void* in, void* out, int64_t bytes) {
  if (in != out && bytes > 0) std::memmove(out, in, bytes);
  return absl::OkStatus();
}

absl::Status Communicator::AllReduce(const OpLabel& label, void* data, int64_t n, DType dtype) {
  const int64_t width = dtype == DType::kFloat ? sizeof(float) : sizeof(double);
  if (n < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("AllReduceSum '", label.what, "' needs n >= 0, was given ", n));
  }
  ZIPRL_RETURN_IF_ERROR(CheckUsed("AllReduceSum", label, data, n));
  return Run("AllReduceSum", label, n * width, [=, this](const Operation& op) {
    if (size() == 1 || n == 0) return absl::OkStatus();
    return DoAllReduce(op, data, n, dtype);
  });
}

absl::Status Communicator::AllReduceSum(const OpLabel& label, float* data, int64_t n) {
  return AllReduce(label, data, n, DType::kFloat);
}

absl::Status Communicator::AllReduceSum(const OpLabel& label, double* data, int64_t n) {
  return AllReduce(label, data, n, DType::kDouble);
}

Communicator::Body Communicator::ReduceScatterBody(const float* in, float* out,
                                                   std::vector<int64_t> counts) {
  return [this, in, out, counts = std::move(counts)](const Operation& op) {
    if (size() == 1) return DoCopy(op, in, out, counts[0] * int64_t{sizeof(float)});
    return DoReduceScatter(op, in, out, counts, DType::kFloat);
  };
}

absl::Status Communicator::ReduceScatterSum(const OpLabel& label, const float* in, float* out,
                                            const std::vector<int64_t>& counts) {
  ZIPRL_RETURN_IF_ERROR(CheckReduceScatter(label, in, out, counts));
  return Run("ReduceScatterSum", label, Sum(counts) * int64_t{sizeof(float)},
             ReduceScatterBody(in, out, counts));
}

std::unique_ptr<Pending> Communicator::ReduceScatterSumAsync(const OpLabel& label, const float* in,
                                                             float* out,
                                                             const std::vector<int64_t>& counts) {
  absl::Status status = CheckReduceScatter(label, in, out, counts);
  if (!status.ok()) return DonePending(std::move(status));
  return Start("ReduceScatterSum", label, Sum(counts) * int64_t{sizeof(float)},
               ReduceScatterBody(in, out, counts));
}

Communicator::Body Communicator::AllGatherBody(const void* in, void* out,
                                               std::vector<int64_t> byte_counts) {
  return [this, in, out, byte_counts = std::move(byte_counts)](const Operation& op) {
    if (size() == 1) return DoCopy(op, in, out, byte_counts[0]);
    return DoAllGather(op, in, out, byte_counts);
  };
}

absl::Status Communicator::AllGather(const OpLabel& label, const void* in, void* out,
                                     const std::vector<int64_t>& byte_counts) {
  ZIPRL_RETURN_IF_ERROR(CheckAllGather(label, in, out, byte_counts));
  return Run("AllGather", label, Sum(byte_counts), AllGatherBody(in, out, byte_counts));
}

std::unique_ptr<Pending> Communicator::AllGatherAsync(const OpLabel& label, const void* in,
                                                      void* out,
                                                      const std::vector<int64_t>& byte_counts) {
  absl::Status status = CheckAllGather(label, in, out, byte_counts);
  if (!status.ok()) return DonePending(std::move(status));
  return Start("AllGather", label, Sum(byte_counts), AllGatherBody(in, out, byte_counts));
}

Communicator::Body Communicator::BroadcastBody(void* data, int64_t bytes, int root) {
  return [=, this](const Operation& op) {
    if (size() == 1 || bytes == 0) return absl::OkStatus();
    return DoBroadcast(op, data, bytes, root);
  };
}

absl::Status Communicator::Broadcast(const OpLabel& label, void* data, int64_t bytes, int root) {
  ZIPRL_RETURN_IF_ERROR(CheckBroadcast(label, data, bytes, root));
  return Run("Broadcast", label, bytes, BroadcastBody(data, bytes, root));
}

std::unique_ptr<Pending> Communicator::BroadcastAsync(const OpLabel& label, void* data,
                                                      int64_t bytes, int root) {
  absl::Status status = CheckBroadcast(label, data, bytes, root);
  if (!status.ok()) return DonePending(std::move(status));
  return Start("Broadcast", label, bytes, BroadcastBody(data, bytes, root));
}

absl::Status Communicator::Barrier(const OpLabel& label) {
  return Run("Barrier", label, 0, [this](const Operation& op) {
    return size() == 1 ? absl::OkStatus() : DoBarrier(op);
  });
}

}  // namespace ziprl::comm
