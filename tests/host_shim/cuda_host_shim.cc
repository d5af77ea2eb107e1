#include "tests/host_shim/cuda_host_shim.h"

#include <algorithm>

namespace cuhost {
namespace {

thread_local Block* running = nullptr;
thread_local const std::function<void()>* running_body = nullptr;

}  // namespace

void Die(const char* message, int a, int b) {
  std::fprintf(stderr, "cuda_host_shim: %s (%d, %d), block %u,%u, thread %u\n", message, a, b,
               blockIdx.x, blockIdx.y, threadIdx.x);
  std::abort();
}

Block& Block::Current() { return *running; }

void Block::Start(const std::function<void()>& body) {
  const int n = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
  if (n < 1 || n > 1024) Die("block size outside 1..1024", n);
  running = this;
  running_body = &body;
  stacks_.Reserve(n);
  threads_.assign(n, Thread{});
  warps_.assign((n + 31) / 32, Warp{});
  order_.resize(n);
  const auto entry = [] {
    Block& block = Current();
    FiberStarted(block.threads_[block.current_].fiber);
    (*running_body)();
    Thread& self = block.threads_[block.current_];
    self.state = kDone;
    SwitchFiber(self.fiber, block.scheduler_, true);
    Die("a finished thread was resumed");
  };
  for (int i = 0; i < n; ++i) {
    const unsigned u = static_cast<unsigned>(i);
    order_[i] = i;
    threads_[i].index = {u % blockDim.x, u / blockDim.x % blockDim.y,
                         u / (blockDim.x * blockDim.y)};
    threads_[i].state = kReady;
    // Staggered: equal offsets on all stacks would share one cache set.
    PrepareFiber(threads_[i].fiber, stacks_.Bottom(i), u % 61 * 256, entry);
  }
  if (ThreadOrder() == Order::kReverse) std::reverse(order_.begin(), order_.end());
}

void Block::RunReady(std::mt19937& rng) {
  if (ThreadOrder() == Order::kRandom) std::shuffle(order_.begin(), order_.end(), rng);
  for (int i : order_) {
    if (threads_[i].state != kReady) continue;
    current_ = i;
    threadIdx = threads_[i].index;
    SwitchFiber(scheduler_, threads_[i].fiber);
  }
}

// Whether a lane named by a mask waits at the same operation; one that cannot come any more is
// fatal.
bool Block::LaneArrived(int warp, int lane, unsigned mask, int site) const {
  const size_t i = static_cast<size_t>(warp) * 32 + lane;
  if (i >= threads_.size() || threads_[i].state == kDone) {
    Die("warp operation names an exited or missing lane", lane, site >> 10);
  }
  return threads_[i].state == kAtWarpOp && threads_[i].mask == mask;
}

// Lets go every group of lanes that has arrived completely.
bool Block::ReleaseWarps() {
  bool released = false;
  for (size_t t = 0; t < threads_.size(); ++t) {
    if (threads_[t].state != kAtWarpOp) continue;
    const int warp = static_cast<int>(t / 32);
    const unsigned mask = threads_[t].mask;
    bool complete = true;
    for (int lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      complete &= LaneArrived(warp, lane, mask, threads_[t].site);
    }
    if (!complete) continue;
    for (int lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      warps_[warp].snapshot[lane] = warps_[warp].published[lane];
      threads_[warp * 32 + lane].state = kReady;
    }
    released = true;
  }
  return released;
}

// Lets go the block once every thread that is left waits at the same barrier.
bool Block::ReleaseBarrier(bool& alive) {
  int site = -1;
  bool all = true;
  alive = false;
  for (const Thread& t : threads_) {
    if (t.state == kDone) continue;
    alive = true;
    all &= t.state == kAtBarrier;
    if (site < 0) site = t.site;
    if (all && t.site != site) Die("divergent __syncthreads, lines", site >> 10, t.site >> 10);
  }
  if (!alive || !all) return false;
  for (Thread& t : threads_) {
    if (t.state == kAtBarrier) t.state = kReady;
  }
  return true;
}

void Block::Run(const std::function<void()>& body, std::mt19937& rng) {
  Start(body);
  for (bool alive = true; alive;) {
    RunReady(rng);
    const bool warps = ReleaseWarps();
    const bool barrier = ReleaseBarrier(alive);
    if (alive && !warps && !barrier)
      Die("deadlock: a warp operation and a barrier wait on each other");
  }
}

void Block::Wait(State state, int site, unsigned mask) {
  Thread& self = threads_[current_];
  self.state = state;
  self.site = site;
  self.mask = mask;
  SwitchFiber(self.fiber, scheduler_);
}

void Block::SyncThreads(int site) { Wait(kAtBarrier, site, 0); }

uint64_t Block::ExchangeBits(unsigned mask, uint64_t bits, int source, int site) {
  Warp& warp = warps_[current_ / 32];
  const int me = lane();
  if ((mask >> me & 1) == 0) Die("calling lane is not in the mask", me, site >> 10);
  if ((mask >> source & 1) == 0) Die("shuffle reads a lane outside the mask", source, site >> 10);
  warp.published[me] = bits;
  Wait(kAtWarpOp, site, mask);
  return warp.snapshot[source];
}

unsigned Block::Ballot(unsigned mask, bool predicate, int site) {
  ExchangeBits(mask, predicate ? 1 : 0, lane(), site);
  unsigned bits = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    bits |= static_cast<unsigned>(warps_[current_ / 32].snapshot[lane] & 1) << lane;
  }
  return bits;
}

void Launch(dim3 grid, dim3 block, const std::function<void()>& body) {
  static thread_local Block runner;
  std::mt19937 rng(7);
  gridDim = grid;
  blockDim = block;
  const unsigned count = grid.x * grid.y * grid.z;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned j = ThreadOrder() == Order::kReverse ? count - 1 - i : i;
    blockIdx = {j % grid.x, j / grid.x % grid.y, j / (grid.x * grid.y)};
    runner.Run(body, rng);
  }
}

}  // namespace cuhost
