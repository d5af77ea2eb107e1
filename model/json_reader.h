// Typed reads from one JSON object with errors that name file, key, value and what is allowed. The
// first error is kept; later reads return defaults, so a caller reads everything and checks once.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ziprl {

class JsonReader {
 public:
  // `object` must outlive the reader. `where` is what errors begin with, e.g. "m/config.json:
  // text_config".
  JsonReader(const nlohmann::json& object, std::string where);

  bool Has(const char* key) const;  // present and not null
  const nlohmann::json& At(const char* key) const;

  // Required when no fallback is given. The value must lie in [min, max].
  int Int(const char* key, int min, int max = INT32_MAX);
  int Int(const char* key, int min, int max, int fallback);
  double Number(const char* key, double fallback);
  bool Bool(const char* key, bool fallback);
  std::string String(const char* key, const std::string& fallback);
  std::vector<int> IntList(const char* key);  // empty when absent

  // Refuses any present value but `allowed` (an option this program does not implement).
  void RequireIfPresent(const char* key, const nlohmann::json& allowed);

  void Fail(const std::string& message);
  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json& object_;
  std::string where_;
  absl::Status status_;
};

// Parses text; errors name `where`, line and column.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const std::string& where);

}  // namespace ziprl
