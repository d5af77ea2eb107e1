// bench_coordinator: groups per second through a coordinator over loopback gRPC, the load generator
// and the learner in the same process, and the process's memory at the start and at the end.
// 1,000 workers, groups of 8 samples of 64 tokens with log-probs, at most 64 groups a call. Exit
// code 1: a group out of order, or memory that grows with the groups that went through.
// ZIPRL_BENCH_SECONDS: how long (default 20).
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/bench/report.h"
#include "trainer/coordinator/coordinator_client.h"
#include "trainer/coordinator/coordinator_server.h"

namespace ziprl {
namespace {

constexpr int kWorkers = 1000, kThreads = 8, kPromptsPerStep = 512, kGroup = 8, kTokens = 64;
// The warm-up: every worker has had this many turns, and the coordinator holds what it keeps for
// each.
constexpr int kWarmUpTurns = 2;
constexpr double kTarget = 5000;  // groups/s
// What is no growth: malloc keeps some tens of MiB for a dozen threads; groups kept would be 4 KiB
// each.
constexpr double kFlat = 1.25, kSlackMiB = 32;

double ResidentMiB() {
  int64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return static_cast<double>(resident * sysconf(_SC_PAGESIZE)) / (1 << 20);
}

std::shared_ptr<LocalCoordinator> MakeRun() {
  SampleBuffer::Config buffer;
  buffer.prompts_per_step = kPromptsPerStep;
  buffer.max_staleness = 2;
  buffer.steps = int64_t{1} << 40;
  GroupPlan plan;
  plan.group_size = kGroup;
  return std::make_shared<LocalCoordinator>(
      buffer, plan, [next = uint64_t{0}]() mutable -> absl::StatusOr<Prompt> {
        Prompt prompt;
        prompt.id = next++;
        prompt.token_ids.assign(100, 7);
        prompt.problem = "What colour is the large circle?";
        prompt.answer = "red";
        return prompt;
      });
}

ScoredGroup Done(GroupLease lease) {
  ScoredGroup group;
  group.lease_id = lease.lease_id;
  group.group_seed = lease.group_seed;
  group.version = lease.version;
  for (const SampleRequest& sample : lease.samples) {
    Completion completion;
    completion.index = sample.index;
    completion.p = sample.p;
    completion.seed = sample.seed;
    completion.token_ids.assign(kTokens, 1234);
    completion.logprobs.assign(kTokens, -0.5f);
    completion.text = "The large circle is red.";
    completion.version = lease.version;
    group.completions.push_back(std::move(completion));
    Score score;
    score.status = ScoreStatus::kScored;
    score.components = {{"accuracy", 1.0}};
    group.scores.push_back(std::move(score));
  }
  group.prompt = std::move(lease.prompt);
  return group;
}

// Ends the process, its threads as they are.
void Require(const absl::Status& status) {
  if (status.ok()) return;
  absl::FPrintF(stderr, "bench_coordinator: %s\n", status.ToString());
  std::_Exit(1);
}

std::unique_ptr<CoordinatorClient> Connect(const CoordinatorServer& server,
                                           const std::string& worker) {
  CoordinatorClient::Config config;
  config.address = server.address();
  if (!worker.empty()) config.worker = {worker, 1};
  config.heartbeat = absl::ZeroDuration();
  auto client = CoordinatorClient::Connect(config);
  Require(client.status());
  return *std::move(client);
}

// The workers of one thread take turns until the run is over.
void Work(const CoordinatorServer& server, int thread, std::atomic<int64_t>* turns) {
  const auto client = Connect(server, absl::StrCat("w", thread));
  for (int turn = thread;; turn += kThreads) {
    const WorkerId worker{absl::StrCat("w", turn % kWorkers), 1};
    auto leases = client->Lease(worker, kMaxGroupsPerCall, absl::Milliseconds(20));
    if (!leases.ok()) return;
    std::vector<ScoredGroup> groups;
    for (GroupLease& lease : *leases) groups.push_back(Done(std::move(lease)));
    if (!groups.empty() && !client->Push(worker, std::move(groups)).ok()) return;
    ++*turns;
  }
}

int Run(absl::Duration duration) {
  const std::shared_ptr<LocalCoordinator> run = MakeRun();
  auto server = CoordinatorServer::Start(
      "127.0.0.1:0", RpcSecurity(),
      std::make_unique<CoordinatorHandler>(CoordinatorHandler::Config(), run));
  Require(server.status());
  std::vector<std::thread> threads;
  std::atomic<int64_t> turns{0};
  for (int t = 0; t < kThreads; ++t) threads.emplace_back([&, t] { Work(**server, t, &turns); });

  const auto learner = Connect(**server, "");
  absl::Time begin = absl::InfiniteFuture();
  int64_t groups = 0, wrong = 0;
  uint64_t expected = 0;
  double first_mib = 0;
  for (PolicyVersion version = 1; absl::Now() < begin + duration; ++version) {
    const auto step = learner->NextStep(absl::Minutes(5));
    Require(step.status());
    for (const ScoredGroup& group : *step) wrong += group.prompt.id != expected++;
    if (first_mib > 0) {
      groups += static_cast<int64_t>(step->size());
    } else if (turns >= kWarmUpTurns * kWorkers) {
      first_mib = ResidentMiB();
      begin = absl::Now();
    }
    Require(learner->PublishVersion(version));
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  const double last_mib = ResidentMiB();
  run->Close();
  for (std::thread& thread : threads) thread.join();
  const double rate = static_cast<double>(groups) / seconds;
  Report({"coordinator", rate, std::nullopt, rate, kTarget, std::nullopt, "groups/s"});
  Report(
      {"coordinator_memory", last_mib, first_mib, first_mib / last_mib, std::nullopt, 1.0, "MiB"});
  if (wrong > 0) absl::FPrintF(stderr, "bench_coordinator: %d groups out of order\n", wrong);
  const bool flat = last_mib <= first_mib * kFlat + kSlackMiB;
  return wrong == 0 && flat ? 0 : 1;
}

}  // namespace
}  // namespace ziprl

int main() {
  const char* seconds = std::getenv("ZIPRL_BENCH_SECONDS");
  return ziprl::Run(absl::Seconds(seconds == nullptr ? 20 : std::atof(seconds)));
}
