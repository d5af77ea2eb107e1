// Host-memory stand-in for libnccl, to be preloaded: ranks are processes of one host that share a
// segment of memory. Work is put on the fake CUDA's streams. Sums of ncclAllReduce and
// ncclReduceScatter run from the last rank to the first, unlike the order that ZipRL promises.
// ZIPRL_FAKE_NCCL_FAIL=1: the next ncclSend of this process makes its communicator fail.
// ZIPRL_FAKE_NCCL_STALL=1: nothing that this process exchanges ends.
// ZIPRL_FAKE_NCCL_CORRUPT=1: the first byte of every message that it receives is another one.
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/fake_nccl/fake_cuda.h"

#define FAKE_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kMaxRanks = 8;
constexpr size_t kMailBytes = 64 << 10;

struct Mailbox {
  std::atomic<int> full;
  char data[kMailBytes];
};

struct Segment {
  std::atomic<int> arrived, aborted;
  Mailbox mail[kMaxRanks][kMaxRanks];  // [from, to]
};
static_assert(sizeof(std::atomic<int>) == 4);

bool IsSet(const char* variable) {
  const char* text = std::getenv(variable);
  return text != nullptr && std::strcmp(text, "1") == 0;
}

size_t Width(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat32:
      return 4;
    case ncclFloat64:
      return 8;
    default:
      std::fprintf(stderr, "the fake NCCL knows no data type %d\n", type);
      std::abort();
  }
}

}  // namespace

struct ncclComm {
  Segment* segment;
  int rank, ranks;
  char name[64];
  std::atomic<int> state{ncclSuccess};
};

namespace {

// One message through a mailbox, a piece at a time.
struct Transfer {
  ncclComm* comm;
  int from, to;
  char* data;
  size_t bytes;
  size_t done = 0;

  bool Step() {
    Mailbox& box = comm->segment->mail[from][to];
    while (done < bytes) {
      const bool sends = comm->rank == from;
      if ((box.full.load() != 0) == sends) return false;
      const size_t piece = std::min(kMailBytes, bytes - done);
      if (sends) std::memcpy(box.data, data + done, piece);
      if (!sends) std::memcpy(data + done, box.data, piece);
      if (!sends && done == 0 && IsSet("ZIPRL_FAKE_NCCL_CORRUPT")) data[0] ^= 1;
      box.full = sends ? 1 : 0;
      done += piece;
    }
    return true;
  }
};

using Transfers = std::vector<Transfer>;

bool StepAll(ncclComm* comm, Transfers& transfers) {
  if (comm->segment->aborted) return true;
  if (comm->state != ncclSuccess || IsSet("ZIPRL_FAKE_NCCL_STALL")) return false;
  bool done = true;
  for (Transfer& transfer : transfers) done &= transfer.Step();
  return done;
}

thread_local int depth = 0;
thread_local Transfers grouped;
thread_local cudaStream_t grouped_stream;

ncclResult_t Flush() {
  if (grouped.empty()) return ncclSuccess;
  ncclComm* const comm = grouped[0].comm;
  auto transfers = std::make_shared<Transfers>(std::move(grouped));
  grouped.clear();
  fake::Enqueue(grouped_stream, [=] { return StepAll(comm, *transfers); });
  return ncclSuccess;
}

ncclResult_t Add(Transfer transfer, cudaStream_t stream) {
  grouped.push_back(transfer);
  grouped_stream = stream;
  return depth > 0 ? ncclSuccess : Flush();
}

char* Bytes(const void* data) { return static_cast<char*>(const_cast<void*>(data)); }

// Everyone's input, at every rank, in a vector that the following step reads.
std::shared_ptr<std::vector<char>> GatherAll(const void* in, size_t bytes, ncclComm* comm,
                                             cudaStream_t stream) {
  auto all = std::make_shared<std::vector<char>>(bytes * comm->ranks);
  auto transfers = std::make_shared<Transfers>();
  for (int r = 0; r < comm->ranks; ++r) {
    if (r == comm->rank) continue;
    transfers->push_back({comm, comm->rank, r, Bytes(in), bytes});
    transfers->push_back({comm, r, comm->rank, all->data() + r * bytes, bytes});
  }
  fake::Enqueue(stream, [=] {
    std::memcpy(all->data() + comm->rank * bytes, in, bytes);
    return StepAll(comm, *transfers);
  });
  return all;
}

template <typename T>
void SumBackwards(const std::vector<char>& all, size_t count, size_t begin, size_t n, int ranks,
                  T* out) {
  const T* const values = reinterpret_cast<const T*>(all.data());
  for (size_t i = 0; i < n; ++i) {
    T sum = values[(ranks - 1) * count + begin + i];
    for (int r = ranks - 2; r >= 0; --r) sum += values[r * count + begin + i];
    out[i] = sum;
  }
}

// out[0, n) = the sum of elements [begin, begin + n) of everyone's count.
ncclResult_t Reduce(const void* in, void* out, size_t count, size_t begin, size_t n,
                    ncclDataType_t type, ncclComm* comm, cudaStream_t stream) {
  const auto all = GatherAll(in, count * Width(type), comm, stream);
  fake::Enqueue(stream, [=] {
    if (type == ncclFloat32) {
      SumBackwards(*all, count, begin, n, comm->ranks, static_cast<float*>(out));
    } else {
      SumBackwards(*all, count, begin, n, comm->ranks, static_cast<double*>(out));
    }
    return true;
  });
  return ncclSuccess;
}

}  // namespace

