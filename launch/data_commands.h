// `ziprl data check` and `ziprl data preview`: their arguments and what they do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace ziprl {

// Arguments that both take: files, and data.KEY=VALUE among them.
struct DataArguments {
  std::vector<std::string> files;
  std::string model;
};
void AddDataArguments(CLI::App& command, DataArguments& arguments);

struct CheckArguments : DataArguments {
  bool sft = false;
  int threads = 0;
};
// A JSON object per bad row to stdout, the summary to stderr. FailedPrecondition where any is bad.
absl::Status CheckData(const CheckArguments& arguments);

struct PreviewArguments : DataArguments {
  std::string out;
  int64_t rows = 20;
};
absl::Status PreviewData(const PreviewArguments& arguments);

}  // namespace ziprl
