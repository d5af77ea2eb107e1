// RunConfigToYaml and DocumentedYaml of configs/load.h.
#include <charconv>
#include <type_traits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "configs/fields.h"
#include "configs/load.h"

namespace ziprl {
namespace {

// ---- values as YAML ----

// The shortest text that reads back to the same double.
std::string ToYaml(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return std::string(buffer, end);
}
std::string ToYaml(bool value) { return value ? "true" : "false"; }
std::string ToYaml(int value) { return absl::StrCat(value); }
std::string ToYaml(int64_t value) { return absl::StrCat(value); }

// Double-quoted, so that no text is taken for another type or for YAML syntax.
std::string ToYaml(const std::string& value) {
  std::string quoted = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&quoted, "\\x%02x", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

template <typename T>
std::string ToYaml(const std::vector<T>& values) {
  std::vector<std::string> items;
  for (const T& value : values) items.push_back(ToYaml(value));
  return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
}

// ---- documentation ----

template <typename T>
std::string Allowed(const T&, const FieldSpec& spec) {
  if (!spec.choices.empty()) {
    return absl::StrJoin(spec.choices, " | ",
                         [](std::string* out, std::string_view choice) { out->append(choice); });
  }
  if constexpr (std::is_same_v<T, bool>) return "true | false";
  return DescribeRange(spec);
}

std::string Comment(const std::string& allowed, const std::string& default_value,
                    const FieldSpec& spec) {
  std::string comment(spec.meaning);
  if (!allowed.empty()) absl::StrAppend(&comment, ". Allowed: ", allowed);
  return absl::StrCat(comment, ". Default: ", default_value);
}

// Default values in the list's order, so that printing needs no second list.
std::vector<std::string> DefaultValues() {
  std::vector<std::string> values;
  const RunConfig defaults;
  VisitFields(defaults, [&](const std::string&, const auto& field, const FieldSpec&) {
    values.push_back(ToYaml(field));
  });
  return values;
}

// ---- the tree of sections ----

class Printer {
 public:
  explicit Printer(bool documented) : documented_(documented), defaults_(DefaultValues()) {}

  template <typename T>
  void operator()(const std::string& key, const T& field, const FieldSpec& spec) {
    const std::string indent = OpenSections(key);
    const std::string& default_value = defaults_[next_++];
    if (documented_) {
      absl::StrAppend(&yaml_, indent, "# ", Comment(Allowed(field, spec), default_value, spec),
                      "\n");
    }
    absl::StrAppend(&yaml_, indent, key.substr(key.rfind('.') + 1), ": ", ToYaml(field), "\n");
  }

  const std::string& yaml() const { return yaml_; }

 private:
  // Writes the headers of the sections that key is the first of; returns the key's indentation.
  std::string OpenSections(const std::string& key) {
    std::vector<std::string> sections = absl::StrSplit(key, '.');
    sections.pop_back();
    bool same = true;
    for (size_t depth = 0; depth < sections.size(); ++depth) {
      same = same && depth < open_.size() && open_[depth] == sections[depth];
      if (!same) absl::StrAppend(&yaml_, std::string(2 * depth, ' '), sections[depth], ":\n");
    }
    open_ = sections;
    return std::string(2 * sections.size(), ' ');
  }

  const bool documented_;
  const std::vector<std::string> defaults_;
  size_t next_ = 0;
  std::vector<std::string> open_;
  std::string yaml_;
};

std::string Print(const RunConfig& config, bool documented) {
  Printer printer(documented);
  VisitFields(config, printer);
  return printer.yaml();
}

}  // namespace

std::string RunConfigToYaml(const RunConfig& config) { return Print(config, false); }

std::string DocumentedYaml(const RunConfig& config) { return Print(config, true); }

}  // namespace ziprl
