// What the watchdog does on its thread.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/log.h"
#include "kernels/comm/watchdog.h"

namespace ziprl::comm {
namespace {

// How long last words are given to arrive.
constexpr std::chrono::milliseconds kLinger{500};
constexpr char kEnded[] = "ended without a goodbye (killed, or crashed)";

std::chrono::nanoseconds Chrono(absl::Duration duration) {
  return absl::ToChronoNanoseconds(duration);
}

std::string Text(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(1)));
}

}  // namespace

void Watchdog::Loop() {
  while (Beat(std::chrono::steady_clock::now())) {
    Sleep(std::min(next_report_, last_beat_ + Chrono(interval_)));
  }
  MutexLock lock(&mutex_);
  finished_ = true;
  changed_.NotifyAll();
}

// False when the thread has nothing more to do.
bool Watchdog::Beat(SteadyTime now) {
  stood_still_ = absl::FromChrono(now - last_beat_);
  if (stood_still_ > interval_ + silence_limit_ / 3) {
    MutexLock lock(&mutex_);
    table_.Forgive(now);
  }
  last_beat_ = now;
  {
    const Heartbeat own = Own(Heartbeat::kAlive);
    Heard(own, now);
  }
  if (rank_ == 0) {
    AcceptPeers();
    HearPeers(now);
  } else {
    HearHub(now);
  }
  if (!concluded_) JudgeSilence(now);
  if (!concluded_) JudgeOwn(now);
  if (concluded_) return false;
  if (now >= next_report_) {
    SendReports();
    next_report_ = now + Chrono(interval_);
  }
  return !EndNow(now);
}

// Until that time, or something to hear, or a wish to end.
void Watchdog::Sleep(SteadyTime until) {
  std::vector<pollfd> watched = {{wake_.get(), POLLIN, 0}};
  const auto watch = [&](const HeartbeatLink& link) {
    if (link.closed()) return;
    const int output = link.has_output() ? POLLOUT : 0;
    watched.push_back({link.fd(), static_cast<short>(POLLIN | output), 0});
  };
  if (rank_ == 0) watched.push_back({listener_.get(), POLLIN, 0});
  for (const auto& peer : peers_) watch(peer->link);
  if (hub_ != nullptr) watch(*hub_);
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  poll(watched.data(), watched.size(), std::max<int>(0, static_cast<int>(left.count())));
  uint64_t wishes;
  [[maybe_unused]] const ssize_t drained = read(wake_.get(), &wishes, sizeof(wishes));
  for (const auto& peer : peers_) peer->link.Flush();
  if (hub_ != nullptr) hub_->Flush();
}

// ---- hearing

void Watchdog::Heard(const Heartbeat& heartbeat, SteadyTime now) {
  MutexLock lock(&mutex_);
  table_.Heard(heartbeat, now);
}

bool Watchdog::Left(int rank) const {
  MutexLock lock(&mutex_);
  return table_.left(rank);
}

absl::Duration Watchdog::Silence(int rank, SteadyTime now) const {
  MutexLock lock(&mutex_);
  return table_.Silence(rank, now);
}

std::string Watchdog::Verdict(int rank, const std::string& how) const {
  MutexLock lock(&mutex_);
  return table_.Verdict(rank, how);
}

void Watchdog::AcceptPeers() {
  // Strangers without the key may knock; they do not pile up.
  const size_t most = 2 * static_cast<size_t>(ranks_) + 16;
  while (peers_.size() < most) {
    FileDescriptor socket = Accept(listener_);
    if (socket.get() < 0) return;
    peers_.push_back(std::make_unique<Peer>(std::move(socket)));
  }
}

// A rank that vanished explains the errors of others, so it is named before those.
void Watchdog::HearPeers(SteadyTime now) {
  std::vector<Heartbeat> failing;
  std::vector<int> ended;
  for (const auto& peer : peers_) {
    bool fails = false;
    for (const Heartbeat& heartbeat : peer->link.Receive()) {
      HearPeer(*peer, heartbeat, now);
      if (peer->rank != heartbeat.rank || heartbeat.kind != Heartbeat::kFailing) continue;
      failing.push_back(heartbeat);
      fails = true;
    }
    if (peer->link.closed() && peer->rank >= 0 && !fails && !Left(peer->rank)) {
      ended.push_back(peer->rank);
    }
  }
  const auto gone = [](const auto& peer) { return peer->link.closed(); };
  peers_.erase(std::remove_if(peers_.begin(), peers_.end(), gone), peers_.end());
  for (int rank : ended) JudgeEnded(rank);
  for (const Heartbeat& last : failing) {
    Conclude(last.rank, Verdict(last.rank, absl::StrCat("failed: ", last.text)));
  }
}

void Watchdog::HearPeer(Peer& peer, const Heartbeat& heartbeat, SteadyTime now) {
  if (peer.rank < 0) {
    const auto taken = [&](const auto& other) { return other->rank == heartbeat.rank; };
    if (heartbeat.kind != Heartbeat::kHello || heartbeat.text != key_ || heartbeat.rank < 1 ||
        heartbeat.rank >= ranks_ || std::any_of(peers_.begin(), peers_.end(), taken)) {
      return peer.link.Close();
    }
    peer.rank = heartbeat.rank;
  }
  if (heartbeat.rank == peer.rank) Heard(heartbeat, now);
}

