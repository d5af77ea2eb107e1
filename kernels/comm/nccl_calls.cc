#include "kernels/comm/nccl_calls.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"

namespace ziprl::comm {
namespace {

// A waiting thread first yields, then sleeps: host threads share cores with the caller's work.
constexpr int kYields = 100;
constexpr std::chrono::microseconds kNap{20};

void Rest(int polls) {
  if (polls < kYields) return std::this_thread::yield();
  std::this_thread::sleep_for(kNap);
}

}  // namespace

absl::Status NcclStatus(const NcclApi& api, int result, std::string_view what) {
  if (result == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      std::string(what), ": ", result < kCudaErrors ? "NCCL" : "CUDA", " error ",
      result < kCudaErrors ? result : result - kCudaErrors, ": ", api.error_text(result)));
}

NcclHandle::~NcclHandle() {
  if (comm_ != nullptr) api_.comm_destroy(comm_);
}

void NcclHandle::Abort() {
  if (comm_ != nullptr) api_.comm_abort(comm_);
  comm_ = nullptr;
}

absl::Status NcclHandle::Fail(absl::Status status) {
  Abort();
  return status;
}

absl::Status NcclHandle::Init(int ranks, const std::string& id, int rank, SteadyTime expires) {
  return Settle(api_.comm_init(&comm_, ranks, id.data(), rank), "ncclCommInitRankConfig", expires);
}

absl::Status NcclHandle::Settle(int result, std::string_view what, SteadyTime expires) {
  for (int polls = 0; result == kNcclInProgress; ++polls) {
    if (const int failed = api_.comm_state(comm_, &result); failed != 0) result = failed;
    if (result != kNcclInProgress) break;
    if (std::chrono::steady_clock::now() >= expires) {
      return Fail(absl::DeadlineExceededError(absl::StrCat(
          std::string(what), ": NCCL was still in progress at the deadline, aborted")));
    }
    Rest(polls);
  }
  if (result == 0) return absl::OkStatus();
  return Fail(NcclStatus(api_, result, what));
}

absl::Status NcclHandle::WaitFor(void* event, std::string_view what, SteadyTime expires) {
  for (int polls = 0;; ++polls) {
    const int done = api_.event_query(event);
    if (done != 0 && done != kCudaNotReady) return Fail(NcclStatus(api_, done, what));
    int state = 0;
    const int failed = comm_ != nullptr ? api_.comm_state(comm_, &state) : 0;
    if (failed != 0 || (state != 0 && state != kNcclInProgress)) {
      return Fail(NcclStatus(api_, failed != 0 ? failed : state, what));
    }
    if (done == 0) return absl::OkStatus();
    if (std::chrono::steady_clock::now() >= expires) {
      return Fail(absl::DeadlineExceededError(
          absl::StrCat(std::string(what),
                       ": every rank arrived, but the GPUs did not finish by "
                       "the deadline; NCCL aborted")));
    }
    Rest(polls);
  }
}

}  // namespace ziprl::comm
