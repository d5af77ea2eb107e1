#include <iostream>

#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "launch/report.h"

namespace ziprl {

int RunReport(const Args& args) {
  CLI::App app(
      "Puts a quickstart run's evaluations side by side: RUN/summary.json, the table on stdout "
      "and\n"
      "RUN/curve.gp, which gnuplot draws as RUN/curve.png.\n"
      "Example: ziprl report runs/quickstart",
      "ziprl report");
  std::string run;
  app.add_option("run", run, "the run's folder")->required();
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const auto summary, MakeSummary(run));
    ZIPRL_RETURN_IF_ERROR(WriteFileAtomically(run + "/summary.json", summary.dump(2) + "\n"));
    ZIPRL_RETURN_IF_ERROR(
        WriteFileAtomically(run + "/curve.gp", PlotProgram(summary, run + "/curve.png")));
    std::cout << SummaryTable(summary);
    return absl::OkStatus();
  });
}

}  // namespace ziprl
