#include "kernels/comm/mpi.h"

#include <mpi.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/local.h"
#include "kernels/comm/pairwise.h"

namespace ziprl::comm {
namespace {

constexpr int64_t kMaxRequestBytes = int64_t{1} << 30;  // MPI counts in int; no config goes beyond
// MPI makes progress only in our calls; a waiting thread first yields, then sleeps, since ranks
// may share cores.
constexpr int kYields = 200;
constexpr std::chrono::microseconds kNap{50};
constexpr std::chrono::milliseconds kCancelTime{200};

// The one place where MPI's errors become a Status.
absl::Status MpiStatus(int code, std::string_view what) {
  if (code == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  int error_class = 0;
  MPI_Error_class(code, &error_class);
  const std::string message = absl::StrCat(std::string(what), ": ", text);
  if (error_class != MPI_ERR_TRUNCATE) return absl::InternalError(message);
  return absl::InvalidArgumentError(
      absl::StrCat(message, " (the ranks of the group disagree about the size)"));
}

// Messages of one operation share a tag, those of different operations have different ones.
int Tag(const Operation& op, int bound) {
  const int64_t kinds = 16;
  const int64_t kind = std::hash<std::string_view>()(op.kind) % kinds;
  return static_cast<int>(op.sequence % (bound / kinds) * kinds + kind);
}

class MpiBatch : public MessageBatch {
 public:
  MpiBatch(std::string name, int64_t request_bytes)
      : name_(std::move(name)), request_bytes_(request_bytes) {}
  ~MpiBatch() override { Cancel(); }

  absl::Status Add(MPI_Comm comm, int tag, const Message& message) {
    char* const data = static_cast<char*>(message.data);
    for (int64_t begin = 0; begin < message.bytes; begin += request_bytes_) {
      const int bytes = static_cast<int>(std::min(request_bytes_, message.bytes - begin));
      MPI_Request request = MPI_REQUEST_NULL;
      const int code =
          message.outgoing
              ? MPI_Isend(data + begin, bytes, MPI_BYTE, message.peer, tag, comm, &request)
              : MPI_Irecv(data + begin, bytes, MPI_BYTE, message.peer, tag, comm, &request);
      ZIPRL_RETURN_IF_ERROR(MpiStatus(code, name_));
      requests_.push_back(request);
      parts_.push_back({message.peer, message.outgoing, bytes});
    }
    return absl::OkStatus();
  }

  absl::Status Wait(SteadyTime expires) override {
    for (int polls = 0;; ++polls) {
      ZIPRL_ASSIGN_OR_RETURN(const bool done, Poll());
      if (done) return absl::OkStatus();
      if (std::chrono::steady_clock::now() >= expires) {
        return absl::DeadlineExceededError("messages are missing");
      }
      if (polls < kYields) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(kNap);
      }
    }
  }

  std::vector<int> Missing() const override {
    std::set<int> peers;
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (requests_[i] != MPI_REQUEST_NULL) peers.insert(parts_[i].peer);
    }
    return {peers.begin(), peers.end()};
  }

 private:
  struct Part {
    int peer;
    bool outgoing;
    int bytes;
  };

  bool Done() const {
    return std::all_of(requests_.begin(), requests_.end(),
                       [](MPI_Request request) { return request == MPI_REQUEST_NULL; });
  }

  absl::StatusOr<bool> Poll() {
    const int count = static_cast<int>(requests_.size());
    std::vector<int>& indices = indices_;
    indices.resize(count);
    statuses_.resize(count);
    int finished = 0;
    const int code =
        MPI_Testsome(count, requests_.data(), &finished, indices.data(), statuses_.data());
    if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) return MpiStatus(code, name_);
    if (finished == MPI_UNDEFINED) return true;
    for (int i = 0; i < finished; ++i) {
      if (code == MPI_ERR_IN_STATUS) {
        ZIPRL_RETURN_IF_ERROR(MpiStatus(statuses_[i].MPI_ERROR, name_));
      }
      ZIPRL_RETURN_IF_ERROR(CheckLength(parts_[indices[i]], statuses_[i]));
    }
    return Done();
  }

  absl::Status CheckLength(const Part& part, const MPI_Status& status) const {
    int bytes = 0;
    if (part.outgoing) return absl::OkStatus();
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    if (bytes == part.bytes) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "the ranks of the group disagree: received ", bytes, " bytes where ", part.bytes,
        " were expected from rank ", part.peer, " of the group in ", name_));
  }

  // Receives that were not matched end here; a message half through stays with MPI.
  void Cancel() {
    if (Done()) return;
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (requests_[i] != MPI_REQUEST_NULL && !parts_[i].outgoing) MPI_Cancel(&requests_[i]);
    }
    const SteadyTime expires = std::chrono::steady_clock::now() + kCancelTime;
    while (std::chrono::steady_clock::now() < expires) {
      for (MPI_Request& request : requests_) {
        int done = 0;
        if (request != MPI_REQUEST_NULL) MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      }
      if (Done()) return;
      std::this_thread::sleep_for(kNap);
    }
  }

  const std::string name_;
  const int64_t request_bytes_;
  std::vector<MPI_Request> requests_;
  std::vector<Part> parts_;  // by request
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
};

