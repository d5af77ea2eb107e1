#include "kernels/comm/local_hub.h"

#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ziprl::comm {

// Every copy is made by its receiver, outside of the lock; a post that is being copied stays until
// the copy is done.
class LocalHub::Batch : public MessageBatch {
 public:
  Batch(LocalHub* hub, int rank, Operation operation, const std::vector<Message>& messages)
      : hub_(hub), rank_(rank), operation_(std::move(operation)) {
    MutexLock lock(&hub_->mutex_);
    for (const Message& message : messages) {
      if (message.outgoing) {
        sends_.push_back(
            {message.peer, {message.data, message.bytes, &operation_, State::kPosted}});
        hub_->posts_[RouteTo(message.peer)].push_back(&sends_.back().post);
      } else {
        receives_.push_back(message);
      }
    }
    hub_->changed_.NotifyAll();
  }

  ~Batch() override {
    MutexLock lock(&hub_->mutex_);
    for (Outgoing& send : sends_) {
      // A copy ends by itself: its thread waits for nothing.
      while (send.post.state == State::kCopying) {
        hub_->changed_.WaitWithTimeout(&hub_->mutex_, absl::Seconds(1));
      }
      if (send.post.state == State::kPosted) Withdraw(send);
    }
  }

  absl::Status Wait(SteadyTime expires) override {
    MutexLock lock(&hub_->mutex_);
    while (true) {
      bool copied = false;
      absl::Status status = ReceiveWhatIsThere(&copied);
      if (!status.ok()) return status;
      if (copied) continue;  // what was posted during the copies has called nobody
      bool done = receives_.empty();
      for (const Outgoing& send : sends_) {
        if (!send.post.status.ok()) return send.post.status;
        done &= send.post.state == State::kDone;
      }
      if (done) return absl::OkStatus();
      const auto now = std::chrono::steady_clock::now();
      if (now >= expires) return absl::DeadlineExceededError("messages are missing");
      hub_->changed_.WaitWithTimeout(&hub_->mutex_, absl::FromChrono(expires - now));
    }
  }

  std::vector<int> Missing() const override {
    MutexLock lock(&hub_->mutex_);
    std::set<int> peers;
    for (const Message& receive : receives_) peers.insert(receive.peer);
    for (const Outgoing& send : sends_) {
      if (send.post.state != State::kDone) peers.insert(send.peer);
    }
    return {peers.begin(), peers.end()};
  }

 private:
  struct Outgoing {
    int peer;
    Post post;
  };

  Route RouteTo(int peer) const { return {rank_, peer, operation_.sequence}; }
  Route RouteFrom(int peer) const { return {peer, rank_, operation_.sequence}; }

  // The first post on a route, taken off it; nullptr when there is none.
  Post* Take(const Route& route) ABSL_EXCLUSIVE_LOCKS_REQUIRED(hub_->mutex_) {
    const auto found = hub_->posts_.find(route);
    if (found == hub_->posts_.end()) return nullptr;
    Post* const post = found->second.front();
    found->second.pop_front();
    if (found->second.empty()) hub_->posts_.erase(found);
    return post;
  }

  void Withdraw(const Outgoing& send) ABSL_EXCLUSIVE_LOCKS_REQUIRED(hub_->mutex_) {
    const auto found = hub_->posts_.find(RouteTo(send.peer));
    std::erase(found->second, &send.post);
    if (found->second.empty()) hub_->posts_.erase(found);
  }

  // Lets go of the lock while it copies.
  absl::Status ReceiveWhatIsThere(bool* copied) ABSL_EXCLUSIVE_LOCKS_REQUIRED(hub_->mutex_) {
    for (auto receive = receives_.begin(); receive != receives_.end();) {
      Post* const post = Take(RouteFrom(receive->peer));
      if (post == nullptr) {
        ++receive;
        continue;
      }
      post->status = Match(*receive, *post);
      if (post->status.ok()) {
        post->state = State::kCopying;
        *copied = true;
        hub_->mutex_.Unlock();
        std::memcpy(receive->data, post->data, post->bytes);
        hub_->mutex_.Lock();
      }
      const absl::Status status = post->status;
      post->state = State::kDone;  // from here on the sender may let go of it
      hub_->changed_.NotifyAll();
      if (!status.ok()) return status;
      receive = receives_.erase(receive);
    }
    return absl::OkStatus();
  }

  absl::Status Match(const Message& receive, const Post& post) const {
    const std::string theirs = post.operation->kind, ours = operation_.kind;
    if (theirs == ours && receive.bytes == post.bytes) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("the ranks of the group disagree: rank ", rank_, " receives ", receive.bytes,
                     " bytes in ", operation_.ToString(), "; rank ", receive.peer, " sends ",
                     post.bytes, " bytes in ", post.operation->ToString()));
  }

  LocalHub* const hub_;
  const int rank_;
  const Operation operation_;
  std::list<Outgoing> sends_;    // the posts of it are guarded by hub_->mutex_
  std::list<Message> receives_;  // those not done; of the own thread
};

class LocalHub::RankTransport : public Transport {
 public:
  RankTransport(LocalHub* hub, int rank) : hub_(hub), rank_(rank) {}

  absl::StatusOr<std::unique_ptr<MessageBatch>> Start(
      const Operation& op, const std::vector<Message>& messages) override {
    return std::make_unique<Batch>(hub_, rank_, op, messages);
  }

 private:
  LocalHub* const hub_;
  const int rank_;
};

std::unique_ptr<Transport> LocalHub::MakeTransport(int rank) {
  return std::make_unique<RankTransport>(this, rank);
}

std::shared_ptr<LocalHub> LocalHub::Child(int64_t sequence, int color, int ranks) {
  MutexLock lock(&mutex_);
  Split& split = children_[{sequence, color}];
  if (split.hub == nullptr) split.hub = std::make_shared<LocalHub>();
  std::shared_ptr<LocalHub> hub = split.hub;
  if (++split.asked == ranks) children_.erase({sequence, color});
  return hub;
}

}  // namespace ziprl::comm
