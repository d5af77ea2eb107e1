// A learner's rank and its rollouts, for broadcast_failure.py: rank 0 broadcasts version after
// version, the others take what they can, until something ends it. Argument: the deadline of
// watchdog and operations in milliseconds.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/mpi.h"
#include "kernels/comm/watchdog.h"
#include "launch/weight_broadcast.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

constexpr int64_t kRows = 40'000;  // 80 MB: two pieces
constexpr int64_t kReady = 3;      // versions before rank 0 says so

void SayReady(int rank) {
  std::printf("ready rank %d pid %d\n", rank, getpid());
  std::fflush(stdout);
}

absl::Status Broadcast(comm::Communicator& group) {
  WeightBroadcaster sender(group);
  const auto weights = RandomWeights(CaseLayout(kRows), 1, /*seed=*/1);
  for (int64_t version = 1;; ++version) {
    ZIPRL_RETURN_IF_ERROR(sender.Publish(*WithVersion(*weights, version)));
    if (version == kReady) SayReady(group.rank());
  }
}

// The worker looks only now and then.
absl::Status Receive(comm::Communicator& group) {
  BroadcastReceiver receiver(group, /*threads=*/1);
  for (int64_t version = 1;; ++version) {
    const auto taken = receiver.Take(version, absl::Minutes(5));
    if (!taken.ok() && !absl::IsFailedPrecondition(taken.status())) return taken.status();
    if (taken.ok()) ZIPRL_RETURN_IF_ERROR((*taken)->Verify(1));
    absl::SleepFor(absl::Milliseconds(100));
  }
}

absl::Status Run(comm::Communicator& world) {
  ZIPRL_ASSIGN_OR_RETURN(const auto group, world.Split("weights", 0, world.rank(), "weights"));
  if (world.rank() == 0) return Broadcast(*group);
  SayReady(world.rank());
  return Receive(*group);
}

int Main(absl::Duration deadline) {
  // As a run that finishes its step first: the launcher's SIGTERM does not cut the last words.
  signal(SIGTERM, SIG_IGN);
  comm::Communicator::Config config;
  config.deadline = deadline;
  auto world = comm::MpiWorld::Init(config);
  if (!world.ok()) return LogError(world.status().ToString()), 1;
  auto watchdog = comm::Watchdog::Start((*world)->communicator(), {.deadline = deadline});
  if (!watchdog.ok()) return LogError(watchdog.status().ToString()), 1;
  (*world)->communicator().SetMonitor(watchdog->get());

  const absl::Status status = Run((*world)->communicator());
  LogError(absl::StrCat("rank failed: ", status.ToString()));
  (*watchdog)->Fail(status.ToString());
  _Exit(3);  // MPI may hold threads
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  return ziprl::Main(absl::Milliseconds(std::atoi(argv[1])));
}
