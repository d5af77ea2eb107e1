#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "model/tokenizer.h"
#include "model/unicode.h"

namespace ziprl {
namespace {

using nlohmann::json;

absl::StatusOr<std::string> EncodeLine(const Tokenizer& tokenizer, const json& line) {
  if (!line.is_string()) return absl::InvalidArgumentError("not a JSON string");
  return json(tokenizer.Encode(line.get_ref<const std::string&>())).dump();
}

absl::StatusOr<std::string> DecodeLine(const Tokenizer& tokenizer, const json& line) {
  const auto is_id = [&](const json& id) {
    return id.is_number_integer() && id.get<int64_t>() >= 0 &&
           id.get<int64_t>() < tokenizer.vocab_size();
  };
  if (!line.is_array() || !std::all_of(line.begin(), line.end(), is_id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a JSON list of ids from 0 to ", tokenizer.vocab_size() - 1));
  }
  return json(tokenizer.Decode(line.get<std::vector<int32_t>>(), false)).dump();
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
      // Bytes that are no UTF-8 are read as U+FFFD, as Rust's from_utf8_lossy does.
      const json parsed = json::parse(ReplaceInvalidUtf8(line), nullptr, false);
      const auto converted =
          decode ? DecodeLine(*tokenizer, parsed) : EncodeLine(*tokenizer, parsed);
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
