// Log lines for people, on stderr: time, level, text. stdout belongs to a command's output.
// Thread-safe. The level is ZIPRL_LOG_LEVEL (debug | info | warn | error | off) or SetLogLevel;
// info by default.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace ziprl {

void LogDebug(std::string_view message);
void LogInfo(std::string_view message);
void LogWarn(std::string_view message);
void LogError(std::string_view message);

// debug | info | warn | error | off; anything else is an error and changes nothing.
absl::Status SetLogLevel(std::string_view level);

}  // namespace ziprl
