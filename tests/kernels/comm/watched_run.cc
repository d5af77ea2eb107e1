// A run under the watchdog, for rank_failure.py: every rank sums until something ends it. Its
// options are of the form name=value:
//   deadline_ms  of watchdog and operations
//   steps        after which it ends as it should (default: never)
//   fail_rank, fail_step   that rank reports an error of its own there and exits with 3
//   stuck_rank   that rank leaves the operations after its first step, and sleeps
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "kernels/comm/mpi.h"
#include "kernels/comm/watchdog.h"

namespace ziprl::comm {
namespace {

using Options = std::map<std::string, int64_t>;

Options Parse(int argc, char** argv) {
  Options options = {{"deadline_ms", 3000},
                     {"steps", int64_t{1} << 40},
                     {"fail_rank", -1},
                     {"fail_step", 5},
                     {"stuck_rank", -1}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t equals = word.find('=');
    options[word.substr(0, equals)] = std::atoll(word.substr(equals + 1).c_str());
  }
  return options;
}

absl::Status Step(Communicator& world, const Options& options, int64_t step) {
  if (world.rank() == options.at("fail_rank") && step == options.at("fail_step")) {
    return absl::DataLossError("the disk of this rank is full");
  }
  while (world.rank() == options.at("stuck_rank") && step > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  std::vector<float> gradients(30'000, 1.0f);
  return world.AllReduceSum({"gradients", step}, gradients.data(), gradients.size());
}

// "ready" comes when heartbeats, each a tenth of the deadline behind the one before, have told the
// others what this rank is doing.
absl::Status Steps(Communicator& world, const Options& options) {
  const auto told =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options.at("deadline_ms") / 3);
  bool ready = false;
  for (int64_t step = 0; step < options.at("steps"); ++step) {
    if (absl::Status status = Step(world, options, step); !status.ok()) return status;
    const bool last = step + 1 == options.at("steps");
    if (ready || (!last && std::chrono::steady_clock::now() < told)) continue;
    ready = true;
    std::printf("ready rank %d pid %d\n", world.rank(), getpid());
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

int Main(const Options& options) {
  // As a run that finishes its step first: the launcher's SIGTERM does not cut the last words.
  signal(SIGTERM, SIG_IGN);
  Communicator::Config config;
  config.deadline = absl::Milliseconds(options.at("deadline_ms"));
  auto world = MpiWorld::Init(config);
  if (!world.ok()) return LogError(world.status().ToString()), 1;
  auto watchdog = Watchdog::Start((*world)->communicator(), {.deadline = config.deadline});
  if (!watchdog.ok()) return LogError(watchdog.status().ToString()), 1;
  (*world)->communicator().SetMonitor(watchdog->get());

  absl::Status status = Steps((*world)->communicator(), options);
  if (status.ok()) status = (*world)->Finalize();
  if (status.ok()) return 0;
  LogError(absl::StrCat("rank failed: ", status.ToString()));
  (*watchdog)->Fail(status.ToString());
  _Exit(3);  // MPI may hold threads
}

}  // namespace
}  // namespace ziprl::comm

int main(int argc, char** argv) { return ziprl::comm::Main(ziprl::comm::Parse(argc, argv)); }
