#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "proto/rpc.h"
#include "trainer/coordinator/coordinator_client.h"

namespace ziprl {
namespace {

std::string StatusJson(const CoordinatorSnapshot& snapshot) {
  nlohmann::ordered_json json = {{"run_begun", snapshot.run_begun},
                                 {"version", snapshot.version},
                                 {"steps_taken", snapshot.steps_taken},
                                 {"steps", snapshot.steps},
                                 {"groups",
                                  {{"pending", snapshot.pending_groups},
                                   {"leased", snapshot.leased_groups},
                                   {"complete", snapshot.complete_groups},
                                   {"pushed", snapshot.groups_pushed},
                                   {"refused_stale", snapshot.groups_refused_stale},
                                   {"per_second", snapshot.groups_per_second}}},
                                 {"last_error", snapshot.last_error},
                                 {"uptime_s", absl::ToDoubleSeconds(snapshot.uptime)},
                                 {"workers", nlohmann::ordered_json::array()}};
  for (const CoordinatorSnapshot::Worker& worker : snapshot.workers) {
    json["workers"].push_back({{"name", worker.name},
                               {"incarnation", worker.incarnation},
                               {"seen_s_ago", absl::ToDoubleSeconds(worker.since_seen)},
                               {"alive", worker.alive},
                               {"leases", worker.leases_held},
                               {"pushed", worker.groups_pushed}});
  }
  return json.dump(2) + "\n";
}

std::string StatusText(const CoordinatorSnapshot& snapshot) {
  std::string out = absl::StrFormat("up %s", absl::FormatDuration(snapshot.uptime));
  if (!snapshot.run_begun) return out + ", no run has begun: the learner has not come yet\n";
  absl::StrAppendFormat(&out, ", version %d, step %d of %d\n", snapshot.version,
                        snapshot.steps_taken, snapshot.steps);
  absl::StrAppendFormat(
      &out,
      "groups: %d pending, %d leased, %d complete; %d pushed (%.2f/s), %d refused "
      "as stale\n",
      snapshot.pending_groups, snapshot.leased_groups, snapshot.complete_groups,
      snapshot.groups_pushed, snapshot.groups_per_second, snapshot.groups_refused_stale);
  absl::StrAppendFormat(&out, "last error: %s\n",
                        snapshot.last_error.empty() ? "none" : snapshot.last_error);
  absl::StrAppendFormat(&out, "%-24s %12s %9s %7s %8s  %s\n", "worker", "incarnation", "seen ago",
                        "leases", "pushed", "state");
  for (const CoordinatorSnapshot::Worker& worker : snapshot.workers) {
    absl::StrAppendFormat(&out, "%-24s %12d %8.1fs %7d %8d  %s\n", worker.name, worker.incarnation,
                          absl::ToDoubleSeconds(worker.since_seen), worker.leases_held,
                          worker.groups_pushed, worker.alive ? "alive" : "silent");
  }
  return out;
}

}  // namespace

int RunStatus(const Args& args) {
  CLI::App app(
      "A running coordinator: workers, version, queue, rates, last error.\n"
      "Example: ziprl status --coordinator 127.0.0.1:7070 --token-file run/token",
      "ziprl status");
  std::string coordinator, token_file, tls_dir;
  bool json = false, insecure = false;
  app.add_option("--coordinator", coordinator, "host:port")->required();
  app.add_option("--token-file", token_file, "the job's token");
  app.add_option("--tls-dir", tls_dir, "the job's ca.pem, cert.pem and key.pem");
  app.add_flag("--insecure", insecure, "plain text beyond this machine");
  app.add_flag("--json", json, "one JSON object");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(RpcSecurity security, ReadRpcSecurity(tls_dir, token_file));
    security.insecure = insecure;
    ZIPRL_ASSIGN_OR_RETURN(const CoordinatorSnapshot snapshot,
                           FetchSnapshot(coordinator, security, absl::Seconds(10)));
    std::cout << (json ? StatusJson(snapshot) : StatusText(snapshot));
    return absl::OkStatus();
  });
}

}  // namespace ziprl
