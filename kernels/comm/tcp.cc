#include "kernels/comm/tcp.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ziprl::comm {
namespace {

constexpr int kTrySeconds = 2;  // for one address
constexpr std::chrono::milliseconds kPause{20};

absl::Status Error(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

absl::StatusOr<sockaddr_in> Address(const std::string& text, int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) == 1) return address;
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no IPv4 address"));
}

FileDescriptor NewSocket() {
  return FileDescriptor(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

void SendAtOnce(const FileDescriptor& socket) {
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

absl::StatusOr<FileDescriptor> ConnectOnce(const std::string& text, int port) {
  const auto address = Address(text, port);
  if (!address.ok()) return address.status();
  FileDescriptor socket = NewSocket();
  if (socket.get() < 0) return Error("socket");
  const auto* generic = reinterpret_cast<const sockaddr*>(&*address);
  if (connect(socket.get(), generic, sizeof(*address)) != 0) {
    if (errno != EINPROGRESS) return Error(absl::StrCat("connect to ", text, ":", port));
    pollfd ready = {socket.get(), POLLOUT, 0};
    if (poll(&ready, 1, kTrySeconds * 1000) <= 0) {
      return absl::UnavailableError(absl::StrCat("connect to ", text, ":", port, ": no answer"));
    }
    socklen_t length = sizeof(errno);
    getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &errno, &length);
    if (errno != 0) return Error(absl::StrCat("connect to ", text, ":", port));
  }
  SendAtOnce(socket);
  return socket;
}

}  // namespace

void FileDescriptor::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

absl::StatusOr<FileDescriptor> Listen(const std::string& text) {
  const auto address = Address(text, 0);
  if (!address.ok()) return address.status();
  FileDescriptor socket = NewSocket();
  if (socket.get() < 0) return Error("socket");
  const auto* generic = reinterpret_cast<const sockaddr*>(&*address);
  if (bind(socket.get(), generic, sizeof(*address)) != 0) return Error("bind to " + text);
  if (listen(socket.get(), SOMAXCONN) != 0) return Error("listen on " + text);
  return socket;
}

int LocalPort(const FileDescriptor& socket) {
  sockaddr_in address = {};
  socklen_t length = sizeof(address);
  getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

FileDescriptor Accept(const FileDescriptor& listener) {
  FileDescriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.get() >= 0) SendAtOnce(socket);
  return socket;
}

absl::StatusOr<FileDescriptor> Connect(const std::vector<std::string>& addresses, int port,
                                       SteadyTime expires) {
  absl::Status last = absl::InvalidArgumentError("no address to connect to");
  do {
    for (const std::string& address : addresses) {
      absl::StatusOr<FileDescriptor> socket = ConnectOnce(address, port);
      if (socket.ok()) return socket;
      last = socket.status();
    }
    std::this_thread::sleep_for(kPause);
  } while (std::chrono::steady_clock::now() < expires);
  return absl::DeadlineExceededError(absl::StrCat("none of ", absl::StrJoin(addresses, ", "),
                                                  " port ", port, " answers: ", last.message()));
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

std::vector<std::string> HostAddresses() {
  std::vector<std::string> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_INET) continue;
    if ((i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP)) continue;
    char text[INET_ADDRSTRLEN] = {};
    const auto* address = reinterpret_cast<const sockaddr_in*>(i->ifa_addr);
    inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text));
    found.push_back(text);
  }
  freeifaddrs(list);
  return found;
}

}  // namespace ziprl::comm
