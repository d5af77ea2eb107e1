// A group of ranks that reduce, gather and broadcast together: threads of one process (local.h),
// processes over MPI (mpi.h), GPUs over NCCL (nccl.h).
//
// Contract, the same for every backend:
// * Every rank of the group makes the same calls in the same order with the same sizes.
// * Sums have a fixed order: element by element ((x_0 + x_1) + x_2) + ... over the ranks, so the
//   bits do not depend on the partition, the rank that looks, or the backend. AllReduceSum equals
//   ReduceScatterSum followed by AllGather.
// * Pointers are memory of the backend: host memory for local and MPI, device memory for NCCL
//   (see CheckMemory). Strings are always host memory. `in` and `out` may be the same memory where
//   the text says so, and must not overlap otherwise.
// * Operations are carried out in the order of issue; Async ones overlap with the caller's work,
//   and a blocking call waits for those before it.
// * Every wait ends: an operation that is not done `Config::deadline` (plus one second per 16 MiB)
//   after its start returns DeadlineExceeded, which names operation, communicator, sequence number,
//   step, bytes, and each rank that did not arrive with what it last did. Other failures of the
//   transport are Unavailable or Internal. After either the communicator is broken: every later
//   call returns FailedPrecondition with the first error, and the buffers of the failed operation
//   must live until the process ends (a late message may still land in them).
// * Cancel, from any thread, ends the operation under way and every later one with Cancelled: for a
//   rank that waits for others on a thread of its own and shall wait no more. The communicator is
//   then broken as after a deadline.
// * Arguments that cannot be right (a negative count, a wrong number of counts, a root outside the
//   group, memory of another kind where the backend can tell) are InvalidArgument before anything
//   is sent, and break nothing.
//
// Thread-compatible, but for Cancel: one caller at a time per communicator. Different communicators
// may be used from different threads at the same time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "configs/base/mutex.h"
#include "kernels/comm/operation.h"

namespace ziprl::comm {

enum class Backend { kLocal, kMpi, kNccl };
const char* BackendName(Backend backend);  // "local", "mpi", "nccl"

// An operation under way. Its buffers and this object must live until Wait has returned;
// the destructor waits, and drops the status.
class Pending {
 public:
  virtual ~Pending() = default;
  // Blocks until the operation is done or its deadline has passed. A second call returns the same.
  virtual absl::Status Wait() = 0;
};

class ProgressThread;

class Communicator {
 public:
  struct Config {
    std::string name = "world";                    // in every message
    absl::Duration deadline = absl::Seconds(120);  // of each operation; see above
    int64_t piece_bytes = int64_t{4} << 20;        // of the pipelined reduction, per peer at most
    int64_t staging_bytes = int64_t{128} << 20;    // all pieces in flight together, at most
    int64_t message_bytes = int64_t{1} << 30;      // a longer message travels as several
    bool deterministic = true;                     // false: NCCL may sum in its own order
    OpMonitor* monitor = nullptr;                  // not owned, outlives the communicator
  };
  // Of what this rank has issued so far.
  struct Stats {
    int64_t operations = 0;
    int64_t bytes = 0;
    absl::Duration busy;  // executing, waits for other ranks included
  };

  virtual ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(world_ranks_.size()); }
  Backend backend() const { return backend_; }
  const std::string& name() const { return config_.name; }
  const Config& config() const { return config_; }
  // The rank in the first communicator, the one that was not made by Split.
  int world_rank(int rank) const { return world_ranks_[rank]; }
  Stats stats() const;
  // The ranks of this group that the first DeadlineExceeded found missing.
  std::vector<int> late_ranks() const;
  // InvalidArgument when operations cannot work on this memory; `what` names it. Host backends take
  // any pointer at its word, NCCL asks the CUDA runtime. Null is never asked about.
  virtual absl::Status CheckMemory(const std::string& what, const void* memory) const {
    return absl::OkStatus();
  }
  // Of the operations issued from now on, also on communicators split off later.
  void SetDeadline(absl::Duration deadline) { config_.deadline = deadline; }
  // Of communicators made from this one later (Split, MakeNcclCommunicator).
  void SetDeterministic(bool deterministic) { config_.deterministic = deterministic; }
  // From now on operations, also those of communicators split off later, are reported there.
  // Call it while nothing is under way.
  void SetMonitor(OpMonitor* monitor) { config_.monitor = monitor; }
  // See above; within a second. The other ranks are told nothing.
  virtual void Cancel() { cancelled_ = true; }

