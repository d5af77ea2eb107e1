// The one user-facing program: `ziprl COMMAND ...`.
#include <iostream>
#include <string>

#include "launch/command.h"

namespace {

struct Entry {
  const char* name;
  int (*run)(const ziprl::Args&);
  const char* summary;
};

constexpr Entry kCommands[] = {
    {"train", ziprl::RunTrain, "reinforcement learning under sparse attention (GRPO)"},
    {"learn", ziprl::RunLearn, "the learner alone, for a coordinator elsewhere"},
    {"rollout", ziprl::RunRollout, "a rollout worker alone, for a coordinator elsewhere"},
    {"coordinator", ziprl::RunCoordinator, "the coordinator alone (ziprl-coordinator)"},
    {"reward", ziprl::RunReward, "a reward service alone (ziprl-reward)"},
    {"sft", ziprl::RunSft, "supervised warm start"},
    {"eval", ziprl::RunEval, "accuracy and kept-token ratio on a data set"},
    {"generate", ziprl::RunGenerate, "answer one prompt"},
    {"logprobs", ziprl::RunLogprobs, "log-probs and kept tokens of given responses"},
    {"init", ziprl::RunInit, "a random model of a given architecture"},
    {"import", ziprl::RunImport, "check a Hugging Face directory and copy it in"},
    {"export", ziprl::RunExport, "write a checkpoint as a Hugging Face directory"},
    {"data", ziprl::RunData, "import and check data sets"},
    {"config", ziprl::RunConfigCommand, "the resolved config, every key documented"},
    {"plan", ziprl::RunPlan, "memory, traffic and time of a run before it runs"},
    {"tokenize", ziprl::RunTokenize, "text to ids and back"},
    {"report", ziprl::RunReport, "evaluations of a quickstart run side by side"},
    {"status", ziprl::RunStatus, "a running coordinator at a glance"},
    {"selftest", ziprl::RunSelftest, "every kernel against its CPU reference"},
};

void PrintUsage(std::ostream& out) {
  out << "usage: ziprl COMMAND [ARGUMENTS]\n\n";
  for (const Entry& entry : kCommands) {
    out << "  " << entry.name << std::string(12 - std::string(entry.name).size(), ' ')
        << entry.summary << "\n";
  }
  out << "\n`ziprl COMMAND --help` shows its arguments and an example.\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    PrintUsage(std::cout);
    return 0;
  }
  for (const Entry& entry : kCommands) {
    if (name == entry.name) return entry.run(ziprl::Args(argv + 2, argv + argc));
  }
  if (name.empty()) {
    std::cerr << "ziprl: no command given\n\n";
  } else {
    std::cerr << "ziprl: unknown command '" << name << "'\n\n";
  }
  PrintUsage(std::cerr);
  return 2;
}
