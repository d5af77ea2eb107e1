#include "launch/data_commands.h"

#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "configs/base/files.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "configs/load.h"
#include "model/processor.h"
#include "trainer/data/row_check.h"
#include "trainer/data/row_preview.h"
#include "trainer/progress.h"

namespace ziprl {
namespace {

struct DataInput {
  std::vector<std::string> files;
  DataConfig data;
  std::unique_ptr<Processor> processor;  // null without a model
};

absl::StatusOr<DataInput> Open(const DataArguments& arguments) {
  DataInput input;
  std::vector<std::string> overrides;
  for (const std::string& argument : arguments.files) {
    const bool override_text =
        absl::StartsWith(argument, "data.") && absl::StrContains(argument, '=');
    (override_text ? overrides : input.files).push_back(argument);
  }
  ZIPRL_ASSIGN_OR_RETURN(const RunConfig config, LoadRunConfig("", overrides));
  input.data = config.data;
  if (arguments.model.empty()) return input;
  ZIPRL_ASSIGN_OR_RETURN(input.processor, Processor::Load(arguments.model));
  LimitPixels(input.data, *input.processor);
  return input;
}

}  // namespace

void AddDataArguments(CLI::App& command, DataArguments& arguments) {
  command.add_option("files", arguments.files, "row files or globs, and data.KEY=VALUE settings")
      ->required();
  command.add_option("--model", arguments.model, "Hugging Face directory, for prompt lengths");
}

absl::Status CheckData(const CheckArguments& arguments) {
  ZIPRL_ASSIGN_OR_RETURN(const DataInput input, Open(arguments));
  RowCheck check;
  check.files = input.files;
  check.format = input.data.format;
  check.row = RowOptionsOf(input.data);
  check.questions = arguments.sft;
  check.row.require_answer = !arguments.sft;
  if (input.processor != nullptr) check.encode = EncodeWith(*input.processor);
  check.max_prompt_length = input.data.max_prompt_length;
  check.threads = ResolveThreads(arguments.threads);
  std::optional<Progress> progress;
  int64_t bad = 0;
  check.on_bad = [&bad](const BadRow& row) {
    ++bad;
    std::cout << BadRowJson(row) << "\n";
  };
  if (isatty(STDERR_FILENO) == 1) {
    check.on_progress = [&](int64_t done, int64_t rows) {
      if (!progress.has_value()) progress.emplace("check", 0, rows);
      progress->Update(done, absl::StrCat(bad, " bad"));
    };
  }
  ZIPRL_ASSIGN_OR_RETURN(const RowCheckSummary summary, CheckRows(check));
  if (progress.has_value()) progress->Finish();
  std::cout.flush();
  const std::string counts = absl::StrFormat(
      "%d files, %d rows, %d bad%s", summary.files, summary.rows, summary.bad,
      input.processor == nullptr ? ""
                                 : absl::StrFormat(", %d prompts over data.max_prompt_length = %d",
                                                   summary.too_long, input.data.max_prompt_length));
  if (summary.bad > 0) return absl::FailedPreconditionError(counts);
  std::cerr << counts << "\n";
  return absl::OkStatus();
}

absl::Status PreviewData(const PreviewArguments& arguments) {
  ZIPRL_ASSIGN_OR_RETURN(const DataInput input, Open(arguments));
  RowPreview preview;
  preview.files = input.files;
  preview.format = input.data.format;
  preview.row = RowOptionsOf(input.data);
  preview.row.require_answer = false;
  preview.rows = arguments.rows;
  if (input.processor != nullptr) preview.encode = EncodeWith(*input.processor);
  ZIPRL_ASSIGN_OR_RETURN(const std::string page, PreviewPage(preview));
  return WriteFileAtomically(arguments.out, page);
}

}  // namespace ziprl