class MpiTransport : public Transport {
 public:
  MpiTransport(MPI_Comm comm, int64_t request_bytes)
      : comm_(comm), request_bytes_(std::clamp(request_bytes, int64_t{1}, kMaxRequestBytes)) {
    int* bound = nullptr;
    int found = 0;
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &bound, &found);
    if (found) tag_bound_ = *bound;
  }

  absl::StatusOr<std::unique_ptr<MessageBatch>> Start(
      const Operation& op, const std::vector<Message>& messages) override {
    auto batch = std::make_unique<MpiBatch>(op.ToString(), request_bytes_);
    for (const Message& message : messages) {
      ZIPRL_RETURN_IF_ERROR(batch->Add(comm_, Tag(op, tag_bound_), message));
    }
    return batch;
  }

 private:
  const MPI_Comm comm_;
  const int64_t request_bytes_;
  int tag_bound_ = 32767;  // what the standard promises
};

class MpiCommunicator : public PairwiseCommunicator {
 public:
  // Owns comm.
  MpiCommunicator(MPI_Comm comm, Membership membership, const Config& config)
      : PairwiseCommunicator(Backend::kMpi, std::move(membership), config,
                             std::make_unique<MpiTransport>(comm, config.message_bytes)),
        comm_(comm) {}

  ~MpiCommunicator() override {
    StopProgress();
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (!finalized && first_error().ok()) MPI_Comm_free(&comm_);
  }

  static absl::StatusOr<std::unique_ptr<Communicator>> MakeWorld(const Config& config) {
    MPI_Comm comm = MPI_COMM_NULL;
    ZIPRL_RETURN_IF_ERROR(MpiStatus(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup"));
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    Membership membership;
    int size = 0;
    MPI_Comm_rank(comm, &membership.rank);
    MPI_Comm_size(comm, &size);
    membership.world_ranks.resize(size);
    std::iota(membership.world_ranks.begin(), membership.world_ranks.end(), 0);
    return std::make_unique<MpiCommunicator>(comm, std::move(membership), config);
  }

 protected:
  // Every rank has just taken part in an exchange, so MPI's own split, which has no deadline, finds
  // them all; a rank that stops in between is the watchdog's.
  absl::StatusOr<std::unique_ptr<Communicator>> DoSplit(const Operation& op, int color,
                                                        Membership membership,
                                                        const std::vector<int>& members,
                                                        Config config) override {
    MPI_Comm comm = MPI_COMM_NULL;
    const int code =
        MPI_Comm_split(comm_, members.empty() ? MPI_UNDEFINED : color, membership.rank, &comm);
    ZIPRL_RETURN_IF_ERROR(MpiStatus(code, op.ToString()));
    if (members.empty()) return nullptr;
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    return std::make_unique<MpiCommunicator>(comm, std::move(membership), config);
  }

 private:
  MPI_Comm comm_;
};

absl::Status InitMpi() {
  int provided = 0;
  const int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
  ZIPRL_RETURN_IF_ERROR(MpiStatus(code, "MPI_Init_thread"));
  if (provided == MPI_THREAD_MULTIPLE) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("this MPI library has no MPI_THREAD_MULTIPLE, it provides level ", provided));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MpiWorld>> MpiWorld::Init(const Communicator::Config& config) {
  const LaunchEnvironment launch = ReadLaunchEnvironment();
  std::unique_ptr<MpiWorld> world(new MpiWorld);
  if (launch.launcher.empty()) {
    world->world_ = MakeSelfCommunicator(config);
    return world;
  }
  if (!launch.has_mpi) {
    return absl::FailedPreconditionError(
        absl::StrCat("started by ", launch.launcher, " with ", launch.ranks,
                     " tasks, which would not find each other: use srun --mpi=pmix, or mpirun"));
  }
  ZIPRL_RETURN_IF_ERROR(InitMpi());
  ZIPRL_ASSIGN_OR_RETURN(world->world_, MpiCommunicator::MakeWorld(config));
  ZIPRL_RETURN_IF_ERROR(world->CountLocal());
  return world;
}

absl::Status MpiWorld::Finalize() {
  if (world_ == nullptr) return absl::OkStatus();
  const bool is_mpi = world_->backend() == Backend::kMpi;
  const absl::Status everyone = world_->Barrier("end of the run");
  world_ = nullptr;
  if (!is_mpi || !everyone.ok()) return everyone;
  return MpiStatus(MPI_Finalize(), "MPI_Finalize");
}

}  // namespace ziprl::comm
