#include "trainer/data/row_order.h"

#include <algorithm>

#include "configs/base/counter_rng.h"

namespace ziprl {
namespace {

// Words that keep the seeds of units and windows apart.
constexpr uint32_t kUnits = 1, kWindow = 2;

int64_t RowsOf(const std::vector<RowFile::Unit>& units) {
  int64_t rows = 0;
  for (const RowFile::Unit& unit : units) rows += unit.rows;
  return rows;
}

int64_t BytesOf(const std::vector<RowFile::Unit>& units) {
  int64_t bytes = 0;
  for (const RowFile::Unit& unit : units) bytes += unit.bytes;
  return bytes;
}

int64_t SeedOf(int64_t seed, uint64_t number, uint32_t use) {
  return static_cast<int64_t>(DeriveSeed(static_cast<uint64_t>(seed), number, use));
}

// The last of `items` (by place) that begins at `place` or before.
template <typename Item>
const Item& Before(const std::vector<Item>& items, int64_t place) {
  const auto behind =
      std::upper_bound(items.begin(), items.end(), place,
                       [](int64_t wanted, const Item& item) { return wanted < item.place; });
  return *(behind - 1);
}

}  // namespace

RowOrder::RowOrder(const std::vector<RowFile::Unit>& units, int64_t window_bytes, int64_t seed,
                   int64_t epoch)
    : whole_(RowsOf(units), seed, epoch) {
  if (BytesOf(units) > window_bytes) CutWindows(units, window_bytes, seed, epoch);
}

void RowOrder::CutWindows(const std::vector<RowFile::Unit>& units, int64_t window_bytes,
                          int64_t seed, int64_t epoch) {
  std::vector<int64_t> first_rows;
  int64_t rows = 0;
  for (const RowFile::Unit& unit : units) {
    first_rows.push_back(rows);
    rows += unit.rows;
  }
  const EpochOrder shuffled(static_cast<int64_t>(units.size()), SeedOf(seed, 0, kUnits), epoch);
  int64_t place = 0, begin = 0, bytes = 0;
  const auto close = [&] {
    const int64_t window_seed = SeedOf(seed, windows_.size(), kWindow);
    windows_.push_back({begin, EpochOrder(place - begin, window_seed, epoch)});
    begin = place;
    bytes = 0;
  };
  for (size_t i = 0; i < units.size(); ++i) {
    const auto unit = static_cast<size_t>(shuffled.RowAt(static_cast<int64_t>(i)));
    if (place > begin && bytes + units[unit].bytes > window_bytes) close();
    runs_.push_back({place, first_rows[unit]});
    place += units[unit].rows;
    bytes += units[unit].bytes;
  }
  close();
}

int64_t RowOrder::RowAt(int64_t place) const {
  if (windows_.empty()) return whole_.RowAt(place);
  const Window& window = Before(windows_, place);
  const int64_t shuffled = window.place + window.order.RowAt(place - window.place);
  const Run& run = Before(runs_, shuffled);
  return run.row + shuffled - run.place;
}

}  // namespace ziprl
