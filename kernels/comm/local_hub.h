// Where the ranks of a local group meet: receivers copy straight from the senders' memory.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "configs/base/mutex.h"
#include "kernels/comm/transport.h"

namespace ziprl::comm {

// Thread-safe.
class LocalHub {
 public:
  // The transport of one rank. The hub must outlive it.
  std::unique_ptr<Transport> MakeTransport(int rank);

  // The hub of a group split off by operation `sequence` under `color`; the same object for each
  // of its ranks. Forgotten here when `ranks` ranks have asked.
  std::shared_ptr<LocalHub> Child(int64_t sequence, int color, int ranks);

 private:
  class Batch;
  class RankTransport;

  enum class State { kPosted, kCopying, kDone };
  struct Post {  // an outgoing message
    const void* data;
    int64_t bytes;
    const Operation* operation;  // for an error text; lives as long as the batch
    State state;
    absl::Status status;
  };
  using Route = std::tuple<int, int, int64_t>;  // from, to, sequence

  Mutex mutex_;
  CondVar changed_;
  std::map<Route, std::deque<Post*>> posts_ ABSL_GUARDED_BY(mutex_);
  struct Split {
    std::shared_ptr<LocalHub> hub;
    int asked = 0;
  };
  std::map<std::pair<int64_t, int>, Split> children_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ziprl::comm