  // data[0, n) becomes the sum over the ranks.
  absl::Status AllReduceSum(const OpLabel& label, float* data, int64_t n);
  absl::Status AllReduceSum(const OpLabel& label, double* data, int64_t n);

  // Rank r owns counts[r] elements (zero allowed), one shard after the other: in holds all shards,
  // out[0, counts[rank]) becomes the sum of the own shard. `out` may be the own shard within `in`;
  // the rest of `in` is unchanged.
  absl::Status ReduceScatterSum(const OpLabel& label, const float* in, float* out,
                                const std::vector<int64_t>& counts);
  std::unique_ptr<Pending> ReduceScatterSumAsync(const OpLabel& label, const float* in, float* out,
                                                 const std::vector<int64_t>& counts);

  // in[0, byte_counts[rank]) of every rank, one after the other, in out. `in` may be the own part
  // within `out`.
  absl::Status AllGather(const OpLabel& label, const void* in, void* out,
                         const std::vector<int64_t>& byte_counts);
  std::unique_ptr<Pending> AllGatherAsync(const OpLabel& label, const void* in, void* out,
                                          const std::vector<int64_t>& byte_counts);

  // data[0, bytes) of the root, on every rank.
  absl::Status Broadcast(const OpLabel& label, void* data, int64_t bytes, int root);
  std::unique_ptr<Pending> BroadcastAsync(const OpLabel& label, void* data, int64_t bytes,
                                          int root);

  // Returns when every rank has called it.
  absl::Status Barrier(const OpLabel& label);

  // Each rank's string, by rank, of any and unequal length. GatherBytes gives them to the root,
  // an empty vector to the others.
  absl::StatusOr<std::vector<std::string>> AllGatherBytes(const OpLabel& label,
                                                          std::string_view mine);
  absl::StatusOr<std::vector<std::string>> GatherBytes(const OpLabel& label, std::string_view mine,
                                                       int root);
  // *bytes of the root, of any length, on every rank.
  absl::Status BroadcastBytes(const OpLabel& label, std::string* bytes, int root);

  // One new communicator per color, its ranks ordered by (key, rank here). A negative color gets
  // nullptr. The new one has this one's config under `name`, and lives on its own.
  absl::StatusOr<std::unique_ptr<Communicator>> Split(const OpLabel& label, int color, int key,
                                                      const std::string& name);

 protected:
  enum class DType { kFloat, kDouble };
  struct Membership {
    int rank = 0;
    std::vector<int> world_ranks;  // by rank
  };

  Communicator(Backend backend, Membership membership, Config config);

