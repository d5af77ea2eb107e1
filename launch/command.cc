#include "launch/command.h"

#include <exception>
#include <iostream>

namespace ziprl {

int ParseAndRun(CLI::App& app, const Args& args, const std::function<absl::Status()>& body) {
  try {
    Args reversed(args.rbegin(), args.rend());  // CLI11 takes them last first
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, std::cout, std::cerr) == 0 ? 0 : 2;
  }
  try {
    const absl::Status status = body();
    if (status.ok()) return 0;
    std::cerr << app.get_name() << ": " << status.message() << "\n";
  } catch (const std::exception& error) {
    std::cerr << app.get_name() << ": " << error.what() << "\n";
  }
  return 1;
}

}  // namespace ziprl
