// Runs CUDA kernel bodies on the CPU, one fiber per CUDA thread, for unit tests. All fibers of a
// block live on one OS thread, so `__shared__` = `static thread_local` is per block. x86-64 System
// V only. Stops the program on a divergent __syncthreads, a deadlock, or a shuffle from a lane
// outside the mask; the order in which threads and blocks run is selectable, to expose races. There
// are no atomics: kernels sum in a fixed order.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <ostream>
#include <random>
#include <type_traits>
#include <vector>

#include "tests/host_shim/fiber.h"

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

#define __global__
#define __device__
#define __host__
#define __shared__ static thread_local
#define __forceinline__ inline
#define __launch_bounds__(...)

inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;

namespace cuhost {

// kForward: ascending; kReverse: descending; kRandom: shuffled anew between any two barriers.
enum class Order { kForward, kReverse, kRandom };
inline void PrintTo(Order order, std::ostream* out) {
  const char* names[] = {"forward", "reverse", "random"};
  *out << names[static_cast<int>(order)];
}
inline Order& ThreadOrder() {
  static Order order = Order::kForward;
  return order;
}

[[noreturn]] void Die(const char* message, int a = 0, int b = 0);

// One block: its fibers, and what its warps publish.
class Block {
 public:
  static Block& Current();

  // Runs body once per thread of the block at blockIdx.
  void Run(const std::function<void()>& body, std::mt19937& rng);

  // What the intrinsics below are made of; called from a fiber.
  void SyncThreads(int site);
  template <typename T>
  T Exchange(unsigned mask, T value, int source, int site) {
    static_assert(sizeof(T) <= 8, "shuffle of at most 8 bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = ExchangeBits(mask, bits, source, site);
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  unsigned Ballot(unsigned mask, bool predicate, int site);
  int lane() const { return current_ & 31; }

 private:
  enum State { kReady, kAtBarrier, kAtWarpOp, kDone };
  struct Thread {
    Fiber fiber;
    uint3 index;
    State state;
    int site;
    unsigned mask;
  };
  struct Warp {
    uint64_t published[32], snapshot[32];
  };

  void Start(const std::function<void()>& body);
  void RunReady(std::mt19937& rng);
  bool ReleaseWarps();
  bool LaneArrived(int warp, int lane, unsigned mask, int site) const;
  bool ReleaseBarrier(bool& alive);
  void Wait(State state, int site, unsigned mask);
  uint64_t ExchangeBits(unsigned mask, uint64_t bits, int source, int site);

  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<int> order_;
  FiberStacks stacks_;
  Fiber scheduler_;
  int current_ = 0;
};

// Runs a grid, one block after the other.
void Launch(dim3 grid, dim3 block, const std::function<void()>& body);

template <typename T>
T ShuffleXor(unsigned mask, T value, int lane_mask, int site) {
  Block& block = Block::Current();
  return block.Exchange(mask, value, (block.lane() ^ lane_mask) & 31, site);
}

}  // namespace cuhost

// The call site, not just its line: two barriers on one line differ.
#define CUHOST_SITE (__LINE__ << 10 | (__COUNTER__ & 1023))
#define __syncthreads() cuhost::Block::Current().SyncThreads(CUHOST_SITE)
#define __shfl_xor_sync(mask, value, lane_mask) \
  cuhost::ShuffleXor(mask, value, lane_mask, CUHOST_SITE)
#define __ballot_sync(mask, predicate) cuhost::Block::Current().Ballot(mask, predicate, CUHOST_SITE)

template <typename A, typename B>
auto min(A a, B b) -> std::common_type_t<A, B> {
  return b < a ? b : a;
}
template <typename A, typename B>
auto max(A a, B b) -> std::common_type_t<A, B> {
  return a < b ? b : a;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline long long __double_as_longlong(double x) {
  long long bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