// That the fake is there.
FAKE_EXPORT void ziprl_fake_nccl() {}

FAKE_EXPORT const char* ncclGetErrorString(ncclResult_t) { return "an error of the fake NCCL"; }

FAKE_EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> made{0};
  std::memset(id, 0, sizeof(*id));
  std::snprintf(id->internal, 60, "/ziprl-fake-nccl-%d-%d", getpid(), made++);
  return ncclSuccess;
}

FAKE_EXPORT ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id,
                                                int rank, ncclConfig_t* config) {
  if (ranks > kMaxRanks || rank < 0 || rank >= ranks) return ncclInvalidArgument;
  if (config == nullptr || config->blocking != 0) return ncclInvalidUsage;
  const int fd = shm_open(id.internal, O_CREAT | O_RDWR, 0600);
  if (fd < 0 || ftruncate(fd, sizeof(Segment)) != 0) return ncclSystemError;
  void* const memory = mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) return ncclSystemError;
  *comm = new ncclComm{static_cast<Segment*>(memory), rank, ranks, {}};
  std::memcpy((*comm)->name, id.internal, sizeof((*comm)->name));
  (*comm)->segment->arrived.fetch_add(1);
  return ncclInProgress;
}

FAKE_EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  *state = static_cast<ncclResult_t>(comm->state.load());
  if (comm->segment->aborted) *state = ncclRemoteError;
  if (comm->segment->arrived < comm->ranks) *state = ncclInProgress;
  if (*state == ncclSuccess && comm->rank == 0 && comm->name[0] != '\0') {
    shm_unlink(comm->name);
    comm->name[0] = '\0';
  }
  return ncclSuccess;
}

FAKE_EXPORT ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (comm->rank == 0 && comm->name[0] != '\0') shm_unlink(comm->name);
  munmap(comm->segment, sizeof(Segment));
  delete comm;
  return ncclSuccess;
}

// Streams may still hold steps of it, so it is not freed.
FAKE_EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->segment->aborted = 1;
  if (comm->rank == 0 && comm->name[0] != '\0') shm_unlink(comm->name);
  return ncclSuccess;
}

FAKE_EXPORT ncclResult_t ncclGroupStart() {
  ++depth;
  return ncclSuccess;
}

FAKE_EXPORT ncclResult_t ncclGroupEnd() { return --depth > 0 ? ncclSuccess : Flush(); }

FAKE_EXPORT ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer,
                                  ncclComm_t comm, cudaStream_t stream) {
  if (IsSet("ZIPRL_FAKE_NCCL_FAIL")) comm->state = ncclSystemError;
  return Add({comm, comm->rank, peer, Bytes(data), count * Width(type)}, stream);
}

FAKE_EXPORT ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer,
                                  ncclComm_t comm, cudaStream_t stream) {
  return Add({comm, peer, comm->rank, Bytes(data), count * Width(type)}, stream);
}

FAKE_EXPORT ncclResult_t ncclBroadcast(const void* in, void* out, size_t count, ncclDataType_t type,
                                       int root, ncclComm_t comm, cudaStream_t stream) {
  const size_t bytes = count * Width(type);
  auto transfers = std::make_shared<Transfers>();
  for (int r = 0; r < comm->ranks; ++r) {
    if (r == root || (comm->rank != root && comm->rank != r)) continue;
    transfers->push_back({comm, root, r, comm->rank == root ? Bytes(in) : Bytes(out), bytes});
  }
  fake::Enqueue(stream, [=] { return StepAll(comm, *transfers); });
  return ncclSuccess;
}

FAKE_EXPORT ncclResult_t ncclAllReduce(const void* in, void* out, size_t count, ncclDataType_t type,
                                       ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  if (op != ncclSum) return ncclInvalidArgument;
  return Reduce(in, out, count, 0, count, type, comm, stream);
}

FAKE_EXPORT ncclResult_t ncclReduceScatter(const void* in, void* out, size_t count,
                                           ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                                           cudaStream_t stream) {
  if (op != ncclSum) return ncclInvalidArgument;
  return Reduce(in, out, count * comm->ranks, comm->rank * count, count, type, comm, stream);
}
