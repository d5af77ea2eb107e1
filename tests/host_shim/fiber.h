// Stack switching for the host shim, known to AddressSanitizer.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cuhost {

inline constexpr size_t kStackBytes = 64 << 10;

// A suspended flow of control.
struct Fiber {
  void* stack_pointer = nullptr;
  const char* stack_bottom = nullptr;  // null for the OS thread's own stack
  void* fake_stack = nullptr;          // AddressSanitizer's
};

// Prepares fiber to run entry() on the stack that ends at bottom + kStackBytes; entry must not
// return.
void PrepareFiber(Fiber& fiber, char* bottom, size_t stagger, void (*entry)());

// Suspends `from` and resumes `to`; returns when somebody resumes `from`. `finished`: `from` never
// will be.
void SwitchFiber(Fiber& from, Fiber& to, bool finished = false);

// To be called first thing in entry().
void FiberStarted(const Fiber& fiber);

// Memory for the stacks of a block's threads, kept between blocks.
class FiberStacks {
 public:
  FiberStacks() = default;
  ~FiberStacks();
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  void Reserve(size_t count);
  char* Bottom(size_t i) const { return memory_ + i * kStackBytes; }

 private:
  char* memory_ = nullptr;
  size_t count_ = 0;
};

}  // namespace cuhost
