// `ziprl coordinator` and `ziprl reward`: programs of their own, so that they run where there is no
// torch; they lie beside `ziprl`.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <system_error>

#include "launch/command.h"

namespace ziprl {
namespace {

int Become(const std::string& program, const Args& args) {
  std::error_code error;
  const std::string path =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / program;
  std::vector<char*> argv = {const_cast<char*>(path.c_str())};
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  execv(path.c_str(), argv.data());
  std::cerr << "ziprl: cannot start " << path << ": " << std::strerror(errno) << "\n";
  return 1;
}

}  // namespace

int RunCoordinator(const Args& args) { return Become("ziprl-coordinator", args); }
int RunReward(const Args& args) { return Become("ziprl-reward", args); }

}  // namespace ziprl
