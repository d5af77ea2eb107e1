// Peak resident memory between two points of a process (Linux).
#pragma once

#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

namespace ziprl {

// Bytes, of a line of /proc/self/status.
inline int64_t StatusBytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kib = 0;
    if (word == key + ":" && status >> kib) return kib << 10;
  }
  std::abort();
}

// Returns the resident bytes, freed ones given back; PeakBytes counts from here on.
inline int64_t ResetPeak() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
  return StatusBytes("VmRSS");
}

inline int64_t PeakBytes() { return StatusBytes("VmHWM"); }

}  // namespace ziprl
