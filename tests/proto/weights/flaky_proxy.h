// A TCP relay on the loopback that breaks connections on purpose: each connection has its fault,
// counted in bytes from the server to the client.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "configs/base/mutex.h"

namespace ziprl {

struct Fault {
  enum Kind {
    kNone,
    kCut,    // both sides are closed
    kFlip,   // one bit is wrong, everything else passes
    kStall,  // nothing more passes, the connection stays open
  };
  Kind kind = kNone;
  uint64_t after_bytes = 0;
};

class FlakyProxy {
 public:
  // Connection i suffers faults[i]; later ones none.
  FlakyProxy(int target_port, std::vector<Fault> faults);
  ~FlakyProxy();

  std::string address() const;
  void SetTarget(int port) { target_port_ = port; }  // of later connections
  int connections() const { return connections_; }

  // Waits until so many bytes went to the client, over all connections; false after a minute.
  bool WaitForBytes(uint64_t bytes);

 private:
  struct Link;
  void Accept();
  void Relay(int client, Fault fault);
  bool Pump(Link& link, bool to_client);

  const std::vector<Fault> faults_;
  std::atomic<int> target_port_;
  std::atomic<int> connections_{0};
  int listener_ = -1, port_ = 0;
  int stop_[2];  // a pipe: readable when it is time to stop
  Mutex mutex_;
  CondVar moved_;
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> relays_;  // the accepting thread's
  std::thread acceptor_;
};

}  // namespace ziprl
