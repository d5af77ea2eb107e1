// Every CUDA kernel against its CPU reference, on random inputs: `ziprl selftest --cuda`, and in
// tests the same cases through the host shim.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

namespace ziprl::kernels {

struct CudaTable;

struct SelfTestResult {
  double error = 0.0;      // greatest deviation from the CPU, in units of the greatest CPU value
  double tolerance = 0.0;  // 0: must be equal
  bool ok() const { return error <= tolerance; }
};

struct SelfTestCase {
  std::string name;  // op and shape: letters, digits and _
  std::function<SelfTestResult(const CudaTable&)> run;
};

// All cases, every op at least once, in a fixed order.
std::vector<SelfTestCase> SelfTestCases();

// Runs the cases, one line each to `out`; returns how many disagree.
int RunSelfTest(const CudaTable& table, const std::vector<SelfTestCase>& cases, std::ostream& out);

// The command: loads the CUDA backend and runs all cases. Without backend or device it writes one
// SKIPPED line per case with the reason and "selftest: skipped". Returns the exit code: 1 only when
// a case disagrees.
int RunCudaSelfTest(std::ostream& out);

}  // namespace ziprl::kernels
