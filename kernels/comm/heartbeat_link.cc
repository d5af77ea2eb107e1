#include "kernels/comm/heartbeat_link.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace ziprl::comm {
namespace {

// A peer that takes nothing (it is stopped) is owed no more than this.
constexpr size_t kMaxOutput = 4 << 20;

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

void HeartbeatLink::Send(std::string_view frames) {
  if (closed_ || out_.size() > kMaxOutput) return;
  out_ += frames;
  Flush();
}

void HeartbeatLink::Flush() {
  while (has_output()) {
    const ssize_t sent = send(fd(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && WouldBlock()) return;
    if (sent < 0) {
      out_.clear();  // closed_ is for Receive to say: it may hold last words
      return;
    }
    out_.erase(0, sent);
  }
}

std::vector<Heartbeat> HeartbeatLink::Receive() {
  char chunk[16 << 10];
  while (!closed_) {
    const ssize_t got = recv(fd(), chunk, sizeof(chunk), MSG_DONTWAIT);
    if (got < 0 && WouldBlock()) break;
    if (got <= 0) closed_ = true;
    if (got > 0) in_.append(chunk, got);
    if (in_.size() > kMaxOutput) break;
  }
  std::vector<Heartbeat> heartbeats;
  size_t begin = 0;
  uint32_t length = 0;
  while (in_.size() - begin >= sizeof(length)) {
    std::memcpy(&length, in_.data() + begin, sizeof(length));
    const bool too_long = length > kMaxFrameBytes;
    if (!too_long && in_.size() - begin < sizeof(length) + length) break;
    absl::StatusOr<Heartbeat> heartbeat = absl::InvalidArgumentError("too long");
    if (!too_long) {
      heartbeat = DecodeFrame(std::string_view(in_).substr(begin + sizeof(length), length));
    }
    if (!heartbeat.ok()) {
      closed_ = true;
      break;
    }
    heartbeats.push_back(*std::move(heartbeat));
    begin += sizeof(length) + length;
  }
  in_.erase(0, begin);
  return heartbeats;
}

}  // namespace ziprl::comm
