#include "configs/load.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "configs/base/files.h"
#include "configs/base/nearest.h"
#include "configs/base/status_macros.h"
#include "configs/fields.h"

namespace ziprl {
namespace {

// One value as it was written: scalars as text, and where it stood ("run.yaml:12", "override").
struct Setting {
  std::vector<std::string> items;
  bool is_list = false;
  std::string where;
};
using Settings = std::map<std::string, Setting>;  // by full key

absl::Status ErrorAt(const std::string& where, const std::string& text) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", text));
}

std::vector<std::string> AllKeys() {
  std::vector<std::string> keys;
  const RunConfig config;
  VisitFields(config,
              [&](const std::string& key, const auto&, const FieldSpec&) { keys.push_back(key); });
  return keys;
}

// Sections are the keys' prefixes: "actor", "actor.optim".
bool IsSection(const std::string& name) {
  for (const std::string& key : AllKeys()) {
    if (absl::StartsWith(key, name + ".")) return true;
  }
  return false;
}

absl::Status CheckKey(const std::string& where, const std::string& key) {
  std::vector<std::string> names = AllKeys();
  if (std::find(names.begin(), names.end(), key) != names.end()) return absl::OkStatus();
  if (IsSection(key)) {
    return ErrorAt(where, absl::StrCat("'", key, "' is a section: it holds keys, not a value"));
  }
  std::set<std::string> sections;
  for (const std::string& name : names) sections.insert(name.substr(0, name.find('.')));
  if (key.find('.') == std::string::npos) names.assign(sections.begin(), sections.end());
  return ErrorAt(
      where, absl::StrCat("unknown key '", key, "'; the nearest is '", Nearest(key, names), "'"));
}

// ---- reading YAML ----

class YamlReader {
 public:
  YamlReader(std::string path, Settings& settings) : path_(std::move(path)), settings_(settings) {}

  absl::Status Read(const std::string& text) {
    try {
      const std::vector<YAML::Node> documents = YAML::LoadAll(text);
      if (documents.size() > 1) {
        return ErrorAt(Where(documents[1]), "a second YAML document; a config is one");
      }
      if (documents.empty()) return absl::OkStatus();
      return ReadSection("", documents[0]);
    } catch (const YAML::Exception& e) {
      return ErrorAt(absl::StrCat(path_, ":", e.mark.line + 1),
                     absl::StrCat("broken YAML: ", e.msg));
    }
  }

 private:
  std::string Where(const YAML::Node& node) const {
    return absl::StrCat(path_, ":", node.Mark().line + 1);
  }

  absl::Status ReadSection(const std::string& prefix, const YAML::Node& node) {
    if (node.IsNull()) return absl::OkStatus();
    if (!node.IsMap()) {
      return ErrorAt(Where(node), prefix.empty() ? "a config is a map of keys"
                                                 : absl::StrCat("'", prefix,
                                                                "' is a section: it "
                                                                "holds keys, not a value"));
    }
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return ErrorAt(Where(entry.first), "a key must be a word");
      const std::string key = absl::StrCat(prefix, prefix.empty() ? "" : ".", entry.first.Scalar());
      ZIPRL_RETURN_IF_ERROR(entry.second.IsMap() || IsSection(key)
                                ? ReadSubsection(key, entry.first, entry.second)
                                : ReadValue(key, entry.first, entry.second));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSubsection(const std::string& key, const YAML::Node& at,
                              const YAML::Node& value) {
    if (!seen_sections_.insert(key).second) {
      return ErrorAt(Where(at), absl::StrCat("section '", key, "' stands twice"));
    }
    if (!IsSection(key) && value.size() == 0) return CheckKey(Where(at), key);
    return ReadSection(key, value);
  }

  absl::Status ReadValue(const std::string& key, const YAML::Node& at, const YAML::Node& value) {
    ZIPRL_RETURN_IF_ERROR(CheckKey(Where(at), key));
    Setting setting;
    setting.where = Where(at);
    if (value.IsScalar()) setting.items.push_back(value.Scalar());
    if (value.IsSequence()) {
      setting.is_list = true;
      for (const YAML::Node& item : value) {
        if (!item.IsScalar()) {
          return ErrorAt(Where(item), absl::StrCat("'", key, "' must be a list of plain values"));
        }
        setting.items.push_back(item.Scalar());
      }
    }
    const auto [old, inserted] = settings_.emplace(key, setting);
    if (inserted) return absl::OkStatus();
    return ErrorAt(setting.where,
                   absl::StrCat("'", key, "' stands twice, first at ", old->second.where));
  }

  const std::string path_;
  Settings& settings_;
  std::set<std::string> seen_sections_;
};

// "[a, b]" and quoted text are YAML; "a,b" is a list where the key is one; anything else is the
// text.
absl::StatusOr<Setting> ParseOverrideValue(const std::string& key, const std::string& text) {
  Setting setting;
  setting.where = absl::StrCat("override '", key, "=", text, "'");
  if (text.empty()) return setting;
  if (text[0] != '[' && text[0] != '"' && text[0] != '\'') {
    setting.items.push_back(text);
    return setting;
  }
  Settings parsed;
  ZIPRL_RETURN_IF_ERROR(
      YamlReader(setting.where, parsed).Read(absl::StrCat("{", key, ": ", text, "}")));
  setting.items = parsed[key].items;
  setting.is_list = parsed[key].is_list;
  return setting;
}

absl::Status ApplyOverride(const std::string& override_text, Settings& settings) {
  const size_t equals = override_text.find('=');
  if (equals == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("override '", override_text, "': must be key=value"));
  }
  const std::string key = override_text.substr(0, equals);
  ZIPRL_RETURN_IF_ERROR(CheckKey(absl::StrCat("override '", override_text, "'"), key));
  ZIPRL_ASSIGN_OR_RETURN(settings[key], ParseOverrideValue(key, override_text.substr(equals + 1)));
  return absl::OkStatus();
}

// ---- text -> typed fields ----

bool ParseScalar(const std::string& text, std::string& out) {
  out = text;
  return true;
}
bool ParseScalar(const std::string& text, bool& out) {
  out = text == "true";
  return out || text == "false";
}
bool ParseScalar(const std::string& text, int& out) { return absl::SimpleAtoi(text, &out); }
bool ParseScalar(const std::string& text, int64_t& out) { return absl::SimpleAtoi(text, &out); }
bool ParseScalar(const std::string& text, double& out) { return absl::SimpleAtod(text, &out); }

const char* TypeName(const std::string&) { return "one text"; }
const char* TypeName(const bool&) { return "true or false"; }
const char* TypeName(const int&) { return "a 32-bit whole number"; }
const char* TypeName(const int64_t&) { return "a whole number"; }
const char* TypeName(const double&) { return "a number"; }

class FieldSetter {
 public:
  explicit FieldSetter(const Settings& settings) : settings_(settings) {}

