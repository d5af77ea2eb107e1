#include "trainer/learner_state.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"

namespace ziprl {

absl::Status WriteLearnerCounters(const std::string& dir, const LearnerCounters& counters) {
  const nlohmann::ordered_json json = {
      {"steps", counters.steps}, {"skipped", counters.skipped}, {"version", counters.version}};
  return WriteFileAtomically(absl::StrCat(dir, "/learner.json"), json.dump(2) + "\n");
}

absl::StatusOr<LearnerCounters> ReadLearnerCounters(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/learner.json");
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    LearnerCounters out;
    json.at("steps").get_to(out.steps);
    json.at("skipped").get_to(out.skipped);
    json.at("version").get_to(out.version);
    return out;
  } catch (const nlohmann::json::exception& e) {
    return absl::DataLossError(absl::StrCat(path, ": ", e.what()));
  }
}

}  // namespace ziprl
