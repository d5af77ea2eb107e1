#include "configs/base/shutdown.h"

#include <atomic>
#include <csignal>

namespace ziprl {
namespace {

std::atomic<bool> shutdown_requested{false};
std::atomic<bool> checkpoint_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers need lock-free flags");

void OnTerminate(int signal) {
  shutdown_requested.store(true);
  if (signal == SIGINT) std::signal(SIGINT, SIG_DFL);
}

void OnCheckpoint(int) { checkpoint_requested.store(true); }

void Handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void InstallSignalFlags() {
  Handle(SIGTERM, OnTerminate);
  Handle(SIGINT, OnTerminate);
  Handle(SIGUSR2, OnTerminate);
  Handle(SIGUSR1, OnCheckpoint);
}

bool ShutdownRequested() { return shutdown_requested.load(); }

bool TakeCheckpointRequest() { return checkpoint_requested.exchange(false); }

}  // namespace ziprl
