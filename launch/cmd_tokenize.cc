#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "model/tokenizer.h"

namespace ziprl {
namespace {

absl::StatusOr<std::string> ConvertLine(const Tokenizer& tokenizer, const std::string& line,
                                        bool decode) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  try {
    if (decode) {
      const std::string text = tokenizer.Decode(json.get<std::vector<int32_t>>(), false);
      return nlohmann::json(text).dump();
    }
    return nlohmann::json(tokenizer.Encode(json.get<std::string>())).dump();
  } catch (const nlohmann::json::exception&) {
    return absl::InvalidArgumentError(decode ? "not a JSON list of ids" : "not a JSON string");
  }
}

}  // namespace

int RunTokenize(const Args& args) {
  CLI::App app(
      "Reads a JSON string per line from stdin, prints a JSON list of ids per line.\n"
      "Example: echo '\"a red circle\"' | ziprl tokenize MODEL",
      "ziprl tokenize");
  std::string model;
  bool decode = false;
  app.add_option("model", model, "directory with tokenizer.json")->required();
  app.add_flag("--decode", decode, "the other way: lists of ids to strings");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(model + "/tokenizer.json"));
    std::string line;
    for (int64_t number = 1; std::getline(std::cin, line); ++number) {
      const auto converted = ConvertLine(*tokenizer, line, decode);
      if (!converted.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("line ", number, ": ", converted.status().message()));
      }
      std::cout << *converted << "\n";
    }
    return absl::OkStatus();
  });
}

}  // namespace ziprl
