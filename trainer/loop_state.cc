#include "trainer/loop_state.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ziprl {

absl::Status CheckSameRows(const LoopState& state, int64_t rows) {
  if (state.rows == 0 || state.rows == rows) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("data.train_files hold ", rows, " rows, at the checkpoint of step ", state.step,
                   " they held ", state.rows, ": a run goes on with the same rows only"));
}

std::string LoopStateToJson(const LoopState& state) {
  nlohmann::ordered_json out;
  out["step"] = state.step;
  out["position"] = state.position;
  out["rows"] = state.rows;
  out["bad_steps"] = state.bad_steps;
  if (state.best.has_value()) out["best"] = *state.best;
  return out.dump();
}

absl::StatusOr<LoopState> LoopStateFromJson(const std::string& text) {
  try {
    const nlohmann::json in = nlohmann::json::parse(text);
    LoopState state;
    state.step = in.at("step").get<int64_t>();
    state.position = in.at("position").get<uint64_t>();
    state.rows = in.value("rows", int64_t{0});
    state.bad_steps = in.at("bad_steps").get<int>();
    if (in.contains("best")) state.best = in.at("best").get<double>();
    return state;
  } catch (const nlohmann::json::exception& e) {
    return absl::DataLossError(absl::StrCat("loop state of the checkpoint: ", e.what()));
  }
}

}  // namespace ziprl
