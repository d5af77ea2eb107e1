// tokenizer.json; one that is accepted must encode and decode.
#include <cstdint>
#include <string>
#include <string_view>

#include "model/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = ziprl::Tokenizer::Parse(text, "fuzz");
  if (!tokenizer.ok()) return 0;
  for (const std::string_view sample : {std::string_view("a cat's  12 \n<|im_start|>\xff"), text}) {
    (*tokenizer)->Decode((*tokenizer)->Encode(sample.substr(0, 4096)), true);
  }
  return 0;
}
