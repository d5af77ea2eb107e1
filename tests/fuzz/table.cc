// A table of tab-separated values: its records are those of the same bytes in two pieces, and a
// field written is the field read. Fields are lists of texts too.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "trainer/benchmarks/text_rules.h"
#include "trainer/data/row_scanner.h"
#include "trainer/data/table_record.h"

namespace {

std::vector<ziprl::RowSpan> Scan(std::string_view text, size_t cut) {
  std::vector<ziprl::RowSpan> spans;
  const auto scanner = ziprl::MakeTableScanner();
  scanner->Scan(text.substr(0, cut), 0, spans).IgnoreError();
  scanner->Scan(text.substr(cut), cut, spans).IgnoreError();
  scanner->End(text.size(), spans).IgnoreError();
  return spans;
}

void Require(bool kept) {
  if (!kept) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto whole = Scan(text, 0), pieces = Scan(text, size / 3);
  Require(whole.size() == pieces.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    Require(whole[i].begin == pieces[i].begin && whole[i].end == pieces[i].end);
    Require(whole[i].line == pieces[i].line && whole[i].begin < whole[i].end);
    const auto fields =
        ziprl::SplitRecord(text.substr(whole[i].begin, whole[i].end - whole[i].begin));
    std::string record;
    for (const std::string& field : fields) {
      absl::StrAppend(&record, record.empty() && &field == &fields[0] ? "" : "\t",
                      ziprl::TableField(field));
      ziprl::ParseTextList(field).IgnoreError();
      (void)ziprl::PythonFloat(field);
    }
    Require(ziprl::SplitRecord(record) == fields);
    const auto again = Scan(record + "\n", 0);
    Require(again.size() <= 1);
  }
  return 0;
}
