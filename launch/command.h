// The commands of `ziprl`: each takes its arguments (the command's name left out) and returns the
// exit code. Errors go to stderr, machine-readable output to stdout.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace ziprl {

using Args = std::vector<std::string>;

int RunTrain(const Args& args);
int RunLearn(const Args& args);
int RunRollout(const Args& args);
int RunCoordinator(const Args& args);
int RunReward(const Args& args);
int RunSft(const Args& args);
int RunEval(const Args& args);
int RunGenerate(const Args& args);
int RunLogprobs(const Args& args);
int RunInit(const Args& args);
int RunImport(const Args& args);
int RunExport(const Args& args);
int RunData(const Args& args);
int RunConfigCommand(const Args& args);
int RunSelftest(const Args& args);
int RunTokenize(const Args& args);
int RunPlan(const Args& args);
int RunReport(const Args& args);
int RunStatus(const Args& args);

// Parses the arguments and runs the body; prints usage, --help and errors as every command does.
// Exit code 0 on success, 1 when the body fails, 2 on unusable arguments.
int ParseAndRun(CLI::App& app, const Args& args, const std::function<absl::Status()>& body);

}  // namespace ziprl