  // What a backend implements; arguments are valid, size() > 1 (but for DoSplit), one call at a
  // time, on any thread, to end by op.expires.
  // A failure is given as Late() or another status that names the operation.
  virtual absl::Status DoReduceScatter(const Operation& op, const void* in, void* out,
                                       const std::vector<int64_t>& counts, DType dtype) = 0;
  virtual absl::Status DoAllReduce(const Operation& op, void* data, int64_t n, DType dtype) = 0;
  virtual absl::Status DoAllGather(const Operation& op, const void* in, void* out,
                                   const std::vector<int64_t>& byte_counts) = 0;
  virtual absl::Status DoBroadcast(const Operation& op, void* data, int64_t bytes, int root) = 0;
  virtual absl::Status DoBarrier(const Operation& op) = 0;
  // The same on host memory, for strings. DoGatherHost: `out` counts at the root alone.
  virtual absl::Status DoAllGatherHost(const Operation& op, const void* in, void* out,
                                       const std::vector<int64_t>& byte_counts) = 0;
  virtual absl::Status DoGatherHost(const Operation& op, const void* in, void* out,
                                    const std::vector<int64_t>& byte_counts, int root) = 0;
  virtual absl::Status DoBroadcastHost(const Operation& op, void* data, int64_t bytes,
                                       int root) = 0;
  // members: the ranks here of the new communicator, in its order; all ranks call it, those with
  // color < 0 with no members.
  virtual absl::StatusOr<std::unique_ptr<Communicator>> DoSplit(const Operation& op, int color,
                                                                Membership membership,
                                                                const std::vector<int>& members,
                                                                Config config) = 0;
  // On the caller's thread when an operation is issued, before it is carried out (also when
  // size() is 1): what must be noted then, say the state of the caller's stream.
  virtual absl::Status Issue(Operation* op) { return absl::OkStatus(); }
  // size() == 1: copies between memory of the backend, after what Issue noted.
  virtual absl::Status DoCopy(const Operation& op, const void* in, void* out, int64_t bytes);

  // Destructors of backends call this first: what is under way still uses them.
  void StopProgress();
  // DeadlineExceeded for these ranks of the group, each with what the monitor knows of it.
  absl::Status Late(const Operation& op, const std::vector<int>& missing);
  // The error that broke this communicator, OK as long as none did.
  absl::Status first_error() const;
  // Cancelled, naming the operation, once Cancel was called: waits look at it several times a
  // second.
  absl::Status CheckCancelled(const Operation& op) const;

 private:
  using Body = std::function<absl::Status(const Operation&)>;

  Operation NewOperation(const char* kind, const OpLabel& label, int64_t bytes);
  absl::Status Run(const char* kind, const OpLabel& label, int64_t bytes, const Body& body);
  std::unique_ptr<Pending> Start(const char* kind, const OpLabel& label, int64_t bytes, Body body);
  absl::Status Execute(Operation op, const Body& body);
  absl::Status AllReduce(const OpLabel& label, void* data, int64_t n, DType dtype);
  absl::Status CheckCounts(const char* kind, const OpLabel& label,
                           const std::vector<int64_t>& counts) const;
  absl::Status CheckRoot(const char* kind, const OpLabel& label, int root, int64_t bytes) const;
  // `bytes` of it are used; none may lie anywhere.
  absl::Status CheckUsed(const char* kind, const OpLabel& label, const void* memory,
                         int64_t bytes) const;
  absl::Status CheckReduceScatter(const OpLabel& label, const float* in, const float* out,
                                  const std::vector<int64_t>& counts) const;
  absl::Status CheckAllGather(const OpLabel& label, const void* in, const void* out,
                              const std::vector<int64_t>& byte_counts) const;
  absl::Status CheckBroadcast(const OpLabel& label, const void* data, int64_t bytes,
                              int root) const;
  Body ReduceScatterBody(const float* in, float* out, std::vector<int64_t> counts);
  Body AllGatherBody(const void* in, void* out, std::vector<int64_t> byte_counts);
  Body BroadcastBody(void* data, int64_t bytes, int root);
  absl::StatusOr<std::vector<int64_t>> GatherLengths(const OpLabel& label, int64_t mine);

  const Backend backend_;
  const int rank_;
  const std::vector<int> world_ranks_;
  Config config_;
  int64_t next_sequence_ = 0;
  std::atomic<bool> cancelled_{false};
  mutable Mutex mutex_;
  absl::Status first_error_ ABSL_GUARDED_BY(mutex_);
  Stats stats_ ABSL_GUARDED_BY(mutex_);
  std::vector<int> late_ranks_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<ProgressThread> progress_;  // made by the first Async call
};

}  // namespace ziprl::comm
