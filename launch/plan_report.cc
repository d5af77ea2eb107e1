#include "launch/plan_report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ziprl {
namespace {

using nlohmann::ordered_json;

std::string Amount(int64_t bytes) {
  const double b = static_cast<double>(bytes);
  if (b >= 1e12) return absl::StrFormat("%.2f TB", b / 1e12);
  if (b >= 1e9) return absl::StrFormat("%.2f GB", b / 1e9);
  if (b >= 1e6) return absl::StrFormat("%.1f MB", b / 1e6);
  if (b >= 1e3) return absl::StrFormat("%.1f kB", b / 1e3);
  return absl::StrFormat("%d B", bytes);
}

std::string Seconds(double s) {
  return s >= 1 ? absl::StrFormat("%.2f s", s) : absl::StrFormat("%.3g ms", s * 1e3);
}

void AppendRole(const PlanInput& in, const RoleMemory& role, std::string* out) {
  const MemoryPhase& peak = role.peak();
  absl::StrAppendFormat(out, "\nmemory of %s (%d rank%s), each of %s\n", role.role, role.ranks,
                        role.ranks == 1 ? "" : "s",
                        Amount(static_cast<int64_t>(in.machine.memory)));
  for (const MemoryPhase& phase : role.phases) {
    const bool largest = &phase == &peak;
    absl::StrAppendFormat(out, "  %-22s %12s%s\n", phase.name, Amount(phase.bytes()),
                          largest ? "  <- peak" : "");
    if (!largest) continue;
    for (const MemoryPart& part : phase.parts) {
      absl::StrAppendFormat(out, "    %-20s %12s\n", part.name, Amount(part.bytes));
    }
  }
  for (const MemoryPart& part : role.host) {
    absl::StrAppendFormat(out, "  host: %-16s %12s\n", part.name, Amount(part.bytes));
  }
}

void AppendTraffic(const PlanInput& in, const Plan& plan, std::string* out) {
  if (plan.traffic.empty() && plan.weight_bytes == 0) return;
  absl::StrAppend(out, "\nbytes of a step\n");
  for (const TrafficPart& part : plan.traffic) {
    absl::StrAppendFormat(out, "  %-30s %12s in %d calls\n", part.name, Amount(part.bytes),
                          part.calls);
  }
  if (plan.gather_bytes > 0) {
    absl::StrAppendFormat(out, "  %-30s %12s\n", "gathered to publish", Amount(plan.gather_bytes));
  }
  if (plan.weight_bytes == 0) return;
  absl::StrAppendFormat(out, "  %-30s %12s\n", "weights to each rollout",
                        Amount(plan.weight_bytes));
  absl::StrAppendFormat(out, "  %-30s %12s where %g %% of them changed\n", "or as a delta",
                        Amount(plan.delta_bytes), 100 * in.changed);
}

void AppendTime(const PlanInput& in, const Plan& plan, std::string* out) {
  absl::StrAppendFormat(out, "\nleast time of a step (%s)\n", in.machine.name);
  for (const TimePart& part : plan.time.parts) {
    absl::StrAppendFormat(out, "  %-30s %12s  %s\n", part.name, Seconds(part.seconds), part.bound);
  }
  absl::StrAppendFormat(out, "  %-30s %12s\n", "step", Seconds(plan.time.seconds));
}

ordered_json PartsJson(const std::vector<MemoryPart>& parts) {
  ordered_json out = ordered_json::object();
  for (const MemoryPart& part : parts) out[part.name] = part.bytes;
  return out;
}

ordered_json MemoryJson(const Plan& plan) {
  ordered_json out = ordered_json::array();
  for (const RoleMemory& role : plan.memory) {
    ordered_json phases = ordered_json::object();
    for (const MemoryPhase& phase : role.phases) phases[phase.name] = PartsJson(phase.parts);
    out.push_back({{"role", role.role},
                   {"ranks", role.ranks},
                   {"peak_bytes", role.peak().bytes()},
                   {"peak_phase", role.peak().name},
                   {"phases", phases},
                   {"host", PartsJson(role.host)}});
  }
  return out;
}

ordered_json TrafficJson(const Plan& plan) {
  ordered_json out = ordered_json::array();
  for (const TrafficPart& part : plan.traffic) {
    out.push_back({{"name", part.name}, {"calls", part.calls}, {"bytes", part.bytes}});
  }
  return out;
}

ordered_json TimeJson(const Plan& plan) {
  ordered_json parts = ordered_json::array();
  for (const TimePart& part : plan.time.parts) {
    parts.push_back({{"name", part.name}, {"seconds", part.seconds}, {"bound", part.bound}});
  }
  return {{"seconds", plan.time.seconds}, {"parts", parts}};
}

}  // namespace

std::string PlanTable(const PlanInput& in, const Plan& plan) {
  const RunConfig& c = in.config;
  std::string out = absl::StrFormat(
      "%s: %.2f billion parameters, %.2f trained, %s\n"
      "step: %d prompts x %d samples, %d + %d tokens (%d visual), kept ratio %g\n"
      "cluster: %d learner%s (actor.zero=%d), %s\n"
      "activations: %s if kept, %s if layers run again in backward; %s\n",
      c.model.path, plan.shape.parameters / 1e9, plan.shape.trained / 1e9, c.model.dtype,
      c.actor.global_batch_size, c.rollout.n, in.prompt, in.response, in.visual, in.kept_ratio,
      in.learners(), in.learners() == 1 ? "" : "s", c.actor.zero,
      in.shared() ? "rollouts in the learners' memory"
                  : absl::StrFormat("%d rollouts", in.rollouts()),
      Amount(plan.activations_kept), Amount(plan.activations_recomputed),
      plan.recompute ? "they run again" : "they are kept");
  for (const RoleMemory& role : plan.memory) AppendRole(in, role, &out);
  AppendTraffic(in, plan, &out);
  AppendTime(in, plan, &out);
  absl::StrAppend(&out,
                  plan.fits ? "\nfits\n" : absl::StrCat("\ndoes not fit; ", plan.remedy, "\n"));
  return out;
}

std::string PlanJson(const PlanInput& in, const Plan& plan) {
  const ordered_json out = {{"model", in.config.model.path},
                            {"parameters", plan.shape.parameters},
                            {"trained", plan.shape.trained},
                            {"machine",
                             {{"name", in.machine.name},
                              {"memory_bytes", in.machine.memory},
                              {"bandwidth", in.machine.bandwidth},
                              {"flops", in.machine.flops},
                              {"link", in.machine.link}}},
                            {"recompute", plan.recompute},
                            {"activations_kept_bytes", plan.activations_kept},
                            {"activations_recomputed_bytes", plan.activations_recomputed},
                            {"memory", MemoryJson(plan)},
                            {"traffic", TrafficJson(plan)},
                            {"gather_bytes", plan.gather_bytes},
                            {"weight_bytes", plan.weight_bytes},
                            {"delta_bytes", plan.delta_bytes},
                            {"step", TimeJson(plan)},
                            {"fits", plan.fits},
                            {"remedy", plan.remedy}};
  return out.dump() + "\n";
}

}  // namespace ziprl
