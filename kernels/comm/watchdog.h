// Heartbeats between the ranks of one job, outside of MPI and NCCL: a rank that is killed, stopped
// or silent is named on every other rank, and the run ends instead of hanging.
//
// A star of TCP connections to rank 0, carried by one thread per process. Every rank reports its
// last finished operation, the one it waits in, and its step; rank 0 passes the reports on and
// decides. Within Config::deadline after a rank's process ended without a goodbye, stopped, or went
// silent, each other rank logs one line that names it (rank, host, pid, step, last operation) and
// calls on_failure: a thread inside MPI cannot be unwound, so the default ends the process with
// kExitCode. The same happens when an operation of this rank is far past its deadline, that is, a
// thread is stuck inside the transport.
//
//   auto world = MpiWorld::Init(config);
//   auto watchdog = Watchdog::Start((*world)->communicator(), {.deadline = ...});
//   (*world)->communicator().SetMonitor(watchdog->get());
//   ... the run; on an error of this rank alone: (*watchdog)->Fail(status.ToString());
//   (*world)->Finalize();   // still watched
//   watchdog->reset();      // says goodbye
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "configs/base/mutex.h"
#include "kernels/comm/communicator.h"
#include "kernels/comm/heartbeat_link.h"
#include "kernels/comm/op_board.h"
#include "kernels/comm/rank_table.h"

namespace ziprl::comm {

// Thread-safe.
class Watchdog : public OpMonitor {
 public:
  struct Config {
    // A failed rank is named everywhere within this; heartbeats are sent every tenth of it.
    absl::Duration deadline = absl::Seconds(120);
    // Where rank 0 listens. "": loopback when all ranks are on one host, else every interface.
    std::string listen_address;
    // After the line was logged, once, on the watchdog's thread. Empty: _Exit(kExitCode).
    std::function<void(const std::string& line)> on_failure;
  };
  static constexpr int kExitCode = 70;

  // Collective over `world`, whose monitor is left alone. Errors: rank 0 cannot listen, or cannot
  // be reached within the deadline.
  static absl::StatusOr<std::unique_ptr<Watchdog>> Start(Communicator& world, Config config);
  // Says goodbye. Rank 0, still watching, waits until every other rank has left, at most for the
  // deadline. While a failure is being handled it waits for that.
  ~Watchdog() override;

  void Begin(const Operation& operation) override { board_.Begin(operation); }
  void End(const Operation& operation, const absl::Status& status) override {
    board_.End(operation, status);
  }
  std::string Describe(int world_rank) const override;

  // This rank ends by an error of its own: the others log it under this rank's name and call their
  // on_failure. Returns once it was sent, within a second; the caller then exits non-zero.
  void Fail(std::string_view what);

 private:
  struct Peer {  // a connection of rank 0
    explicit Peer(FileDescriptor socket) : link(std::move(socket)) {}
    HeartbeatLink link;
    int rank = -1;  // before its hello
  };
  enum class Ending { kNo, kGoodbye, kFailing };

  Watchdog(int rank, int ranks, Config config);
  absl::Status Meet(Communicator& world);
  absl::Status Invite(Communicator& world, bool one_host);
  absl::Status Join(Communicator& world);

  // On the watchdog's thread.
  void Loop();
  bool Beat(SteadyTime now);
  void Sleep(SteadyTime until);
  void AcceptPeers();
  void HearPeers(SteadyTime now);
  void HearPeer(Peer& peer, const Heartbeat& heartbeat, SteadyTime now);
  void HearHub(SteadyTime now);
  void JudgeSilence(SteadyTime now);
  void JudgeOwn(SteadyTime now);
  void JudgeEnded(int rank);
  void SendReports();
  bool EndNow(SteadyTime now);
  void Linger();
  void Conclude(int rank, const std::string& line);
  bool EveryoneLeft() const;

  Heartbeat Own(Heartbeat::Kind kind, std::string text = "") const;
  void Heard(const Heartbeat& heartbeat, SteadyTime now);
  bool Left(int rank) const;
  absl::Duration Silence(int rank, SteadyTime now) const;
  std::string Verdict(int rank, const std::string& how) const;
  void Wake();

  const int rank_;
  const int ranks_;
  const Config config_;
  const absl::Duration silence_limit_;
  const absl::Duration interval_;
  OpBoard board_;

  mutable Mutex mutex_;
  CondVar changed_;
  RankTable table_ ABSL_GUARDED_BY(mutex_);
  Ending ending_ ABSL_GUARDED_BY(mutex_) = Ending::kNo;
  std::string failing_text_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // the thread has nothing more to do

  // Of the watchdog's thread once it runs.
  std::string key_;
  FileDescriptor listener_;                   // rank 0
  std::vector<std::unique_ptr<Peer>> peers_;  // rank 0
  std::unique_ptr<HeartbeatLink> hub_;        // the others
  FileDescriptor wake_;
  bool concluded_ = false;
  absl::Duration stood_still_;  // this process, before the latest beat
  SteadyTime last_beat_, next_report_;
  std::optional<SteadyTime> goodbye_expires_;  // rank 0: how long it waits for the others
  std::thread thread_;
};

}  // namespace ziprl::comm
