// Scores through reward services elsewhere: several endpoints, retries under one request id, a
// breaker for each endpoint. What cannot be had becomes FAILED or TIMEOUT, never a zero.
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/rpc.h"
#include "reward/circuit_breaker.h"
#include "reward/scorer.h"

namespace ziprl {

class RewardClient {
 public:
  struct Config {
    std::vector<std::string> endpoints;  // host:port
    RpcSecurity security;
    absl::Duration timeout = absl::Seconds(30);  // of one attempt
    absl::Duration give_up = absl::Seconds(60);  // of a request with its retries
    int max_service_errors = 3;  // attempts that reached a service and broke it (UNKNOWN, INTERNAL)
    absl::Duration first_backoff = absl::Milliseconds(100), longest_backoff = absl::Seconds(2);
    CircuitBreaker::Config breaker;
    std::vector<std::string> components;  // that a SCORED sample must have
    uint64_t jitter_seed = 0;
  };

  // InvalidArgument for a bad address or none; OpenChannel's errors. Connects when first used.
  static absl::StatusOr<std::unique_ptr<RewardClient>> Create(const Config& config);
  ~RewardClient();

  // Result [i] belongs to completions[i]. Returns within give_up, one attempt's timeout at most
  // besides.
  std::vector<Score> ScoreAll(const Prompt& prompt, const std::vector<Completion>& completions);

 private:
  class Impl;
  explicit RewardClient(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

// The scorer of reward.endpoints, in place of MakeScorer's. reward.timeout_s is an attempt's; every
// component of reward.functions must come back, one of them judging the answer (InvalidArgument
// otherwise).
absl::StatusOr<GroupScorer> MakeRemoteScorer(const RewardConfig& config,
                                             const RpcSecurity& security);

}  // namespace ziprl
