#include "kernels/selftest.h"

#include <iterator>

#include "absl/strings/str_format.h"
#include "kernels/cuda_plugin.h"
#include "kernels/cuda_table.h"
#include "kernels/selftest_cases.h"

namespace ziprl::kernels {

std::vector<SelfTestCase> SelfTestCases() {
  std::vector<SelfTestCase> cases;
  for (auto family : {AttentionSelfTests(), SelectionSelfTests(), TokenSelfTests()}) {
    std::move(family.begin(), family.end(), std::back_inserter(cases));
  }
  return cases;
}

int RunSelfTest(const CudaTable& table, const std::vector<SelfTestCase>& cases, std::ostream& out) {
  int failed = 0;
  for (const SelfTestCase& test : cases) {
    const SelfTestResult result = test.run(table);
    failed += !result.ok();
    out << absl::StrFormat("%s %-36s deviation %.2e, allowed %.0e\n",
                           result.ok() ? "ok    " : "FAILED", test.name, result.error,
                           result.tolerance);
  }
  return failed;
}

int RunCudaSelfTest(std::ostream& out) {
  const absl::StatusOr<const CudaTable*> table = LoadCudaTable();
  const std::vector<SelfTestCase> cases = SelfTestCases();
  const bool device = table.ok() && (*table)->device_count() > 0;
  if (!device) {
    const std::string reason =
        table.ok() ? "no CUDA device" : std::string(table.status().message());
    for (const SelfTestCase& test : cases) {
      out << "SKIPPED " << test.name << ": " << reason << "\n";
    }
    out << "selftest: skipped (" << reason << ")\n";
    return 0;
  }
  char name[256];
  (*table)->device_name(name, sizeof name);
  const int failed = RunSelfTest(**table, cases, out);
  out << absl::StrFormat("selftest: %d of %d cases failed on %s, device 1 of %d\n", failed,
                         cases.size(), name, (*table)->device_count());
  return failed == 0 ? 0 : 1;
}

}  // namespace ziprl::kernels
