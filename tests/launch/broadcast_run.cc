// A learner's rank and its rollouts, for broadcast_failure.py: rank 0 broadcasts version after
// version, the others take what they can. Arguments, each NAME=NUMBER: deadline_ms of watchdog and
// operations; nccl=1: from GPU to GPU, over tests/fake_nccl; versions: how many, each with words of
// its own (0: the same ones again and again, until something ends it); stall_rank, corrupt_rank:
// the fake NCCL of that rank does so from the third version on; largest: so many bytes at once are
// to be had on the rollouts' GPUs.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "configs/base/log.h"
#include "configs/base/status_macros.h"
#include "kernels/comm/mpi.h"
#include "kernels/comm/nccl.h"
#include "kernels/comm/watchdog.h"
#include "launch/weight_broadcast.h"
#include "tests/proto/weights/weight_case.h"

namespace ziprl {
namespace {

constexpr int64_t kRows = 40'000;  // 80 MB: two pieces
constexpr int64_t kReady = 3;      // versions before rank 0 says so

struct Options {
  int deadline_ms = 5000, nccl = 0, versions = 0, stall_rank = -1, corrupt_rank = -1, largest = 0;
};

absl::StatusOr<Options> Parse(int argc, char** argv) {
  Options options;
  const std::map<std::string, int*> fields = {
      {"deadline_ms", &options.deadline_ms},   {"nccl", &options.nccl},
      {"versions", &options.versions},         {"stall_rank", &options.stall_rank},
      {"corrupt_rank", &options.corrupt_rank}, {"largest", &options.largest}};
  for (int i = 1; i < argc; ++i) {
    const std::pair<std::string, std::string> option = absl::StrSplit(argv[i], '=');
    const auto field = fields.find(option.first);
    if (field == fields.end()) return absl::InvalidArgumentError(argv[i]);
    *field->second = std::atoi(option.second.c_str());
  }
  return options;
}

void SayReady(int rank) {
  std::printf("ready rank %d pid %d\n", rank, getpid());
  std::fflush(stdout);
}

// The group, and with NCCL the stream that it follows.
struct Ends {
  std::unique_ptr<comm::DeviceStream> gpu;
  std::unique_ptr<comm::Communicator> group;
};

// A learner's tensors, each in memory of its own; an update puts its work on the learner's stream
// and does not wait for it.
class Learner {
 public:
  static absl::StatusOr<std::unique_ptr<Learner>> Make(WeightLayout::Ptr layout) {
    auto made = std::make_unique<Learner>();
    made->live_.layout = std::move(layout);
    ZIPRL_ASSIGN_OR_RETURN(made->stream_, comm::DeviceStream::Make(0));
    made->live_.stream = made->stream_->handle();
    for (const WeightTensor& tensor : made->live_.layout->tensors()) {
      ZIPRL_ASSIGN_OR_RETURN(auto memory, made->stream_->Allocate(tensor.bytes));
      made->live_.tensors.push_back(memory.get());
      made->memory_.push_back(std::move(memory));
    }
    return made;
  }
  absl::Status Update(const WeightSnapshot& weights) {
    for (size_t i = 0; i < memory_.size(); ++i) {
      const std::string_view bytes = weights.tensor(i);
      ZIPRL_RETURN_IF_ERROR(stream_->Copy(memory_[i].get(), bytes.data(), bytes.size()));
    }
    return absl::OkStatus();
  }
  LiveWeights Live(PolicyVersion version) {
    live_.version = version;
    return live_;
  }

