// Where the rows of a text file begin and end, found without parsing them. A scanner is fed the
// text piece by piece, from the file's begin or from the begin of any row.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace ziprl {

struct RowSpan {
  uint64_t begin = 0, end = 0;  // bytes of the file
  int64_t line = 0;             // on which it begins, counted from 1 where the scanner began
};

class RowScanner {
 public:
  virtual ~RowScanner() = default;

  // Appends the rows that end within `text`, which stands at `offset` of the file, right behind
  // what came before. InvalidArgument names the byte that can stand in no such file.
  virtual absl::Status Scan(std::string_view text, uint64_t offset, std::vector<RowSpan>& rows) = 0;

  // The file ends at `size`: appends a last row, or says what is left open.
  virtual absl::Status End(uint64_t size, std::vector<RowSpan>& rows) = 0;
};

// A row a line; lines of blanks are no rows.
std::unique_ptr<RowScanner> MakeLineScanner();

// The records of a table of tab-separated values, its header the first. A field may stand in double
// quotes, a quote within them doubled; then it may hold tabs and line ends. Blank lines are no
// rows.
std::unique_ptr<RowScanner> MakeTableScanner();

// The elements of one JSON array. `within`: from the begin of an element on, instead of from '['.
std::unique_ptr<RowScanner> MakeArrayScanner(bool within);

}  // namespace ziprl
