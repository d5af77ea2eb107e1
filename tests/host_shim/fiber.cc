#include "tests/host_shim/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define ZIPRL_ASAN_FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define ZIPRL_ASAN_FIBERS 1
#endif
#endif

// Saves the callee-saved registers on the current stack, its pointer in *save, and continues at
// load.
extern "C" void cuhost_switch(void** save, void* load);
asm(R"(
.text
.globl cuhost_switch
.type cuhost_switch,@function
cuhost_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi); movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size cuhost_switch,.-cuhost_switch
)");

namespace cuhost {
namespace {

#ifdef ZIPRL_ASAN_FIBERS
struct StackBounds {
  const void* bottom = nullptr;
  size_t size = kStackBytes;
};

// The OS thread's own stack.
StackBounds ThreadStack() {
  pthread_attr_t attributes;
  void* start = nullptr;
  StackBounds bounds;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &start, &bounds.size);
  pthread_attr_destroy(&attributes);
  bounds.bottom = start;
  return bounds;
}

void StartSwitch(Fiber& from, const Fiber& to, bool finished) {
  static thread_local const StackBounds own = ThreadStack();  // asking reads /proc: once
  const StackBounds bounds = to.stack_bottom == nullptr ? own : StackBounds{to.stack_bottom};
  __sanitizer_start_switch_fiber(finished ? nullptr : &from.fake_stack, bounds.bottom, bounds.size);
}

void FinishSwitch(const Fiber& resumed) {
  __sanitizer_finish_switch_fiber(resumed.fake_stack, nullptr, nullptr);
}
#else
void StartSwitch(Fiber&, const Fiber&, bool) {}
void FinishSwitch(const Fiber&) {}
#endif

}  // namespace

void PrepareFiber(Fiber& fiber, char* bottom, size_t stagger, void (*entry)()) {
  void** top = reinterpret_cast<void**>(bottom + kStackBytes - stagger);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fiber = {top, bottom, nullptr};
}

void SwitchFiber(Fiber& from, Fiber& to, bool finished) {
  StartSwitch(from, to, finished);
  cuhost_switch(&from.stack_pointer, to.stack_pointer);
  FinishSwitch(from);
}

void FiberStarted(const Fiber& fiber) { FinishSwitch(fiber); }

FiberStacks::~FiberStacks() {
  if (memory_ != nullptr) munmap(memory_, count_ * kStackBytes);
}

void FiberStacks::Reserve(size_t count) {
  if (count <= count_) return;
  if (memory_ != nullptr) munmap(memory_, count_ * kStackBytes);
  void* memory = mmap(nullptr, count * kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  memory_ = static_cast<char*>(memory);
  count_ = count;
}

}  // namespace cuhost