 private:
  std::unique_ptr<comm::DeviceStream> stream_;
  std::vector<std::shared_ptr<char>> memory_;
  LiveWeights live_;
};

absl::Status Broadcast(const Ends& ends, int versions) {
  WeightBroadcaster sender(*ends.group, ends.gpu.get(), /*threads=*/1);
  const auto layout = CaseLayout(kRows);
  WeightSnapshot::Ptr weights = RandomWeights(layout, 1, /*seed=*/1);
  std::unique_ptr<Learner> learner;
  if (ends.gpu != nullptr) {
    ZIPRL_ASSIGN_OR_RETURN(learner, Learner::Make(layout));
  }
  for (int64_t version = 1; versions == 0 || version <= versions; ++version) {
    const bool changes = versions > 0 || version == 1;
    if (versions > 0) weights = UniformWeights(layout, version);
    if (learner != nullptr) {
      if (changes) ZIPRL_RETURN_IF_ERROR(learner->Update(*weights));
      ZIPRL_RETURN_IF_ERROR(sender.Publish(learner->Live(version)));
    } else {
      ZIPRL_RETURN_IF_ERROR(sender.Publish(*(changes ? weights : WithVersion(*weights, version))));
    }
    if (version == kReady) SayReady(ends.group->rank());
  }
  return sender.End();
}

// The snapshot in the host's memory.
absl::StatusOr<WeightSnapshot::Ptr> OnHost(const WeightSnapshot::Ptr& snapshot, int gpu) {
  if (!snapshot->on_device()) return snapshot;
  const uint64_t bytes = snapshot->bytes().size();
  ZIPRL_ASSIGN_OR_RETURN(const auto stream, comm::DeviceStream::Make(gpu));
  ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<char> copy, stream->AllocateHost(bytes));
  ZIPRL_RETURN_IF_ERROR(stream->Copy(copy.get(), snapshot->bytes().data(), bytes));
  ZIPRL_RETURN_IF_ERROR(stream->Finish(absl::Minutes(5)));
  return WeightSnapshot::FromChecked(snapshot->version(), snapshot->layout_ptr(), std::move(copy),
                                     snapshot->chunk_checksums());
}

absl::Status CheckWhole(const WeightSnapshot::Ptr& taken, int gpu, bool own_words) {
  ZIPRL_ASSIGN_OR_RETURN(const auto snapshot, OnHost(taken, gpu));
  ZIPRL_RETURN_IF_ERROR(snapshot->Verify(1));
  if (!own_words || UniformVersion(*snapshot) == snapshot->version()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("weights of version ", snapshot->version(), " have other words than its own"));
}

// The worker looks only now and then.
absl::Status Receive(const Ends& ends, int versions, const std::function<void()>& trouble) {
  BroadcastReceiver receiver(*ends.group, /*threads=*/1, ends.gpu.get());
  for (int64_t version = 1; versions == 0 || version <= versions; ++version) {
    if (version == kReady) trouble();
    const auto taken = receiver.Take(version, absl::Minutes(5));
    if (taken.ok()) {
      ZIPRL_RETURN_IF_ERROR(CheckWhole(*taken, ends.group->rank(), versions > 0));
    } else if (!absl::IsFailedPrecondition(taken.status()) || version == versions) {
      return taken.status();
    }
    if (version == versions) {
      std::printf("rank %d has every tensor of version %d, in %s\n", ends.group->rank(), versions,
                  (*taken)->on_device() ? "the memory of its GPU" : "the host's memory");
    } else {
      absl::SleepFor(absl::Milliseconds(100));
    }
  }
  return receiver.Finish();
}

absl::StatusOr<Ends> MakeEnds(comm::Communicator& world, const Options& options) {
  Ends ends;
  ZIPRL_ASSIGN_OR_RETURN(ends.group, world.Split("weights", 0, world.rank(), "weights"));
  if (options.nccl == 0) return ends;
  comm::NcclOptions nccl;
  nccl.name = "weights";
  nccl.device = world.rank();
  ZIPRL_ASSIGN_OR_RETURN(ends.gpu, comm::DeviceStream::Make(nccl.device));
  nccl.caller_stream = [gpu = ends.gpu.get()] { return gpu->handle(); };
  ZIPRL_ASSIGN_OR_RETURN(ends.group, comm::MakeNcclCommunicator(*ends.group, nccl));
  return ends;
}

absl::Status Run(comm::Communicator& world, const Options& options) {
  ZIPRL_ASSIGN_OR_RETURN(const Ends ends, MakeEnds(world, options));
  if (world.rank() == 0) return Broadcast(ends, options.versions);
  if (options.largest > 0) {
    setenv("ZIPRL_FAKE_CUDA_LARGEST", std::to_string(options.largest).c_str(), 1);
  }
  SayReady(world.rank());
  return Receive(ends, options.versions, [&] {
    if (world.rank() == options.stall_rank) setenv("ZIPRL_FAKE_NCCL_STALL", "1", 1);
    if (world.rank() == options.corrupt_rank) setenv("ZIPRL_FAKE_NCCL_CORRUPT", "1", 1);
  });
}

int Main(const Options& options) {
  // As a run that finishes its step first: the launcher's SIGTERM does not cut the last words.
  signal(SIGTERM, SIG_IGN);
  const absl::Duration deadline = absl::Milliseconds(options.deadline_ms);
  comm::Communicator::Config config;
  config.deadline = deadline;
  auto world = comm::MpiWorld::Init(config);
  if (!world.ok()) return LogError(world.status().ToString()), 1;
  auto watchdog = comm::Watchdog::Start((*world)->communicator(), {.deadline = deadline});
  if (!watchdog.ok()) return LogError(watchdog.status().ToString()), 1;
  (*world)->communicator().SetMonitor(watchdog->get());

  const absl::Status status = Run((*world)->communicator(), options);
  if (status.ok()) return (*world)->Finalize().ok() ? 0 : 1;
  LogError(absl::StrCat("rank failed: ", status.ToString()));
  (*watchdog)->Fail(status.ToString());
  _Exit(3);  // MPI may hold threads
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  const auto options = ziprl::Parse(argc, argv);
  return options.ok() ? ziprl::Main(*options) : 2;
}
