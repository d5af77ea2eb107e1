// Scores requests of many workers with one scorer: a pool of threads takes batches of samples from
// a bounded queue; a repeated request joins the first or gets its answer, so that no request is
// scored twice. Knows no transport. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/base/clock.h"
#include "configs/base/mutex.h"
#include "reward/scorer.h"

namespace ziprl {

class RewardService {
 public:
  struct Config {
    int threads = 1;                     // batches scored at a time
    int batch = 8;                       // samples of one request in a batch
    int max_queued = 8192;               // samples that wait; requests beyond are refused
    size_t remembered = 8192;            // answered requests kept for their repetition
    size_t remembered_bytes = 64 << 20;  // of their scores
  };

  // The clock tells when requests are too late and must outlive the service.
  RewardService(GroupScorer scorer, const Config& config, const Clock* clock = Clock::Real());
  // Waits for the batches being scored; drops the others.
  ~RewardService();

  // Scores the completions, or waits for who does so already. Result [i] belongs to completions[i].
  //   DeadlineExceeded   not done at `deadline`; a request that was begun is finished for its
  //                      repetition, one that still waited is forgotten
  //   ResourceExhausted  too much waits already
  //   InvalidArgument    the id is known with other contents
  //   Unavailable        the service is ending
  absl::StatusOr<std::vector<Score>> ScoreAll(const std::string& request_id, Prompt prompt,
                                              std::vector<Completion> completions,
                                              absl::Time deadline);

 private:
  enum class State { kQueued, kBegun, kDone, kDropped };
  struct Request {
    State state = State::kQueued;
    uint64_t contents = 0;  // hash, to tell a repetition from a mistake
    absl::Time deadline;    // of the caller that waits longest
    Prompt prompt;
    std::vector<Completion> completions;  // given to the scorer batch by batch
    std::vector<Score> scores;
    size_t left = 0;  // samples without a score
  };
  struct Batch {
    std::string id;
    std::shared_ptr<Request> request;
    size_t begin = 0, end = 0;
  };

  absl::StatusOr<std::shared_ptr<Request>> FindOrQueueLocked(const std::string& id, Prompt prompt,
                                                             std::vector<Completion> completions,
                                                             absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ScoreBatches();
  bool TakeBatchLocked(Batch* batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Score> Guarded(const Prompt& prompt, const std::vector<Completion>& samples);
  void FinishLocked(const Batch& batch, std::vector<Score> scores)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RememberLocked(const std::string& id, const Request& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const GroupScorer scorer_;
  const Config config_;
  const Clock* const clock_;

  Mutex mutex_;
  CondVar changed_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::shared_ptr<Request>> requests_ ABSL_GUARDED_BY(mutex_);
  std::deque<Batch> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_samples_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::pair<std::string, size_t>> done_
      ABSL_GUARDED_BY(mutex_);  // id, bytes; oldest first
  size_t done_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> threads_;
};

}  // namespace ziprl
