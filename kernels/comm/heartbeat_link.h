// One connection between two watchdogs: frames in, frames out, never blocking.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernels/comm/heartbeat.h"
#include "kernels/comm/tcp.h"

namespace ziprl::comm {

// Thread-compatible.
class HeartbeatLink {
 public:
  explicit HeartbeatLink(FileDescriptor socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  // The other end is gone, or sent what is no heartbeat.
  bool closed() const { return closed_; }
  bool has_output() const { return !out_.empty() && !closed_; }

  // One or more frames of EncodeFrame.
  void Send(std::string_view frames);
  void Close() { closed_ = true; }
  // Writes what the socket takes now.
  void Flush();
  // All whole frames that have arrived.
  std::vector<Heartbeat> Receive();

 private:
  FileDescriptor socket_;
  std::string in_, out_;
  bool closed_ = false;
};

}  // namespace ziprl::comm
