#include "kernels/comm/watchdog.h"

#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "configs/base/status_macros.h"

namespace ziprl::comm {
namespace {

constexpr double kSilenceShare = 0.7;  // of the deadline; the rest is for telling the others
constexpr char kLoopback[] = "127.0.0.1";
constexpr char kEverywhere[] = "0.0.0.0";

absl::StatusOr<std::string> NewKey() {
  char bytes[16];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
    return absl::UnavailableError("getrandom gave no bytes for the watchdog's key");
  }
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

// The same on every rank: the first rank's error, if there is one.
absl::Status Agree(Communicator& world, const absl::Status& mine) {
  ZIPRL_ASSIGN_OR_RETURN(
      const std::vector<std::string> errors,
      world.AllGatherBytes("start of the watchdog", mine.ok() ? "" : std::string(mine.message())));
  for (size_t r = 0; r < errors.size(); ++r) {
    if (errors[r].empty()) continue;
    return absl::UnavailableError(
        absl::StrCat("the watchdog of rank ", r, " did not start: ", errors[r]));
  }
  return absl::OkStatus();
}

}  // namespace

Watchdog::Watchdog(int rank, int ranks, Config config)
    : rank_(rank),
      ranks_(ranks),
      config_(std::move(config)),
      silence_limit_(config_.deadline * kSilenceShare),
      interval_(std::clamp(config_.deadline / 10, absl::Milliseconds(10), absl::Seconds(2))),
      table_(ranks, std::chrono::steady_clock::now()),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

absl::StatusOr<std::unique_ptr<Watchdog>> Watchdog::Start(Communicator& world, Config config) {
  std::unique_ptr<Watchdog> watchdog(new Watchdog(world.rank(), world.size(), std::move(config)));
  if (world.size() == 1) {
    MutexLock lock(&watchdog->mutex_);
    watchdog->finished_ = true;
    return watchdog;
  }
  ZIPRL_RETURN_IF_ERROR(watchdog->Meet(world));
  watchdog->last_beat_ = watchdog->next_report_ = std::chrono::steady_clock::now();
  {
    MutexLock lock(&watchdog->mutex_);
    watchdog->table_.Forgive(watchdog->last_beat_);
  }
  watchdog->thread_ = std::thread([w = watchdog.get()] { w->Loop(); });
  return watchdog;
}

absl::Status Watchdog::Meet(Communicator& world) {
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<std::string> hosts,
                         world.AllGatherBytes("hosts of the watchdog", HostName()));
  const bool one_host =
      std::all_of(hosts.begin(), hosts.end(), [&](const auto& host) { return host == hosts[0]; });
  return rank_ == 0 ? Invite(world, one_host) : Join(world);
}

// "key port address address ...", empty when rank 0 cannot listen.
absl::Status Watchdog::Invite(Communicator& world, bool one_host) {
  std::string address = config_.listen_address;
  if (address.empty()) address = one_host ? kLoopback : kEverywhere;
  std::string invitation;
  const auto listen = [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(key_, NewKey());
    ZIPRL_ASSIGN_OR_RETURN(listener_, Listen(address));
    const std::vector<std::string> addresses =
        address == kEverywhere ? HostAddresses() : std::vector<std::string>{address};
    invitation = absl::StrCat(key_, " ", LocalPort(listener_), " ", absl::StrJoin(addresses, " "));
    return absl::OkStatus();
  };
  const absl::Status status = listen();
  ZIPRL_RETURN_IF_ERROR(world.BroadcastBytes("address of the watchdog", &invitation, 0));
  return Agree(world, status);
}

absl::Status Watchdog::Join(Communicator& world) {
  std::string invitation;
  ZIPRL_RETURN_IF_ERROR(world.BroadcastBytes("address of the watchdog", &invitation, 0));
  const auto connect = [&]() -> absl::Status {
    if (invitation.empty()) return absl::OkStatus();  // rank 0 says why
    std::vector<std::string> words = absl::StrSplit(invitation, ' ');
    int port = 0;
    if (words.size() < 3 || !absl::SimpleAtoi(words[1], &port)) {
      return absl::InternalError(absl::StrCat("no invitation: '", invitation, "'"));
    }
    key_ = words[0];
    words.erase(words.begin(), words.begin() + 2);
    const auto expires =
        std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(config_.deadline / 2);
    ZIPRL_ASSIGN_OR_RETURN(FileDescriptor socket, Connect(words, port, expires));
    hub_ = std::make_unique<HeartbeatLink>(std::move(socket));
    hub_->Send(EncodeFrame(Own(Heartbeat::kHello, key_)));
    return absl::OkStatus();
  };
  return Agree(world, connect());
}

Watchdog::~Watchdog() {
  {
    MutexLock lock(&mutex_);
    if (ending_ == Ending::kNo) ending_ = Ending::kGoodbye;
  }
  Wake();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::Fail(std::string_view what) {
  const auto expires = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  MutexLock lock(&mutex_);
  if (ending_ != Ending::kNo) return;
  ending_ = Ending::kFailing;
  failing_text_ = std::string(what);
  Wake();
  while (!finished_ && std::chrono::steady_clock::now() < expires) {
    changed_.WaitWithTimeout(&mutex_, absl::Milliseconds(100));
  }
}

void Watchdog::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
}

std::string Watchdog::Describe(int world_rank) const {
  MutexLock lock(&mutex_);
  return table_.Describe(world_rank);
}

Heartbeat Watchdog::Own(Heartbeat::Kind kind, std::string text) const {
  Heartbeat heartbeat;
  heartbeat.kind = kind;
  heartbeat.rank = rank_;
  heartbeat.pid = getpid();
  heartbeat.host = HostName();
  heartbeat.activity = board_.Snapshot();
  heartbeat.text = std::move(text);
  return heartbeat;
}

}  // namespace ziprl::comm
