#include "tests/proto/weights/weight_case.h"

#include <cstring>
#include <memory>
#include <utility>

#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

uint16_t Word(const std::string& bytes, size_t i) {
  uint16_t word;
  std::memcpy(&word, bytes.data() + 2 * i, 2);
  return word;
}

void SetWord(std::string* bytes, size_t i, uint16_t word) {
  std::memcpy(bytes->data() + 2 * i, &word, 2);
}

// Words of all tensors; the padding stays zero.
WeightSnapshot::Ptr Fill(WeightLayout::Ptr layout, PolicyVersion version, auto word_of) {
  std::string bytes(layout->total_bytes(), '\0');
  for (const WeightTensor& tensor : layout->tensors()) {
    for (size_t i = tensor.offset / 2; i < (tensor.offset + tensor.bytes) / 2; ++i) {
      SetWord(&bytes, i, word_of(i));
    }
  }
  return FromBytes(std::move(layout), version, bytes);
}

}  // namespace

WeightLayout::Ptr CaseLayout(int64_t rows) {
  return *WeightLayout::Pack({{"norm.weight", "F32", {37}},
                              {"layers.0.weight", "BF16", {rows, 1024}},
                              {"scale", "BF16", {}}});
}

WeightSnapshot::Ptr UniformWeights(WeightLayout::Ptr layout, PolicyVersion version) {
  return Fill(std::move(layout), version, [&](size_t) { return static_cast<uint16_t>(version); });
}

WeightSnapshot::Ptr RandomWeights(WeightLayout::Ptr layout, PolicyVersion version, uint64_t seed) {
  return Fill(std::move(layout), version, [&](size_t i) {
    const uint64_t random = PhiloxU64(seed, i, 0, 0, RngStream::kInit);
    const uint16_t sign = static_cast<uint16_t>(random & 0x8000);
    return static_cast<uint16_t>(sign | (0x3a00 + (random >> 20) % 0x400));  // 0.0005 to 0.01
  });
}

WeightSnapshot::Ptr SmallStep(const WeightSnapshot& base, double fraction, uint64_t seed) {
  const std::string bytes(base.bytes());
  return Fill(base.layout_ptr(), base.version() + 1, [&](size_t i) {
    const uint16_t word = Word(bytes, i);
    const auto random = Philox4x32(seed, {static_cast<uint32_t>(i), 0, 0, 99});
    if (random[0] >= fraction * 4294967296.0) return word;
    if (random[1] % 100 == 0) return static_cast<uint16_t>(random[2]);
    static constexpr int kMoves[] = {-2, -1, 1, 2};
    return static_cast<uint16_t>(word + kMoves[random[2] % 4]);
  });
}

WeightSnapshot::Ptr WithVersion(const WeightSnapshot& snapshot, PolicyVersion version) {
  return FromBytes(snapshot.layout_ptr(), version, std::string(snapshot.bytes()));
}

WeightSnapshot::Ptr FromBytes(WeightLayout::Ptr layout, PolicyVersion version,
                              const std::string& bytes) {
  auto owner = std::make_shared<const std::string>(bytes);
  std::shared_ptr<const char> data(owner, owner->data());
  return WeightSnapshot::Create(version, std::move(layout), std::move(data), 1);
}

PolicyVersion UniformVersion(const WeightSnapshot& snapshot) {
  const uint16_t expected = static_cast<uint16_t>(snapshot.version());
  for (size_t t = 0; t < snapshot.layout().tensors().size(); ++t) {
    const std::string bytes(snapshot.tensor(t));
    for (size_t i = 0; i < bytes.size() / 2; ++i) {
      if (Word(bytes, i) != expected) return -1;
    }
  }
  return snapshot.version();
}

}  // namespace ziprl
