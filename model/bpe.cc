#include "model/bpe.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <queue>

#include "model/unicode.h"

namespace ziprl {
namespace {

bool IsPrintableByte(int b) {
  return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
}

struct ByteAlphabet {
  std::array<char32_t, 256> chars;
  std::array<uint8_t, 256> order;
  std::array<int, 512> bytes;
  ByteAlphabet() {
    bytes.fill(-1);
    size_t place = 0;
    for (int b = 0; b < 256; ++b) {
      if (IsPrintableByte(b)) Add(b, b, place++);
    }
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      if (!IsPrintableByte(b)) Add(b, next++, place++);
    }
  }
  void Add(int byte, char32_t c, size_t place) {
    chars[byte] = c;
    bytes[c] = byte;
    order[place] = static_cast<uint8_t>(byte);
  }
};

const ByteAlphabet& Alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

uint64_t PairKey(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

struct Symbol {
  int32_t id;
  int prev, next;  // places in the list, -1 at the ends
  bool gone = false;
};

struct Candidate {
  int32_t rank;
  int place;  // of the left symbol
  int32_t result;
};
struct Later {  // orders a heap so that the lowest rank, then the leftmost place, comes first
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.rank != b.rank ? a.rank > b.rank : a.place > b.place;
  }
};

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;  // spreads the pairs
constexpr uint64_t kFree = ~uint64_t{0};          // no pair: ids are not negative
constexpr size_t kShort = 48;                     // bytes up to which scanning beats a heap

// A piece and its ids, as a thread remembers them.
struct Remembered {
  static constexpr size_t kBytes = 26, kIds = 8;
  uint32_t owner = 0;  // 0: nothing
  uint8_t size = 0, count = 0;
  char piece[kBytes];
  int32_t ids[kIds];
};
constexpr size_t kRemembered = 1 << 14;

Remembered& PlaceOf(std::string_view piece, uint32_t owner) {
  static thread_local std::vector<Remembered> places(kRemembered);
  return places[XXH3_64bits_withSeed(piece.data(), piece.size(), owner) % kRemembered];
}

uint32_t NextSerial() {
  static std::atomic<uint32_t> last = 0;
  return ++last;
}

}  // namespace

char32_t ByteToChar(uint8_t byte) { return Alphabet().chars[byte]; }

int CharToByte(char32_t c) { return c < 512 ? Alphabet().bytes[c] : -1; }

std::array<uint8_t, 256> ByteOrder() { return Alphabet().order; }

std::string ToByteLevel(std::string_view bytes) {
  std::string out;
  for (char c : bytes) AppendUtf8(ByteToChar(static_cast<uint8_t>(c)), &out);
  return out;
}

Bpe::Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<Merge>& merges)
    : serial_(NextSerial()), byte_ids_(byte_ids) {
  int bits = 4;
  while (size_t{1} << bits < merges.size() * 2) ++bits;
  shift_ = 64 - bits;
  slots_.resize(size_t{1} << bits, {kFree, {}});
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    Add(merges[rank], static_cast<int32_t>(rank));
  }
}

// A repeated pair takes its last rank, as a map filled in order does.
void Bpe::Add(const Merge& merge, int32_t rank) {
  const uint64_t pair = PairKey(merge.left, merge.right);
  size_t at = (pair * kGolden) >> shift_;
  while (slots_[at].pair != kFree && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {pair, {rank, merge.result}};
}

const Bpe::Ranked* Bpe::Find(int32_t left, int32_t right) const {
  const uint64_t pair = PairKey(left, right);
  for (size_t at = (pair * kGolden) >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == pair) return &slots_[at].ranked;
    if (slots_[at].pair == kFree) return nullptr;
  }
}

void Bpe::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  if (piece.size() > Remembered::kBytes) {
    return piece.size() <= kShort ? EncodeShort(piece, ids) : EncodeLong(piece, ids);
  }
  Remembered& place = PlaceOf(piece, serial_);
  if (place.owner == serial_ && std::string_view(place.piece, place.size) == piece) {
    ids->insert(ids->end(), place.ids, place.ids + place.count);
    return;
  }
  const size_t before = ids->size();
  EncodeShort(piece, ids);
  const size_t count = ids->size() - before;
  if (count > Remembered::kIds) return;
  place.owner = serial_;
  place.size = static_cast<uint8_t>(piece.size());
  place.count = static_cast<uint8_t>(count);
  std::memcpy(place.piece, piece.data(), piece.size());
  std::copy(ids->begin() + static_cast<std::ptrdiff_t>(before), ids->end(), place.ids);
}

// Merges the pair of the lowest rank, the leftmost of equals, until none is left.
void Bpe::EncodeShort(std::string_view piece, std::vector<int32_t>* ids) const {
  constexpr Ranked kNone = {INT32_MAX, 0};
  int32_t symbols[kShort];
  Ranked pairs[kShort];  // of symbols i and i + 1
  int n = static_cast<int>(piece.size());
  const auto look = [&](int i) {
    const Ranked* found = Find(symbols[i], symbols[i + 1]);
    pairs[i] = found == nullptr ? kNone : *found;
  };
  for (int i = 0; i < n; ++i) symbols[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
  for (int i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    int best = 0;
    for (int i = 1; i + 1 < n; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNone.rank) break;
    symbols[best] = pairs[best].result;
    std::copy(symbols + best + 2, symbols + n, symbols + best + 1);
    std::copy(pairs + best + 1, pairs + n - 1, pairs + best);
    --n;
    if (best > 0) look(best - 1);
    if (best + 1 < n) look(best);
  }
  ids->insert(ids->end(), symbols, symbols + n);
}

void Bpe::EncodeLong(std::string_view piece, std::vector<int32_t>* ids) const {
  const int n = static_cast<int>(piece.size());
  std::vector<Symbol> symbols(n);
  for (int i = 0; i < n; ++i) {
    symbols[i] = {byte_ids_[static_cast<uint8_t>(piece[i])], i - 1, i + 1 < n ? i + 1 : -1};
  }
  std::priority_queue<Candidate, std::vector<Candidate>, Later> queue;
  const auto offer = [&](int left, int right) {
    if (left < 0 || right < 0) return;
    const Ranked* found = Find(symbols[left].id, symbols[right].id);
    if (found != nullptr) queue.push({found->rank, left, found->result});
  };
  for (int i = 0; i + 1 < n; ++i) offer(i, i + 1);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.place];
    if (left.gone || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    const Ranked* found = Find(left.id, right.id);
    if (found == nullptr || found->result != best.result)
      continue;  // stale: a neighbour was merged
    left.id = best.result;
    right.gone = true;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].prev = best.place;
    offer(left.prev, best.place);
    offer(best.place, left.next);
  }
  for (int i = 0; i >= 0 && n > 0; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace ziprl
