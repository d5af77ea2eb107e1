#include "reward/reward_service.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ziprl {
namespace {

constexpr absl::Duration kLongestNap = absl::Milliseconds(100);  // between looks at the clock

void Add(XXH3_state_t* state, const std::string& text) {
  const uint64_t size = text.size();
  XXH3_64bits_update(state, &size, sizeof(size));
  XXH3_64bits_update(state, text.data(), text.size());
}

// What makes two requests the same.
uint64_t ContentsOf(const Prompt& prompt, const std::vector<Completion>& completions) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, &prompt.id, sizeof(prompt.id));
  Add(&state, prompt.problem);
  Add(&state, prompt.answer);
  for (const Completion& completion : completions) {
    XXH3_64bits_update(&state, &completion.seed, sizeof(completion.seed));
    Add(&state, completion.text);
  }
  return XXH3_64bits_digest(&state);
}

size_t BytesOf(const std::vector<Score>& scores) {
  size_t bytes = 0;
  for (const Score& score : scores) {
    bytes += sizeof(score) + score.error.size();
    for (const auto& [component, value] : score.components) bytes += 64 + component.size();
  }
  return bytes;
}

std::vector<Score> AllFailed(size_t count, const std::string& error) {
  Score failed;
  failed.status = ScoreStatus::kFailed;
  failed.error = error;
  return std::vector<Score>(count, failed);
}

}  // namespace

RewardService::RewardService(GroupScorer scorer, const Config& config, const Clock* clock)
    : scorer_(std::move(scorer)), config_(config), clock_(clock) {
  for (int i = 0; i < std::max(config.threads, 1); ++i) {
    threads_.emplace_back([this] { ScoreBatches(); });
  }
}

RewardService::~RewardService() {
  {
    MutexLock lock(&mutex_);
    ending_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::StatusOr<std::shared_ptr<RewardService::Request>> RewardService::FindOrQueueLocked(
    const std::string& id, Prompt prompt, std::vector<Completion> completions,
    absl::Time deadline) {
  const uint64_t contents = ContentsOf(prompt, completions);
  const auto found = requests_.find(id);
  if (found != requests_.end()) {
    Request& known = *found->second;
    if (known.contents != contents || known.scores.size() != completions.size()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("request '%s' is known with other contents", id));
    }
    known.deadline = std::max(known.deadline, deadline);
    return found->second;
  }
  const size_t count = completions.size();
  if (queued_samples_ + count > static_cast<size_t>(config_.max_queued)) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("%d samples wait to be scored, %d more are beyond the limit of %d",
                        queued_samples_, count, config_.max_queued));
  }
  auto request = std::make_shared<Request>();
  request->contents = contents;
  request->deadline = deadline;
  request->prompt = std::move(prompt);
  request->completions = std::move(completions);
  request->scores.resize(count);
  request->left = count;
  if (count == 0) {
    request->state = State::kDone;
    return request;
  }
  requests_[id] = request;
  queued_samples_ += count;
  const size_t size = static_cast<size_t>(std::max(config_.batch, 1));
  for (size_t begin = 0; begin < count; begin += size) {
    queue_.push_back({id, request, begin, std::min(begin + size, count)});
  }
  changed_.NotifyAll();
  return request;
}

absl::StatusOr<std::vector<Score>> RewardService::ScoreAll(const std::string& request_id,
                                                           Prompt prompt,
                                                           std::vector<Completion> completions,
                                                           absl::Time deadline) {
  MutexLock lock(&mutex_);
  ZIPRL_ASSIGN_OR_RETURN(
      const std::shared_ptr<Request> request,
      FindOrQueueLocked(request_id, std::move(prompt), std::move(completions), deadline));
  while (request->state == State::kQueued || request->state == State::kBegun) {
    if (ending_) return absl::UnavailableError("the reward service is ending");
    if (clock_->Now() >= deadline) break;
    changed_.WaitWithTimeout(&mutex_, kLongestNap);
  }
  if (request->state == State::kDone) return request->scores;
  return absl::DeadlineExceededError(
      absl::StrFormat("request '%s': %d of %d samples are scored", request_id,
                      request->scores.size() - request->left, request->scores.size()));
}

// The next batch to score; false when there is none. Requests that are too late before they began
// are forgotten on the way: their repetition is scored afresh.
bool RewardService::TakeBatchLocked(Batch* batch) {
  while (!queue_.empty()) {
    *batch = std::move(queue_.front());
    queue_.pop_front();
    queued_samples_ -= batch->end - batch->begin;
    Request& request = *batch->request;
    if (request.state == State::kQueued && request.deadline <= clock_->Now()) {
      request.state = State::kDropped;
      requests_.erase(batch->id);
      changed_.NotifyAll();
    }
    if (request.state == State::kDropped) continue;
    request.state = State::kBegun;
    return true;
  }
  return false;
}

std::vector<Score> RewardService::Guarded(const Prompt& prompt,
                                          const std::vector<Completion>& samples) {
  try {
    std::vector<Score> scores = scorer_(prompt, samples);
    if (scores.size() == samples.size()) return scores;
    return AllFailed(samples.size(), absl::StrFormat("the scorer gave %d scores for %d samples",
                                                     scores.size(), samples.size()));
  } catch (const std::exception& error) {
    return AllFailed(samples.size(), absl::StrFormat("the scorer threw: %s", error.what()));
  }
}

void RewardService::FinishLocked(const Batch& batch, std::vector<Score> scores) {
  Request& request = *batch.request;
  std::move(scores.begin(), scores.end(),
            request.scores.begin() + static_cast<int64_t>(batch.begin));
  request.left -= batch.end - batch.begin;
  if (request.left > 0) return;
  request.state = State::kDone;
  request.prompt = Prompt();
  request.completions.clear();
  RememberLocked(batch.id, request);
  changed_.NotifyAll();
}

void RewardService::RememberLocked(const std::string& id, const Request& request) {
  const size_t bytes = BytesOf(request.scores) + 2 * id.size();
  done_.emplace_back(id, bytes);
  done_bytes_ += bytes;
  while (done_.size() > config_.remembered || done_bytes_ > config_.remembered_bytes) {
    requests_.erase(done_.front().first);
    done_bytes_ -= done_.front().second;
    done_.pop_front();
  }
}

void RewardService::ScoreBatches() {
  while (true) {
    Batch batch;
    std::vector<Completion> samples;
    {
      MutexLock lock(&mutex_);
      while (!ending_ && !TakeBatchLocked(&batch)) {
        changed_.WaitWithTimeout(&mutex_, kLongestNap);
      }
      if (ending_) return;
      const auto first = batch.request->completions.begin();
      samples.assign(std::make_move_iterator(first + static_cast<int64_t>(batch.begin)),
                     std::make_move_iterator(first + static_cast<int64_t>(batch.end)));
    }
    // The prompt stays as it is until the last batch is done.
    std::vector<Score> scores = Guarded(batch.request->prompt, samples);
    MutexLock lock(&mutex_);
    FinishLocked(batch, std::move(scores));
  }
}

}  // namespace ziprl
