#include "kernels/comm/pairwise.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/ordered_sum.h"
#include "kernels/comm/shards.h"

namespace ziprl::comm {
namespace {

constexpr int64_t kSmallReduce = 16 << 10;      // bytes: every rank sums all of it
constexpr int64_t kSmallBroadcast = 256 << 10;  // bytes: the root sends all of it to each
constexpr int64_t kLeastPiece = 64 << 10;       // bytes
constexpr int kRoundsInFlight = 2;
constexpr std::chrono::milliseconds kLook{200};  // between two looks at Cancel

char* At(void* base, int64_t offset) { return static_cast<char*>(base) + offset; }

Message Send(int peer, const void* data, int64_t bytes) {
  return {peer, true, const_cast<void*>(data), bytes};
}

Message Receive(int peer, void* data, int64_t bytes) { return {peer, false, data, bytes}; }

// After a failed operation a late message may still land in our staging memory: it is never freed.
template <typename T>
void Abandon(T memory) {
  static Mutex mutex;
  static auto* const abandoned = new std::vector<T>;
  MutexLock lock(&mutex);
  abandoned->push_back(std::move(memory));
}

}  // namespace

// ---- messages

absl::StatusOr<std::unique_ptr<MessageBatch>> PairwiseCommunicator::Start(
    const Operation& op, std::vector<Message> messages) {
  const auto empty = [](const Message& message) { return message.bytes == 0; };
  messages.erase(std::remove_if(messages.begin(), messages.end(), empty), messages.end());
  return transport_->Start(op, messages);
}

absl::Status PairwiseCommunicator::Wait(const Operation& op, MessageBatch& batch) {
  while (true) {
    const SteadyTime now = std::chrono::steady_clock::now();
    const absl::Status status = batch.Wait(std::min(op.expires, now + kLook));
    if (!absl::IsDeadlineExceeded(status)) return status;
    ZIPRL_RETURN_IF_ERROR(CheckCancelled(op));
    if (std::chrono::steady_clock::now() >= op.expires) return Late(op, batch.Missing());
  }
}

absl::Status PairwiseCommunicator::Exchange(const Operation& op, std::vector<Message> messages) {
  ZIPRL_ASSIGN_OR_RETURN(const std::unique_ptr<MessageBatch> batch, Start(op, std::move(messages)));
  return Wait(op, *batch);
}

// ---- reduction

int64_t PairwiseCommunicator::PieceElements(int64_t width) const {
  const int64_t share = config().staging_bytes / (kRoundsInFlight * (size() - 1));
  return std::max(kLeastPiece, std::min(config().piece_bytes, share)) / width;
}

// Round k moves piece k of every shard to its owner, who sums it in the order of the ranks. The
// next round is under way meanwhile.
template <typename T>
absl::Status PairwiseCommunicator::ReduceScatterTyped(const Operation& op, const T* in, T* out,
                                                      const std::vector<int64_t>& counts) {
  struct Round {
    std::vector<T> staging;  // [size, piece], the own row unused
    std::unique_ptr<MessageBatch> batch;
  };
  const std::vector<int64_t> offsets = Offsets(counts);
  const int64_t longest = *std::max_element(counts.begin(), counts.end());
  const int64_t piece = std::max(std::min(PieceElements(sizeof(T)), longest), int64_t{1});
  const int64_t rounds = (longest + piece - 1) / piece;
  const auto length = [&](int64_t k, int shard) {
    return std::clamp(counts[shard] - k * piece, int64_t{0}, piece);
  };
  Round flight[kRoundsInFlight];

  const auto start = [&](int64_t k) -> absl::Status {
    Round& round = flight[k % kRoundsInFlight];
    const int64_t width = sizeof(T), own = length(k, rank());
    if (own > 0) round.staging.resize(piece * size());
    std::vector<Message> messages;
    for (int step = 1; step < size(); ++step) {
      const int from = (rank() + size() - step) % size(), to = (rank() + step) % size();
      if (own > 0) {
        messages.push_back(Receive(from, round.staging.data() + from * piece, own * width));
      }
      messages.push_back(Send(to, in + offsets[to] + k * piece, length(k, to) * width));
    }
    ZIPRL_ASSIGN_OR_RETURN(round.batch, Start(op, std::move(messages)));
    return absl::OkStatus();
  };
  const auto finish = [&](int64_t k) -> absl::Status {
    Round& round = flight[k % kRoundsInFlight];
    ZIPRL_RETURN_IF_ERROR(Wait(op, *round.batch));
    if (length(k, rank()) == 0) return absl::OkStatus();
    std::vector<const T*> sources;
    for (int r = 0; r < size(); ++r) sources.push_back(round.staging.data() + r * piece);
    sources[rank()] = in + offsets[rank()] + k * piece;
    OrderedSum(sources, length(k, rank()), out + k * piece);
    return absl::OkStatus();
  };
  const auto run = [&]() -> absl::Status {
    if (rounds > 0) ZIPRL_RETURN_IF_ERROR(start(0));
    for (int64_t k = 0; k < rounds; ++k) {
      if (k + 1 < rounds) ZIPRL_RETURN_IF_ERROR(start(k + 1));
      ZIPRL_RETURN_IF_ERROR(finish(k));
    }
    return absl::OkStatus();
  };
  const absl::Status status = run();
  if (!status.ok()) {
    for (Round& round : flight) round.batch = nullptr, Abandon(std::move(round.staging));
  }
  return status;
}

absl::Status PairwiseCommunicator::DoReduceScatter(const Operation& op, const void* in, void* out,
                                                   const std::vector<int64_t>& counts,
                                                   DType dtype) {
  if (dtype == DType::kFloat) {
    return ReduceScatterTyped(op, static_cast<const float*>(in), static_cast<float*>(out), counts);
  }
  return ReduceScatterTyped(op, static_cast<const double*>(in), static_cast<double*>(out), counts);
}

template <typename T>
absl::Status PairwiseCommunicator::AllReduceSmall(const Operation& op, T* data, int64_t n) {
  std::vector<T> staging(n * size());
  std::vector<Message> messages;
  std::vector<const T*> sources;
  for (int r = 0; r < size(); ++r) {
    sources.push_back(r == rank() ? data : staging.data() + r * n);
    if (r == rank()) continue;
    messages.push_back(Receive(r, staging.data() + r * n, n * sizeof(T)));
    messages.push_back(Send(r, data, n * sizeof(T)));
  }
  const absl::Status status = Exchange(op, std::move(messages));
  if (!status.ok()) {
    Abandon(std::move(staging));
    return status;
  }
  OrderedSum(sources, n, data);
  return absl::OkStatus();
}

template <typename T>
absl::Status PairwiseCommunicator::AllReduceTyped(const Operation& op, T* data, int64_t n) {
  const int64_t width = sizeof(T);
  if (n * width <= kSmallReduce) return AllReduceSmall(op, data, n);
  std::vector<int64_t> counts = EvenCounts(n, size());
  T* const mine = data + Offsets(counts)[rank()];
  ZIPRL_RETURN_IF_ERROR(ReduceScatterTyped(op, data, mine, counts));
  for (int64_t& count : counts) count *= width;
  return DoAllGather(op, mine, data, counts);
}

absl::Status PairwiseCommunicator::DoAllReduce(const Operation& op, void* data, int64_t n,
                                               DType dtype) {
  if (dtype == DType::kFloat) return AllReduceTyped(op, static_cast<float*>(data), n);
  return AllReduceTyped(op, static_cast<double*>(data), n);
}

// ---- copies

absl::Status PairwiseCommunicator::DoAllGather(const Operation& op, const void* in, void* out,
                                               const std::vector<int64_t>& byte_counts) {
  const std::vector<int64_t> offsets = Offsets(byte_counts);
  const int64_t mine = byte_counts[rank()];
  if (mine > 0) std::memmove(At(out, offsets[rank()]), in, mine);
  std::vector<Message> messages;
  for (int step = 1; step < size(); ++step) {
    const int from = (rank() + size() - step) % size(), to = (rank() + step) % size();
    messages.push_back(Receive(from, At(out, offsets[from]), byte_counts[from]));
    messages.push_back(Send(to, in, mine));
  }
  return Exchange(op, std::move(messages));
}

absl::Status PairwiseCommunicator::DoAllGatherHost(const Operation& op, const void* in, void* out,
                                                   const std::vector<int64_t>& byte_counts) {
  return DoAllGather(op, in, out, byte_counts);
}

absl::Status PairwiseCommunicator::DoGatherHost(const Operation& op, const void* in, void* out,
                                                const std::vector<int64_t>& byte_counts, int root) {
  if (rank() != root) return Exchange(op, {Send(root, in, byte_counts[rank()])});
  const std::vector<int64_t> offsets = Offsets(byte_counts);
  if (byte_counts[root] > 0) std::memmove(At(out, offsets[root]), in, byte_counts[root]);
  std::vector<Message> messages;
  for (int r = 0; r < size(); ++r) {
    if (r != root) messages.push_back(Receive(r, At(out, offsets[r]), byte_counts[r]));
  }
  return Exchange(op, std::move(messages));
}

// Large: the root gives every rank its share, the ranks then gather them. The root sends the data
// about twice, however many ranks there are.
absl::Status PairwiseCommunicator::DoBroadcast(const Operation& op, void* data, int64_t bytes,
                                               int root) {
  const bool whole = bytes <= kSmallBroadcast || size() == 2;
  const std::vector<int64_t> counts =
      whole ? std::vector<int64_t>(size(), bytes) : EvenCounts(bytes, size());
  const std::vector<int64_t> offsets = whole ? std::vector<int64_t>(size(), 0) : Offsets(counts);
  std::vector<Message> messages;
  for (int r = 0; r < size(); ++r) {
    if (rank() == root && r != root) messages.push_back(Send(r, At(data, offsets[r]), counts[r]));
  }
  if (rank() != root) {
    messages.push_back(Receive(root, At(data, offsets[rank()]), counts[rank()]));
  }
  ZIPRL_RETURN_IF_ERROR(Exchange(op, std::move(messages)));
  return whole ? absl::OkStatus() : DoAllGather(op, At(data, offsets[rank()]), data, counts);
}

absl::Status PairwiseCommunicator::DoBroadcastHost(const Operation& op, void* data, int64_t bytes,
                                                   int root) {
  return DoBroadcast(op, data, bytes, root);
}

absl::Status PairwiseCommunicator::DoBarrier(const Operation& op) {
  std::vector<char> arrived(size());
  std::vector<Message> messages;
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    messages.push_back(Receive(r, &arrived[r], 1));
    messages.push_back(Send(r, &arrived[rank()], 1));
  }
  const absl::Status status = Exchange(op, std::move(messages));
  if (!status.ok()) Abandon(std::move(arrived));
  return status;
}

}  // namespace ziprl::comm