  template <typename T>
  void operator()(const std::string& key, T& field, const FieldSpec&) {
    const Setting* setting = Find(key);
    if (setting == nullptr) return;
    if (std::is_same_v<T, std::string> && setting->items.empty() && !setting->is_list) {
      field = T();  // "key:" and "key=" empty a text
      return;
    }
    if (setting->is_list || setting->items.size() != 1 || !ParseScalar(setting->items[0], field)) {
      Fail(key, *setting, TypeName(field));
    }
  }

  template <typename T>
  void operator()(const std::string& key, std::vector<T>& field, const FieldSpec&) {
    const Setting* setting = Find(key);
    if (setting == nullptr) return;
    std::vector<std::string> items = setting->items;
    if (!setting->is_list && items.size() == 1) items = absl::StrSplit(items[0], ',');
    field.assign(items.size(), T());
    for (size_t i = 0; i < items.size(); ++i) {
      if (!setting->is_list) absl::StripAsciiWhitespace(&items[i]);
      if (!ParseScalar(items[i], field[i])) {
        Fail(key, *setting, absl::StrCat("a list of which each is ", TypeName(field[i])));
      }
    }
  }

  const absl::Status& status() const { return status_; }

 private:
  const Setting* Find(const std::string& key) const {
    const auto found = settings_.find(key);
    return found == settings_.end() ? nullptr : &found->second;
  }

  void Fail(const std::string& key, const Setting& setting, const std::string& expected) {
    if (!status_.ok()) return;
    const std::string given = absl::StrJoin(setting.items, ", ");
    status_ = ErrorAt(setting.where, absl::StrCat("'", key, "' must be ", expected, ", not ",
                                                  setting.is_list ? "[" : "'", given,
                                                  setting.is_list ? "]" : "'"));
  }

  const Settings& settings_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<RunConfig> LoadRunConfig(const std::string& path,
                                        const std::vector<std::string>& overrides) {
  Settings settings;
  if (!path.empty()) {
    ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    ZIPRL_RETURN_IF_ERROR(YamlReader(path, settings).Read(text));
  }
  for (const std::string& override_text : overrides) {
    ZIPRL_RETURN_IF_ERROR(ApplyOverride(override_text, settings));
  }
  RunConfig config;
  FieldSetter setter(settings);
  VisitFields(config, setter);
  ZIPRL_RETURN_IF_ERROR(setter.status());
  if (const auto error = FindInvalidField(config)) {
    const auto origin = settings.find(error->key);
    return ErrorAt(origin == settings.end() ? "config" : origin->second.where, error->text);
  }
  return config;
}

}  // namespace ziprl
