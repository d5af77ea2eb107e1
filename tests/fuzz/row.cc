// A line of a data file.
#include "trainer/data/row.h"

#include <cstdint>
#include <string>

#include "trainer/data/image_store.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string line(reinterpret_cast<const char*>(data), size);
  ziprl::ImageStore store;
  ziprl::ParseRow(line, {}, "no_such_directory", store).IgnoreError();
  ziprl::ParseQuestions(line, {}, "no_such_directory", store).IgnoreError();
  return 0;
}
