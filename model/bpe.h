// Byte-pair merges by rank over the byte-level alphabet. Immutable after construction, thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ziprl {

// The printable stand-in of each byte (GPT-2's bytes_to_unicode), and back (-1: no stand-in).
char32_t ByteToChar(uint8_t byte);
int CharToByte(char32_t c);
// The bytes in the order GPT-2 numbers them: printable ones first.
std::array<uint8_t, 256> ByteOrder();
// The stand-ins of a byte string, as vocabulary entries are written.
std::string ToByteLevel(std::string_view bytes);

struct Merge {
  int32_t left, right, result;
};

class Bpe {
 public:
  // byte_ids: the id of each single byte. merges: best first.
  Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<Merge>& merges);
  Bpe(const Bpe&) = delete;
  Bpe& operator=(const Bpe&) = delete;

  // Appends the ids of one piece. n log n in its length. Each thread remembers the short pieces it
  // met last (1 MiB a thread).
  void Encode(std::string_view piece, std::vector<int32_t>* ids) const;

 private:
  struct Ranked {
    int32_t rank, result;
  };
  struct Slot {
    uint64_t pair;  // (left, right), or kFree
    Ranked ranked;
  };

  void Add(const Merge& merge, int32_t rank);
  const Ranked* Find(int32_t left, int32_t right) const;
  void EncodeShort(std::string_view piece, std::vector<int32_t>* ids) const;
  void EncodeLong(std::string_view piece, std::vector<int32_t>* ids) const;

  const uint32_t serial_;  // no two instances of a process share one
  std::array<int32_t, 256> byte_ids_;
  std::vector<Slot> slots_;  // open addressing, at most half full
  int shift_ = 0;            // of the hash, to a place in slots_
};

}  // namespace ziprl
