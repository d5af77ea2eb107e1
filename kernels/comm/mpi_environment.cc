#include <cstdlib>

#include "absl/strings/numbers.h"
#include "kernels/comm/mpi.h"

namespace ziprl::comm {
namespace {

// The number in an environment variable, 0 when there is none.
int Number(const char* name) {
  const char* text = std::getenv(name);
  int value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : 0;
}

}  // namespace

LaunchEnvironment ReadLaunchEnvironment() {
  if (Number("OMPI_COMM_WORLD_SIZE") > 0) {
    return {Number("OMPI_COMM_WORLD_SIZE"), "mpirun", true};
  }
  const int tasks = Number("SLURM_STEP_NUM_TASKS");
  if (std::getenv("PMIX_RANK") != nullptr) {
    return {tasks > 0 ? tasks : 1, tasks > 0 ? "srun --mpi=pmix" : "a PMIx launcher", true};
  }
  if (tasks > 1 && std::getenv("SLURM_PROCID") != nullptr) {
    return {tasks, "srun without PMIx", false};
  }
  return {};
}

}  // namespace ziprl::comm
