#include "configs/base/plugin_library.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ziprl {

absl::StatusOr<void*> PluginSymbol(const std::string& name, const std::string& symbol) {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = program.parent_path().parent_path() / "lib" / name;
  const bool there = std::filesystem::exists(beside, error);
  void* const library = dlopen(there ? beside.c_str() : name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::UnavailableError(absl::StrCat(name, " did not load: ", dlerror()));
  }
  void* const found = dlsym(library, symbol.c_str());
  if (found == nullptr) {
    return absl::UnavailableError(absl::StrCat(name, " has no symbol ", symbol));
  }
  return found;
}

}  // namespace ziprl
