#include "reward/reward_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "configs/base/backoff.h"
#include "configs/base/log.h"
#include "configs/base/mutex.h"
#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/reward.grpc.pb.h"
#include "proto/reward_component.h"
#include "proto/rpc_status.h"

namespace ziprl {
namespace {

// Worth another attempt, here or elsewhere.
bool MayPass(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

bool IsServiceError(const absl::Status& status) {
  return absl::IsUnknown(status) || absl::IsInternal(status);
}

std::vector<Score> NotScored(const absl::Status& why, size_t count) {
  Score score;
  score.status = absl::IsDeadlineExceeded(why) ? ScoreStatus::kTimeout : ScoreStatus::kFailed;
  score.error = absl::StrCat("reward service ", why.message());
  return std::vector<Score>(count, score);
}

uint64_t RandomNonce() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

}  // namespace

class RewardClient::Impl {
 public:
  Impl(const Config& config, std::vector<std::shared_ptr<grpc::Channel>> channels)
      : config_(config), nonce_(RandomNonce()) {
    for (const auto& channel : channels) {
      stubs_.push_back(v1::Reward::NewStub(channel));
      breakers_.emplace_back(config.breaker);
    }
  }

  std::vector<Score> ScoreAll(const Prompt& prompt, const std::vector<Completion>& completions);

 private:
  // An endpoint to try now, from `first` on round; nullopt when every breaker is open.
  std::optional<size_t> Choose(size_t first);
  void Note(size_t endpoint, const absl::Status& status);
  absl::Status Ask(size_t endpoint, const v1::ScoreRequest& request, absl::Time deadline,
                   v1::ScoreReply* reply);
  absl::Status AskUntilDone(const v1::ScoreRequest& request, uint64_t number,
                            v1::ScoreReply* reply);
  Score Checked(const v1::Score& score, const std::string& field) const;

