#include "tests/proto/weights/flaky_proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace ziprl {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int ConnectTo(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(port);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

bool SendAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace

struct FlakyProxy::Link {
  int client, server;
  Fault fault;
  uint64_t sent = 0;  // to the client
  bool stalled = false;
};

FlakyProxy::FlakyProxy(int target_port, std::vector<Fault> faults)
    : faults_(std::move(faults)), target_port_(target_port) {
  listener_ = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(listener_, 16), 0);
  EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  port_ = ntohs(address.sin_port);
  EXPECT_EQ(pipe(stop_), 0);
  acceptor_ = std::thread([this] { Accept(); });
}

FlakyProxy::~FlakyProxy() {
  close(stop_[1]);  // every poll sees it
  acceptor_.join();
  for (std::thread& relay : relays_) relay.join();
  close(stop_[0]);
  close(listener_);
}

std::string FlakyProxy::address() const { return absl::StrCat("127.0.0.1:", port_); }

bool FlakyProxy::WaitForBytes(uint64_t bytes) {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  MutexLock lock(&mutex_);
  while (bytes_ < bytes && absl::Now() < deadline) {
    moved_.WaitWithTimeout(&mutex_, deadline - absl::Now());
  }
  return bytes_ >= bytes;
}

void FlakyProxy::Accept() {
  while (true) {
    pollfd waits[] = {{stop_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    poll(waits, 2, -1);
    if (waits[0].revents != 0) return;
    const int client = accept(listener_, nullptr, nullptr);
    const size_t i = static_cast<size_t>(connections_++);
    relays_.emplace_back([this, client, fault = i < faults_.size() ? faults_[i] : Fault{}] {
      Relay(client, fault);
    });
  }
}

void FlakyProxy::Relay(int client, Fault fault) {
  Link link = {client, ConnectTo(target_port_), fault};
  bool open = link.server >= 0;
  while (open) {
    const short from_server = link.stalled ? 0 : POLLIN;
    pollfd waits[] = {
        {stop_[0], POLLIN, 0}, {link.client, POLLIN, 0}, {link.server, from_server, 0}};
    poll(waits, 3, -1);
    if (waits[0].revents != 0) break;
    if (waits[1].revents != 0) open = Pump(link, false);
    if (open && waits[2].revents != 0) open = Pump(link, true);
  }
  close(link.client);
  if (link.server >= 0) close(link.server);
}

// Moves what is there. False when the connection is over.
bool FlakyProxy::Pump(Link& link, bool to_client) {
  char bytes[16384];
  const ssize_t got = recv(to_client ? link.server : link.client, bytes, sizeof(bytes), 0);
  if (got <= 0) return false;
  if (!to_client) return SendAll(link.server, bytes, static_cast<size_t>(got));
  const uint64_t before = link.sent;
  link.sent += static_cast<uint64_t>(got);
  const bool now = before <= link.fault.after_bytes && link.fault.after_bytes < link.sent;
  if (now && link.fault.kind == Fault::kCut) return false;
  if (now && link.fault.kind == Fault::kFlip) bytes[link.fault.after_bytes - before] ^= 0x10;
  link.stalled = now && link.fault.kind == Fault::kStall;
  if (!SendAll(link.client, bytes, static_cast<size_t>(got))) return false;
  MutexLock lock(&mutex_);
  bytes_ += static_cast<uint64_t>(got);
  moved_.NotifyAll();
  return true;
}

}  // namespace ziprl
