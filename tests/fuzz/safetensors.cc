// The header of a safetensors file, read from memory that looks like a file.
#include "model/safetensors.h"

#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>
#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int file = memfd_create("fuzz", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) abort();
  const auto opened = ziprl::SafetensorsFile::Open(path);
  if (!opened.ok()) return 0;
  for (const ziprl::TensorView& tensor : (*opened)->tensors()) {
    // Every byte that a tensor claims can be read.
    if (tensor.bytes > 0) XXH3_64bits(tensor.data, tensor.bytes);
    if ((*opened)->Find(tensor.name) == nullptr) abort();
  }
  return 0;
}
