#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "launch/command_config.h"
#include "launch/plan_report.h"
#include "model/model_handle.h"
#include "model/published.h"

namespace ziprl {
namespace {

// Measured (docs/planning.md): what MPI, OpenMP, the tokenizer and linear algebra add to this
// process when they start to work.
constexpr int64_t kWorkingLibraries = int64_t{32} << 20;
constexpr double kVisualShare = 0.9;     // of a prompt, unless given
constexpr double kKeptUntrained = 0.8;   // at p = 0.975 (arXiv 2504.18579)
constexpr double kChangedOfBf16 = 0.01;  // proto/weights/delta.h

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  std::string machine = "auto";
  double memory_gb = 0, bandwidth_gbs = 0, tflops = 0, link_gbs = 0;
  int64_t prompt = 0, response = 0, visual = -1;
  double kept_ratio = kKeptUntrained, changed = -1;
  bool json = false;
};

// Resident memory of this process, which has loaded the same libraries as every other.
int64_t ResidentBytes() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}

absl::StatusOr<Architecture> ArchitectureOf(const std::string& path) {
  if (path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.path is empty; give a model directory or a published model's name"));
  }
  if (std::filesystem::exists(path)) return LoadArchitecture(path);
  return PublishedArchitecture(path);
}

Machine MachineOf(const Options& options, const ModelConfig& model) {
  const bool cpu = options.machine == "cpu" || (options.machine == "auto" && model.device == "cpu");
  Machine machine = cpu ? TwoCores(model.dtype == "bf16") : H100(model.dtype == "bf16");
  if (options.memory_gb != 0) machine.memory = options.memory_gb * 1e9;
  if (options.bandwidth_gbs != 0) machine.bandwidth = options.bandwidth_gbs * 1e9;
  if (options.tflops != 0) machine.flops = options.tflops * 1e12;
  if (options.link_gbs != 0) machine.link = options.link_gbs * 1e9;
  for (double given :
       {options.memory_gb, options.bandwidth_gbs, options.tflops, options.link_gbs}) {
    if (given != 0) machine.name = "a machine as given";
  }
  return machine;
}

absl::StatusOr<PlanInput> InputOf(const Options& options) {
  PlanInput input;
  ZIPRL_ASSIGN_OR_RETURN(input.config, LoadCommandConfig(options.config, options.overrides));
  ZIPRL_ASSIGN_OR_RETURN(input.arch, ArchitectureOf(input.config.model.path));
  input.machine = MachineOf(options, input.config.model);
  input.threads = ResolveThreads(input.config.trainer.threads);
  const DataConfig& data = input.config.data;
  input.prompt = options.prompt != 0 ? options.prompt : data.max_prompt_length;
  input.response = options.response != 0 ? options.response : data.max_response_length;
  input.visual = options.visual >= 0 ? options.visual
                                     : static_cast<int64_t>(kVisualShare * double(input.prompt));
  input.kept_ratio = options.kept_ratio;
  input.changed =
      options.changed >= 0 ? options.changed : (input.element() == 2 ? kChangedOfBf16 : 1.0);
  if (!input.machine.gpu) {
    // As a run does: `auto` looks for a device, which loads what serves one.
    ZIPRL_RETURN_IF_ERROR(DeviceOf(input.config.model).status());
    input.process = ResidentBytes() + kWorkingLibraries;
  }
  return input;
}

absl::Status PrintPlan(const Options& options) {
  ZIPRL_ASSIGN_OR_RETURN(const PlanInput input, InputOf(options));
  ZIPRL_ASSIGN_OR_RETURN(const Plan plan, MakePlan(input));
  std::cout << (options.json ? PlanJson(input, plan) : PlanTable(input, plan));
  if (plan.fits) return absl::OkStatus();
  const auto largest = std::max_element(
      plan.memory.begin(), plan.memory.end(),
      [](const RoleMemory& a, const RoleMemory& b) { return a.peak().bytes() < b.peak().bytes(); });
  return absl::ResourceExhaustedError(absl::StrFormat(
      "the cluster cannot hold it: %s in `%s` takes %.1f GB, a rank has %.1f GB; %s", largest->role,
      largest->peak().name, largest->peak().bytes() / 1e9, input.machine.memory / 1e9,
      plan.remedy));
}

}  // namespace

int RunPlan(const Args& args) {
  CLI::App app(
      "What a run will take: memory of every role, bytes between ranks, the least time of a step,\n"
      "and whether it fits. Only the model's config.json is read; model.path may be a published\n"
      "model's name. Exit code 1 when the cluster cannot hold it.\n"
      "Example: ziprl plan model.path=Qwen2.5-VL-7B model.dtype=bf16 cluster.learner=8 "
      "actor.zero=3",
      "ziprl plan");
  Options options;
  app.add_option("config", options.config, "YAML file, or the first key=value")->required();
  app.add_option("overrides", options.overrides, "key=value ...");
  app.add_option("--machine", options.machine, "of each rank; auto = cpu for model.device=cpu")
      ->check(CLI::IsMember({"auto", "h100", "cpu"}))
      ->capture_default_str();
  app.add_option("--memory-gb", options.memory_gb, "of a rank (10^9 bytes)");
  app.add_option("--bandwidth-gbs", options.bandwidth_gbs, "of that memory, GB/s");
  app.add_option("--tflops", options.tflops, "peak of matrix products in the run's type");
  app.add_option("--link-gbs", options.link_gbs, "between ranks, GB/s one way");
  app.add_option("--prompt-tokens", options.prompt, "default: data.max_prompt_length");
  app.add_option("--response-tokens", options.response, "default: data.max_response_length");
  app.add_option("--visual-tokens", options.visual, "of the prompt; default: nine tenths");
  app.add_option("--kept-ratio", options.kept_ratio, "of prompt tokens that attend")
      ->capture_default_str();
  app.add_option("--changed", options.changed,
                 "share of the weights that a step changes as stored; default: 0.01 in bf16");
  app.add_flag("--json", options.json, "one JSON object");
  return ParseAndRun(app, args, [&] { return PrintPlan(options); });
}

}  // namespace ziprl
