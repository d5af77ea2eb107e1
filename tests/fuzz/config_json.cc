// config.json of a checkpoint; an architecture that is accepted can be written and listed.
#include <cstdint>
#include <string>

#include "model/architecture.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto arch =
      ziprl::ParseArchitecture(std::string(reinterpret_cast<const char*>(data), size), "", "fuzz");
  if (!arch.ok()) return 0;
  ziprl::ArchitectureToJson(*arch);
  if (arch->layers + arch->vision.depth < 1000) ziprl::ParamSpecs(*arch);
  return 0;
}
