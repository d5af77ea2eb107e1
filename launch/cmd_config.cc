#include <iostream>

#include "configs/base/status_macros.h"
#include "configs/load.h"
#include "launch/command.h"
#include "launch/training_setup.h"

namespace ziprl {

int RunConfigCommand(const Args& args) {
  CLI::App app(
      "Prints the resolved config as YAML, every key with its meaning, unit and default.\n"
      "Example: ziprl config configs/experiments/quickstart.yaml rollout.n=16",
      "ziprl config");
  std::string path;
  std::vector<std::string> overrides;
  app.add_option("config", path, "YAML file (without one: the defaults)");
  app.add_option("overrides", overrides, "key=value ...");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const RunConfig config, LoadCommandConfig(path, overrides));
    std::cout << DocumentedYaml(config);
    return absl::OkStatus();
  });
}

}  // namespace ziprl
