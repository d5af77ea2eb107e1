// Typed reads from one JSON object with errors that name file, key, value and what is allowed. The
// first error is kept; later reads return defaults, so a caller reads everything and checks once.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
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

  // Refuses, by name, a key that no call has asked for (here or of `other`, a reader of the same
  // object) and that `harmless` does not list: an option this program does not know. Keys that
  // begin with "_" and values that switch nothing on (null, false, empty) pass.
  void RefuseUnread(std::span<const std::string_view> harmless, const JsonReader* other = nullptr);

  void Fail(const std::string& message);
  void Take(const absl::Status& status);  // an error of a reader of a part
  const std::string& where() const { return where_; }
  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json& object_;
  std::string where_;
  mutable std::set<std::string, std::less<>> asked_;
  absl::Status status_;
};

// Brackets open at once, those in texts left out. Deep values overflow the stack of what walks
// them.
int JsonNesting(std::string_view text);
inline constexpr int kMaxJsonNesting = 256;

// Parses text, at most kMaxJsonNesting deep; errors name `where`, line and column.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const std::string& where);

}  // namespace ziprl
