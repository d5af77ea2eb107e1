#include "proto/weights/delta_block.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/weights/byte_codec.h"

namespace ziprl {
namespace {

constexpr size_t kBlockWords = 4096;
// A gap below kLongGap is one byte; a longer one is (byte - kLongGap) * 256 + next byte more than
// kLongGap, which reaches beyond a block.
constexpr size_t kLongGap = 240;
static_assert(kLongGap + (256 - kLongGap) * 256 > kBlockWords);
constexpr int8_t kEscape = -128;  // the whole word follows

// Mode byte: positions in the two low bits, then whether values are steps from the old word.
enum Positions : uint8_t { kNone = 0, kGaps = 1, kBitmap = 2, kAll = 3 };
constexpr uint8_t kPositionMask = 3, kSteps = 4;

template <typename Word>
Word Load(const char* words, size_t i) {
  Word word;
  std::memcpy(&word, words + i * sizeof(Word), sizeof(Word));
  return word;
}

template <typename Word>
void Store(char* words, size_t i, Word word) {
  std::memcpy(words + i * sizeof(Word), &word, sizeof(Word));
}

// Places of the changed words of a block.
struct Changes {
  std::array<uint16_t, kBlockWords> places;
  size_t count = 0;
};

template <typename Word>
void FindChanges(const char* base, const char* target, size_t words, Changes* changes) {
  constexpr size_t kAtOnce = sizeof(uint64_t) / sizeof(Word);
  changes->count = 0;
  const auto compare = [&](size_t i) {
    changes->places[changes->count] = static_cast<uint16_t>(i);
    changes->count += Load<Word>(base, i) != Load<Word>(target, i);
  };
  size_t i = 0;
  for (; i + kAtOnce <= words; i += kAtOnce) {
    if (Load<uint64_t>(base, i / kAtOnce) == Load<uint64_t>(target, i / kAtOnce)) continue;
    for (size_t k = 0; k < kAtOnce; ++k) compare(i + k);
  }
  for (; i < words; ++i) compare(i);
}

// New word minus old word where that fits a byte, kEscape where not.
template <typename Word>
int8_t Step(Word from, Word to) {
  const int64_t step = static_cast<int64_t>(to) - static_cast<int64_t>(from);
  return step > kEscape && step < -kEscape ? static_cast<int8_t>(step) : kEscape;
}

void AppendGap(size_t gap, std::string* out) {
  if (gap >= kLongGap) out->push_back(static_cast<char>(kLongGap + (gap - kLongGap) / 256));
  out->push_back(static_cast<char>(gap < kLongGap ? gap : (gap - kLongGap) % 256));
}

std::string EncodeGaps(const Changes& changes) {
  std::string out;
  size_t next = 0;
  for (size_t k = 0; k < changes.count; ++k) {
    AppendGap(changes.places[k] - next, &out);
    next = changes.places[k] + size_t{1};
  }
  return out;
}

std::string EncodeBitmap(const Changes& changes, size_t words) {
  std::string out((words + 7) / 8, '\0');
  for (size_t k = 0; k < changes.count; ++k) {
    out[changes.places[k] / 8] |= static_cast<char>(1 << (changes.places[k] % 8));
  }
  return out;
}

template <typename Word>
std::string EncodeSteps(const char* base, const char* target, const Changes& changes) {
  std::string out;
  for (size_t k = 0; k < changes.count; ++k) {
    const size_t place = changes.places[k];
    const int8_t step = Step(Load<Word>(base, place), Load<Word>(target, place));
    out.push_back(static_cast<char>(step));
    if (step == kEscape) out.append(target + place * sizeof(Word), sizeof(Word));
  }
  return out;
}

template <typename Word>
std::string EncodeWords(const char* target, const Changes& changes) {
  std::string out;
  for (size_t k = 0; k < changes.count; ++k) {
    out.append(target + changes.places[k] * sizeof(Word), sizeof(Word));
  }
  return out;
}

template <typename Word>
void EncodeBlock(const char* base, const char* target, size_t words, ByteWriter* out) {
  Changes changes;
  FindChanges<Word>(base, target, words, &changes);
  if (changes.count == 0) return out->Byte(kNone);

  uint8_t mode = kAll;
  std::string positions;
  if (changes.count < words) {
    positions = EncodeGaps(changes);
    mode = kGaps;
    if (positions.size() + 1 > (words + 7) / 8) {  // 1: a gap list has a count, too
      positions = EncodeBitmap(changes, words);
      mode = kBitmap;
    }
  }
  std::string values = EncodeSteps<Word>(base, target, changes);
  const bool steps = sizeof(Word) > 1 && values.size() < changes.count * sizeof(Word);
  if (!steps) values = EncodeWords<Word>(target, changes);
  out->Byte(mode | (steps ? kSteps : 0));
  if (mode == kGaps) out->Varint(changes.count);
  out->Bytes(positions);
  out->Bytes(values);
}

// ---- Decoding: false means malformed. ----

bool DecodeGap(ByteReader& in, size_t* gap) {
  uint8_t first = 0, second = 0;
  if (!in.Byte(&first) || (first >= kLongGap && !in.Byte(&second))) return false;
  *gap = first < kLongGap ? first : kLongGap + (first - kLongGap) * 256 + second;
  return true;
}

bool DecodeGaps(ByteReader& in, size_t words, Changes* changes) {
  uint64_t count = 0;
  if (!in.Varint(&count) || count == 0 || count > words) return false;
  size_t next = 0;
  for (size_t k = 0; k < count; ++k) {
    size_t gap = 0;
    if (!DecodeGap(in, &gap) || next + gap >= words) return false;
    changes->places[k] = static_cast<uint16_t>(next + gap);
    next += gap + 1;
  }
  changes->count = count;
  return true;
}

bool DecodeBitmap(ByteReader& in, size_t words, Changes* changes) {
  std::string_view bitmap;
  if (!in.Bytes((words + 7) / 8, &bitmap)) return false;
  changes->count = 0;
  for (size_t i = 0; i < bitmap.size() * 8; ++i) {
    if ((bitmap[i / 8] >> (i % 8) & 1) == 0) continue;
    if (i >= words) return false;
    changes->places[changes->count++] = static_cast<uint16_t>(i);
  }
  return changes->count > 0;
}

bool DecodePositions(ByteReader& in, uint8_t positions, size_t words, Changes* changes) {
  if (positions == kGaps) return DecodeGaps(in, words, changes);
  if (positions == kBitmap) return DecodeBitmap(in, words, changes);
  changes->count = words;
  for (size_t i = 0; i < words; ++i) changes->places[i] = static_cast<uint16_t>(i);
  return true;
}

template <typename Word>
bool DecodeValue(ByteReader& in, bool steps, Word* word) {
  uint8_t step = static_cast<uint8_t>(kEscape);
  if (steps && !in.Byte(&step)) return false;
  if (step == static_cast<uint8_t>(kEscape)) return in.Raw(word, sizeof(Word));
  *word = static_cast<Word>(*word + static_cast<Word>(static_cast<int8_t>(step)));
  return true;
}

template <typename Word>
bool DecodeBlock(ByteReader& in, char* bytes, size_t words) {
  uint8_t mode = 0;
  if (!in.Byte(&mode)) return false;
  if (mode == kNone) return true;
  if ((mode & ~(kPositionMask | kSteps)) != 0 || (mode & kPositionMask) == kNone) return false;
  Changes changes;
  if (!DecodePositions(in, mode & kPositionMask, words, &changes)) return false;
  for (size_t k = 0; k < changes.count; ++k) {
    Word word = Load<Word>(bytes, changes.places[k]);
    if (!DecodeValue(in, (mode & kSteps) != 0, &word)) return false;
    Store(bytes, changes.places[k], word);
  }
  return true;
}

template <typename Word>
void EncodeAll(std::string_view base, std::string_view target, ByteWriter* out) {
  const size_t words = target.size() / sizeof(Word);
  for (size_t start = 0; start < words; start += kBlockWords) {
    const size_t at = start * sizeof(Word);
    EncodeBlock<Word>(base.data() + at, target.data() + at, std::min(kBlockWords, words - start),
                      out);
  }
}

template <typename Word>
absl::Status DecodeAll(std::string_view encoded, char* bytes, size_t size) {
  ByteReader in(encoded);
  const size_t words = size / sizeof(Word);
  for (size_t start = 0; start < words; start += kBlockWords) {
    const size_t block = std::min(kBlockWords, words - start);
    if (!DecodeBlock<Word>(in, bytes + start * sizeof(Word), block)) {
      return absl::InvalidArgumentError(
          absl::StrCat("malformed delta: words ", start, " to ", start + block - 1));
    }
  }
  if (in.left() == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("malformed delta: ", in.left(), " bytes after the last block"));
}

}  // namespace

void EncodeBlocks(std::string_view base, std::string_view target, int word_bytes,
                  std::string* out) {
  ByteWriter writer;
  if (word_bytes == 1) EncodeAll<uint8_t>(base, target, &writer);
  if (word_bytes == 2) EncodeAll<uint16_t>(base, target, &writer);
  if (word_bytes == 4) EncodeAll<uint32_t>(base, target, &writer);
  out->append(writer.Take());
}

absl::Status DecodeBlocks(std::string_view encoded, int word_bytes, char* bytes, size_t size) {
  if (word_bytes == 1) return DecodeAll<uint8_t>(encoded, bytes, size);
  if (word_bytes == 2) return DecodeAll<uint16_t>(encoded, bytes, size);
  if (word_bytes == 4) return DecodeAll<uint32_t>(encoded, bytes, size);
  return absl::InvalidArgumentError(absl::StrCat("words of ", word_bytes, " bytes"));
}

}  // namespace ziprl
