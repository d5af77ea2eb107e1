#include <iostream>

#include "kernels/selftest.h"
#include "launch/command.h"

namespace ziprl {

int RunSelftest(const Args& args) {
  CLI::App app(
      "Every CUDA kernel against its CPU reference; says SKIPPED where there is no device.\n"
      "Example: ziprl selftest --cuda",
      "ziprl selftest");
  bool cuda = false;
  app.add_flag("--cuda", cuda, "the CUDA kernels (the default)");
  int code = 0;
  const int parsed = ParseAndRun(app, args, [&]() -> absl::Status {
    code = kernels::RunCudaSelfTest(std::cout);
    return absl::OkStatus();
  });
  return parsed != 0 ? parsed : code;
}

}  // namespace ziprl
