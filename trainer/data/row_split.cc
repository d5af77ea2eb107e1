#include "trainer/data/row_split.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "trainer/data/row_json.h"
#include "trainer/data/row_set.h"

namespace ziprl {
namespace {

constexpr uint64_t kSeed = 0x5a495052;  // the split is the same in every run
constexpr int64_t kRun = 1024;          // rows read at a time

struct Found {
  std::vector<int64_t> rows;
  absl::Status status;
};

// Of the rows [begin, begin + count).
Found Look(const RowSet& rows, const RowSplit& split, int64_t begin, int64_t count) {
  const std::vector<std::string> columns = {split.key, split.key.substr(0, split.key.find('.'))};
  Found found;
  for (int64_t row = begin; row < begin + count;) {
    const RowSet::Place place = rows.PlaceOf(row);
    const RowFile::Rows read = place.file->ReadMany(place.row, begin + count - row, columns);
    for (size_t i = 0; i < read.size(); ++i, ++row) {
      const auto held = read[i].ok() ? IsHeldOut(*read[i], split) : read[i].status();
      if (!held.ok()) {
        found.status = place.file->InRow(held.status(), place.row + static_cast<int64_t>(i));
        return found;
      }
      if (*held) found.rows.push_back(row);
    }
  }
  return found;
}

}  // namespace

absl::StatusOr<bool> IsHeldOut(const nlohmann::json& row, const RowSplit& split) {
  const nlohmann::json* value = FindValue(row, split.key);
  if (value == nullptr) return BadColumn(split.key, "no column '%s' to split by", split.key);
  const std::string text = JsonText(*value);
  const uint64_t hash = XXH3_64bits_withSeed(text.data(), text.size(), kSeed);
  return static_cast<double>(hash >> 11) * 0x1p-53 < split.val_fraction;
}

absl::StatusOr<std::vector<int64_t>> HeldOutRows(const RowSet& rows, const RowSplit& split,
                                                 int threads) {
  std::vector<int64_t> begins;
  int64_t begin = 0;
  for (const RowFile::Unit& unit : rows.units()) {
    for (int64_t at = 0; at<unit.rows; at += unit.bytes> 0 ? unit.rows : kRun) {
      begins.push_back(begin + at);
    }
    begin += unit.rows;
  }
  begins.push_back(rows.rows());
  const int runs = static_cast<int>(begins.size()) - 1;
  std::vector<Found> found(static_cast<size_t>(runs));
  ParallelUnits(runs, threads, [&](int run, int) {
    const auto i = static_cast<size_t>(run);
    found[i] = Look(rows, split, begins[i], begins[i + 1] - begins[i]);
  });
  std::vector<int64_t> held;
  for (const Found& part : found) {
    ZIPRL_RETURN_IF_ERROR(part.status);
    held.insert(held.end(), part.rows.begin(), part.rows.end());
  }
  if (!held.empty()) return held;
  return absl::NotFoundError(absl::StrFormat(
      "data.val_fraction = %g of the values of column '%s' holds out none of %d rows",
      split.val_fraction, split.key, rows.rows()));
}

}  // namespace ziprl