  const Config config_;
  const uint64_t nonce_;
  std::vector<std::unique_ptr<v1::Reward::Stub>> stubs_;
  Mutex mutex_;
  std::vector<CircuitBreaker> breakers_ ABSL_GUARDED_BY(mutex_);
  uint64_t requests_ ABSL_GUARDED_BY(mutex_) = 0;
};

std::optional<size_t> RewardClient::Impl::Choose(size_t first) {
  MutexLock lock(&mutex_);
  for (size_t i = 0; i < breakers_.size(); ++i) {
    const size_t endpoint = (first + i) % breakers_.size();
    if (breakers_[endpoint].Allows(absl::Now())) return endpoint;
  }
  return std::nullopt;
}

void RewardClient::Impl::Note(size_t endpoint, const absl::Status& status) {
  MutexLock lock(&mutex_);
  if (status.ok() || !MayPass(status)) {
    breakers_[endpoint].Succeeded();  // it answered
  } else {
    breakers_[endpoint].Failed(absl::Now());
  }
}

absl::Status RewardClient::Impl::Ask(size_t endpoint, const v1::ScoreRequest& request,
                                     absl::Time deadline, v1::ScoreReply* reply) {
  grpc::ClientContext context;
  PrepareCall(config_.security, std::min(deadline, absl::Now() + config_.timeout), &context);
  const absl::Status status = FromGrpcStatus(stubs_[endpoint]->Score(&context, request, reply));
  Note(endpoint, status);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(config_.endpoints[endpoint], ": ", status.message()));
}

absl::Status RewardClient::Impl::AskUntilDone(const v1::ScoreRequest& request, uint64_t number,
                                              v1::ScoreReply* reply) {
  const absl::Time deadline = absl::Now() + config_.give_up;
  Backoff backoff(config_.first_backoff, config_.longest_backoff, config_.jitter_seed + number);
  absl::Status last = absl::UnavailableError("was not asked");
  int service_errors = 0;
  for (size_t attempt = 0;; ++attempt) {
    if (const std::optional<size_t> endpoint = Choose(number + attempt)) {
      last = Ask(*endpoint, request, deadline, reply);
      if (last.ok() || !MayPass(last)) return last;
      service_errors += IsServiceError(last);
      if (service_errors >= config_.max_service_errors) return last;
      LogDebug(absl::StrCat("reward: ", last.ToString()));
    }
    const absl::Duration wait = backoff.Next();
    if (absl::Now() + wait >= deadline) return last;
    absl::SleepFor(wait);
  }
}

Score RewardClient::Impl::Checked(const v1::Score& in, const std::string& field) const {
  absl::StatusOr<Score> score = FromPb(in, field);
  if (!score.ok()) return NotScored(score.status(), 1)[0];
  if (score->status != ScoreStatus::kScored) return *std::move(score);
  for (const std::string& component : config_.components) {
    if (score->components.count(component) > 0) continue;
    return NotScored(absl::InternalError(absl::StrCat("gave no component '", component, "'")),
                     1)[0];
  }
  return *std::move(score);
}

std::vector<Score> RewardClient::Impl::ScoreAll(const Prompt& prompt,
                                                const std::vector<Completion>& completions) {
  uint64_t number = 0;
  {
    MutexLock lock(&mutex_);
    number = requests_++;
  }
  v1::ScoreRequest request;
  v1::ScoreReply reply;
  request.set_request_id(absl::StrFormat("%016x-%d", nonce_, number));
  ToPb(prompt, request.mutable_prompt());
  for (const Completion& completion : completions) {
    ToPb(completion, Kept::kWithout, request.add_completions());
  }
  const absl::Status status = AskUntilDone(request, number, &reply);
  if (!status.ok()) return NotScored(status, completions.size());
  if (reply.scores_size() != static_cast<int>(completions.size())) {
    return NotScored(absl::InternalError(absl::StrFormat("gave %d scores for %d completions",
                                                         reply.scores_size(), completions.size())),
                     completions.size());
  }
  std::vector<Score> scores;
  for (int i = 0; i < reply.scores_size(); ++i) {
    scores.push_back(Checked(reply.scores(i), absl::StrFormat("gave scores[%d]", i)));
  }
  return scores;
}

RewardClient::RewardClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RewardClient::~RewardClient() = default;

absl::StatusOr<std::unique_ptr<RewardClient>> RewardClient::Create(const Config& config) {
  if (config.endpoints.empty()) return absl::InvalidArgumentError("reward.endpoints: empty");
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (const std::string& endpoint : config.endpoints) {
    ZIPRL_ASSIGN_OR_RETURN(auto channel, OpenChannel(endpoint, config.security));
    channels.push_back(std::move(channel));
  }
  return std::unique_ptr<RewardClient>(
      new RewardClient(std::make_unique<Impl>(config, std::move(channels))));
}

std::vector<Score> RewardClient::ScoreAll(const Prompt& prompt,
                                          const std::vector<Completion>& completions) {
  return impl_->ScoreAll(prompt, completions);
}

absl::StatusOr<GroupScorer> MakeRemoteScorer(const RewardConfig& config,
                                             const RpcSecurity& security) {
  RewardClient::Config client;
  client.endpoints = config.endpoints;
  client.security = security;
  client.timeout = absl::Seconds(config.timeout_s);
  client.give_up = 2 * client.timeout;
  for (const std::string& spec : config.functions) {
    client.components.push_back(RewardComponent(spec));
  }
  if (std::find(client.components.begin(), client.components.end(), kAccuracyComponent) ==
      client.components.end()) {
    return absl::InvalidArgumentError(
        "reward.functions: none judges the answer, one of exact_match, contains, numeric, choice, "
        "boxed is needed, also with reward.endpoints");
  }
  ZIPRL_ASSIGN_OR_RETURN(std::shared_ptr<RewardClient> remote, RewardClient::Create(client));
  return GroupScorer([remote](const Prompt& prompt, const std::vector<Completion>& completions) {
    return remote->ScoreAll(prompt, completions);
  });
}

}  // namespace ziprl
