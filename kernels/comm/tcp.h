// The few calls on TCP sockets that the watchdog needs. IPv4.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/comm/operation.h"

namespace ziprl::comm {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(FileDescriptor&& other) : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  void Close();

 private:
  int fd_;
};

// address: "127.0.0.1", "0.0.0.0", ...; the port is chosen by the system. Not blocking.
absl::StatusOr<FileDescriptor> Listen(const std::string& address);
int LocalPort(const FileDescriptor& socket);
// The next connection, without one a descriptor of -1. Not blocking.
FileDescriptor Accept(const FileDescriptor& listener);
// Tries each address until one answers or the time is over. The result is not blocking.
absl::StatusOr<FileDescriptor> Connect(const std::vector<std::string>& addresses, int port,
                                       SteadyTime expires);

std::string HostName();
// Of this host's interfaces that are up, without loopback.
std::vector<std::string> HostAddresses();

}  // namespace ziprl::comm