void Watchdog::HearHub(SteadyTime now) {
  if (hub_ == nullptr) return;
  for (const Heartbeat& heartbeat : hub_->Receive()) {
    if (heartbeat.kind == Heartbeat::kVerdict) Conclude(heartbeat.rank, heartbeat.text);
    if (heartbeat.rank != rank_) Heard(heartbeat, now);
  }
  if (!hub_->closed()) return;
  if (!Left(0)) JudgeEnded(0);
  hub_ = nullptr;
}

// ---- judging

void Watchdog::JudgeSilence(SteadyTime now) {
  const int begin = rank_ == 0 ? 1 : 0, end = rank_ == 0 ? ranks_ : 1;
  for (int r = begin; r < end; ++r) {
    const absl::Duration silence = Silence(r, now);
    if (Left(r) || silence <= silence_limit_) continue;
    Conclude(r, Verdict(r, absl::StrCat("has been silent for ", Text(silence),
                                        " (stopped, or its host cannot be reached)")));
  }
}

// Its connection is closed and there was no goodbye.
void Watchdog::JudgeEnded(int rank) {
  if (stood_still_ < silence_limit_) return Conclude(rank, Verdict(rank, kEnded));
  Conclude(rank_, Verdict(rank_, absl::StrCat("stood still for ", Text(stood_still_),
                                              " (stopped), and the others gave it up")));
}

void Watchdog::JudgeOwn(SteadyTime now) {
  const std::string operation = board_.Overdue(now, config_.deadline / 4);
  if (operation.empty()) return;
  const std::string how = absl::StrCat("is stuck past its deadline in ", operation);
  if (hub_ != nullptr) hub_->Send(EncodeFrame(Own(Heartbeat::kFailing, how)));
  Conclude(rank_, Verdict(rank_, how));
}

void Watchdog::Conclude(int rank, const std::string& line) {
  if (concluded_) return;
  concluded_ = true;
  LogError(absl::StrCat(line, "; rank ", rank_, " ends"));
  Heartbeat verdict = Own(Heartbeat::kVerdict, line);
  verdict.rank = rank;
  const std::string frame = EncodeFrame(verdict);
  for (const auto& peer : peers_) {
    if (peer->rank >= 0) peer->link.Send(frame);
  }
  Linger();
  if (!config_.on_failure) _Exit(kExitCode);
  config_.on_failure(line);
}

// ---- speaking

// Rank 0 passes on what it heard of the others.
void Watchdog::SendReports() {
  std::string frames = EncodeFrame(Own(Heartbeat::kAlive));
  if (hub_ != nullptr) hub_->Send(frames);
  if (rank_ != 0) return;
  for (int r = 1; r < ranks_; ++r) {
    MutexLock lock(&mutex_);
    Heartbeat last = table_.last(r);
    if (last.kind != Heartbeat::kGoodbye) last.kind = Heartbeat::kAlive;
    last.text.clear();
    if (table_.known(r)) frames += EncodeFrame(last);
  }
  for (const auto& peer : peers_) {
    if (peer->rank >= 0) peer->link.Send(frames);
  }
}

bool Watchdog::EveryoneLeft() const {
  for (int r = 1; r < ranks_; ++r) {
    if (!Left(r)) return false;
  }
  return true;
}

// Carries out a wish to end; false while there is none, or rank 0 still waits for the others.
bool Watchdog::EndNow(SteadyTime now) {
  Ending ending;
  std::string text;
  {
    MutexLock lock(&mutex_);
    ending = ending_;
    text = failing_text_;
  }
  if (ending == Ending::kNo) return false;
  const bool fails = ending == Ending::kFailing;
  if (hub_ != nullptr) {
    hub_->Send(EncodeFrame(Own(fails ? Heartbeat::kFailing : Heartbeat::kGoodbye, text)));
  }
  if (rank_ == 0 && !fails) {
    if (!goodbye_expires_) goodbye_expires_ = now + Chrono(config_.deadline);
    if (!EveryoneLeft() && now < *goodbye_expires_) return false;
  }
  Heartbeat last = Own(fails ? Heartbeat::kVerdict : Heartbeat::kGoodbye);
  if (fails) last.text = Verdict(0, absl::StrCat("failed: ", text));
  for (const auto& peer : peers_) {
    if (peer->rank >= 0) peer->link.Send(EncodeFrame(last));
  }
  if (fails || (hub_ != nullptr && hub_->has_output())) Linger();
  return true;
}

// Until the last words are out and, where somebody should end by them, has ended.
void Watchdog::Linger() {
  const SteadyTime expires = std::chrono::steady_clock::now() + kLinger;
  const auto open = [](const auto& peer) { return !peer->link.closed(); };
  while (std::chrono::steady_clock::now() < expires) {
    for (const auto& peer : peers_) peer->link.Receive();
    const bool pending =
        std::any_of(peers_.begin(), peers_.end(), open) || (hub_ != nullptr && hub_->has_output());
    if (!pending) return;
    Sleep(std::min(expires, std::chrono::steady_clock::now() + std::chrono::milliseconds(20)));
  }
}

}  // namespace ziprl::comm
