// Little-endian numbers, varints and counted bytes in a flat string, for what is written to shared
// memory and into deltas. The reader never leaves its input, whatever the input says. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace ziprl {

class ByteWriter {
 public:
  void Fixed64(uint64_t value) { Raw(&value, sizeof(value)); }
  void Byte(uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void Varint(uint64_t value) {  // 7 bits a byte, least significant first
    for (; value >= 0x80; value >>= 7) Byte(static_cast<uint8_t>(value | 0x80));
    Byte(static_cast<uint8_t>(value));
  }
  void CountedBytes(std::string_view bytes) {
    Varint(bytes.size());
    Bytes(bytes);
  }
  void Bytes(std::string_view bytes) { out_.append(bytes); }
  void Raw(const void* data, size_t size) { out_.append(static_cast<const char*>(data), size); }

  size_t size() const { return out_.size(); }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

// Every Read returns false, and leaves its result alone, when the input ends too early.
class ByteReader {
 public:
  explicit ByteReader(std::string_view in) : in_(in) {}

  bool Fixed64(uint64_t* value) { return Raw(value, sizeof(*value)); }
  bool Byte(uint8_t* value) { return Raw(value, 1); }
  bool Varint(uint64_t* value) {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte = 0;
      if (!Byte(&byte)) return false;
      if (shift == 63 && byte > 1) return false;  // more than 64 bits
      result |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        *value = result;
        return true;
      }
    }
    return false;
  }
  bool CountedBytes(std::string_view* bytes) {
    uint64_t size = 0;
    return Varint(&size) && Bytes(size, bytes);
  }
  bool Bytes(uint64_t size, std::string_view* bytes) {
    if (size > in_.size()) return false;
    *bytes = in_.substr(0, size);
    in_.remove_prefix(size);
    return true;
  }
  bool Raw(void* data, size_t size) {
    if (size > in_.size()) return false;
    std::memcpy(data, in_.data(), size);
    in_.remove_prefix(size);
    return true;
  }

  size_t left() const { return in_.size(); }

 private:
  std::string_view in_;
};

}  // namespace ziprl
