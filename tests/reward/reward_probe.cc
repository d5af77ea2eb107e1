// reward_probe ENDPOINT TOKEN_FILE: scores three completions of one prompt, then one of a prompt
// without an answer, at a reward service; prints one line "STATUS ACCURACY" each.
#include <iostream>

#include "reward/reward_client.h"

namespace ziprl {
namespace {

const char* NameOf(ScoreStatus status) {
  switch (status) {
    case ScoreStatus::kScored:
      return "SCORED";
    case ScoreStatus::kInvalid:
      return "INVALID";
    case ScoreStatus::kFailed:
      return "FAILED";
    case ScoreStatus::kTimeout:
      return "TIMEOUT";
  }
  return "";
}

int Run(const std::string& endpoint, const std::string& token_file) {
  const auto security = ReadRpcSecurity("", token_file);
  RewardConfig config;
  config.endpoints = {endpoint};
  const auto score = security.ok() ? MakeRemoteScorer(config, *security) : security.status();
  if (!score.ok()) {
    std::cerr << score.status() << "\n";
    return 1;
  }
  Prompt prompt;
  prompt.answer = "Grün";
  std::vector<Completion> completions(3);
  completions[0].text = "It is grün.";
  completions[1].text = "red";
  completions[2].text = "gr\xc3";  // half a character
  std::vector<Score> scores = (*score)(prompt, completions);
  prompt.answer.clear();
  scores.push_back((*score)(prompt, {completions[0]})[0]);
  for (const Score& s : scores) {
    const auto accuracy = s.components.find("accuracy");
    std::cout << NameOf(s.status) << " " << (accuracy == s.components.end() ? -1 : accuracy->second)
              << "\n";
    if (!s.error.empty()) std::cerr << s.error << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return ziprl::Run(argv[1], argv[2]);
}
