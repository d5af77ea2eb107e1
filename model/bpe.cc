#include "model/bpe.h"

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
    : byte_ids_(byte_ids) {
  merges_.reserve(merges.size() * 2);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    // A repeated pair takes its last rank, as a map filled in order does.
    merges_[PairKey(merge.left, merge.right)] = {static_cast<int32_t>(rank), merge.result};
  }
}

const Bpe::Ranked* Bpe::Find(int32_t left, int32_t right) const {
  const auto it = merges_.find(PairKey(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

void Bpe::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
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
