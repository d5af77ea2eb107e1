// Random damage to the bytes of a message, the same for the same seed.
#pragma once

#include <random>
#include <string>

namespace ziprl {

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  // One to four changes: a bit or a byte changed, bytes inserted, erased, doubled, or the end cut.
  std::string Mutate(std::string bytes) {
    for (uint64_t changes = 1 + Below(4); changes > 0; --changes) Change(&bytes);
    return bytes;
  }
  uint64_t Below(uint64_t limit) { return random_() % limit; }

 private:
  void Change(std::string* bytes) {
    const size_t at = bytes->empty() ? 0 : Below(bytes->size());
    const char byte = static_cast<char>(Below(256));
    switch (bytes->empty() ? 2 : Below(6)) {
      case 0:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
        break;
      case 1:
        (*bytes)[at] = byte;
        break;
      case 2:
        bytes->insert(at, 1 + Below(12), byte);
        break;
      case 3:
        bytes->erase(at, 1 + Below(8));
        break;
      case 4:
        bytes->insert(at, bytes->substr(Below(bytes->size()), Below(64)));
        break;
      default:
        bytes->resize(at);
    }
  }

  std::mt19937_64 random_;
};

}  // namespace ziprl
