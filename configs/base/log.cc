#include "configs/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"

namespace ziprl {
namespace {

std::optional<spdlog::level::level_enum> ParseLevel(std::string_view level) {
  static const std::map<std::string_view, spdlog::level::level_enum> levels = {
      {"debug", spdlog::level::debug}, {"info", spdlog::level::info}, {"warn", spdlog::level::warn},
      {"error", spdlog::level::err},   {"off", spdlog::level::off},
  };
  const auto found = levels.find(level);
  if (found == levels.end()) return std::nullopt;
  return found->second;
}

spdlog::logger& Logger() {
  // Never destroyed: other threads and static destructors may still log.
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("ziprl", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%H:%M:%S %l %v");
    made->flush_on(spdlog::level::debug);
    if (const char* level = std::getenv("ZIPRL_LOG_LEVEL")) {
      made->set_level(ParseLevel(level).value_or(spdlog::level::info));
    }
    return made;
  }();
  return *logger;
}

void Log(spdlog::level::level_enum level, std::string_view message) {
  Logger().log(level, spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace

void LogDebug(std::string_view message) { Log(spdlog::level::debug, message); }
void LogInfo(std::string_view message) { Log(spdlog::level::info, message); }
void LogWarn(std::string_view message) { Log(spdlog::level::warn, message); }
void LogError(std::string_view message) { Log(spdlog::level::err, message); }

absl::Status SetLogLevel(std::string_view level) {
  const auto parsed = ParseLevel(level);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("log level '",
                                                   absl::string_view(level.data(), level.size()),
                                                   "': must be debug, info, warn, error or off"));
  }
  Logger().set_level(*parsed);
  return absl::OkStatus();
}

}  // namespace ziprl
