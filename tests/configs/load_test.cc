#include "configs/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "configs/fields.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class LoadTest : public ::testing::Test {
 protected:
  LoadTest() : path_(::testing::TempDir() + "/load_test." + std::to_string(getpid()) + ".yaml") {}
  ~LoadTest() override { fs::remove(path_); }

  absl::StatusOr<RunConfig> Load(const std::string& yaml,
                                 const std::vector<std::string>& overrides = {}) {
    std::ofstream(path_) << yaml;
    return LoadRunConfig(path_, overrides);
  }

  // The error's text after "<path>".
  std::string ErrorOf(const std::string& yaml) {
    const absl::Status status = Load(yaml).status();
    const std::string message(status.message());
    EXPECT_THAT(message, StartsWith(path_));
    return message.size() < path_.size() ? message : message.substr(path_.size());
  }

  std::string OverrideError(const std::string& override_text) {
    return std::string(LoadRunConfig("", {override_text}).status().message());
  }

  const std::string path_;
};

TEST_F(LoadTest, ReadsEveryTypeAndKeepsOtherDefaults) {
  const auto config = Load(R"(
# a comment
data: {train_files: [a.jsonl, "b c.jsonl"], shuffle: false, seed: -9000000000}
rollout:
  n: 4
  thresholds: [.5, 9.75e-1]
  force_keep: last
actor:
  optim: {lr: 3e-4}
trainer:
  output_dir: runs/x
reward:
)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->data.train_files, ElementsAre("a.jsonl", "b c.jsonl"));
  EXPECT_FALSE(config->data.shuffle);
  EXPECT_EQ(config->data.seed, -9000000000);
  EXPECT_EQ(config->rollout.n, 4);
  EXPECT_THAT(config->rollout.thresholds, ElementsAre(.5, .975));
  EXPECT_THAT(config->rollout.force_keep, ElementsAre("last"));
  EXPECT_EQ(config->actor.optim.lr, 3e-4);
  EXPECT_EQ(config->trainer.output_dir, "runs/x");
  EXPECT_EQ(config->actor.global_batch_size, ActorConfig().global_batch_size);
}

TEST_F(LoadTest, EmptyFileAndNoFileAreTheDefaults) {
  EXPECT_EQ(RunConfigToYaml(*Load("")), RunConfigToYaml(RunConfig()));
  EXPECT_EQ(RunConfigToYaml(*LoadRunConfig("", {})), RunConfigToYaml(RunConfig()));
}

TEST_F(LoadTest, OverridesWinOverTheFile) {
  const auto config =
      Load("rollout: {n: 4, thresholds: [.9]}\n",
           {"rollout.n=6", "rollout.n=16", "eval.thresholds=[.9, .8]", "rollout.thresholds=.7,.6",
            "data.format_prompt=Answer: a=b, \"x\"", "data.system_prompt=\"two\\nlines\"",
            "trainer.logger=console", "reward.functions=[\"format:a,b\", exact_match]",
            "trainer.deterministic=true"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rollout.n, 16);
  EXPECT_THAT(config->eval.thresholds, ElementsAre(.9, .8));
  EXPECT_THAT(config->rollout.thresholds, ElementsAre(.7, .6));
  EXPECT_EQ(config->data.format_prompt, "Answer: a=b, \"x\"");
  EXPECT_EQ(config->data.system_prompt, "two\nlines");
  EXPECT_THAT(config->trainer.logger, ElementsAre("console"));
  EXPECT_THAT(config->reward.functions, ElementsAre("format:a,b", "exact_match"));
  EXPECT_TRUE(config->trainer.deterministic);
}

TEST_F(LoadTest, EmptyValuesEmptyTextsAndLists) {
  const auto config = Load("data: {prompt_key: }\neval: {thresholds: []}\n",
                           {"data.answer_key=", "trainer.logger=", "rollout.force_keep=[]"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->data.prompt_key, "");
  EXPECT_EQ(config->data.answer_key, "");
  EXPECT_THAT(config->eval.thresholds, IsEmpty());
  EXPECT_THAT(config->trainer.logger, IsEmpty());
  EXPECT_THAT(config->rollout.force_keep, IsEmpty());
}

TEST_F(LoadTest, BadFilesAreNamedWithLineAndValue) {
  EXPECT_THAT(ErrorOf("rollout:\n  n: [1\n"), StartsWith(":3: broken YAML: "));
  EXPECT_THAT(ErrorOf("a: b: c\n"), StartsWith(":1: broken YAML: "));
  EXPECT_EQ(ErrorOf("rollout:\n  n: 4\n  tresholds: [.9]\n"),
            ":3: unknown key 'rollout.tresholds'; the nearest is 'rollout.thresholds'");
  EXPECT_EQ(ErrorOf("rolout:\n  n: 4\n"), ":2: unknown key 'rolout.n'; the nearest is 'rollout.n'");
  EXPECT_EQ(ErrorOf("rolout: 4\n"), ":1: unknown key 'rolout'; the nearest is 'rollout'");
  EXPECT_EQ(ErrorOf("rolout: {}\n"), ":1: unknown key 'rolout'; the nearest is 'rollout'");
  EXPECT_EQ(ErrorOf("\nrollout:\n  n: many\n"),
            ":3: 'rollout.n' must be a 32-bit whole number, not 'many'");
  EXPECT_EQ(ErrorOf("rollout: {n: 4.5}\n"),
            ":1: 'rollout.n' must be a 32-bit whole number, not '4.5'");
  EXPECT_EQ(ErrorOf("rollout: {n: 99999999999}\n"),
            ":1: 'rollout.n' must be a 32-bit whole number, not '99999999999'");
  EXPECT_EQ(ErrorOf("rollout: {n: [4, 5]}\n"),
            ":1: 'rollout.n' must be a 32-bit whole number, not [4, 5]");
  EXPECT_EQ(ErrorOf("rollout: {n: }\n"), ":1: 'rollout.n' must be a 32-bit whole number, not ''");
  EXPECT_EQ(ErrorOf("data: {shuffle: yes}\n"),
            ":1: 'data.shuffle' must be true or false, not 'yes'");
  EXPECT_EQ(ErrorOf("eval: {thresholds: [.9, high]}\n"),
            ":1: 'eval.thresholds' must be a list of which each is a number, not [.9, high]");
  EXPECT_EQ(ErrorOf("eval:\n  thresholds:\n  - .9\n  - [.8]\n"),
            ":4: 'eval.thresholds' must be a list of plain values");
  EXPECT_EQ(ErrorOf("rollout: 5\n"), ":1: 'rollout' is a section: it holds keys, not a value");
  EXPECT_EQ(ErrorOf("actor:\n  optim: 1\n"),
            ":2: 'actor.optim' is a section: it holds keys, not a value");
  EXPECT_EQ(ErrorOf("- a\n"), ":1: a config is a map of keys");
  EXPECT_EQ(ErrorOf("rollout:\n  n: 4\n  n: 5\n"),
            ":3: 'rollout.n' stands twice, first at " + path_ + ":2");
  EXPECT_EQ(ErrorOf("rollout: {n: 4}\nrollout: {top_k: 5}\n"),
            ":2: section 'rollout' stands twice");
  EXPECT_EQ(ErrorOf("rollout: {n: 4}\n---\nrollout: {n: 5}\n").substr(2),
            ": a second YAML document; a config is one");
}

TEST_F(LoadTest, BrokenRulesPointAtTheirLine) {
  EXPECT_THAT(ErrorOf("rollout:\n  n: 1\n"), StartsWith(":2: rollout.n = 1: must be at least 2"));
  EXPECT_THAT(ErrorOf("eval:\n  n: 1\n  thresholds: [.9, 1.5]\n"),
              StartsWith(":3: eval.thresholds[1] = 1.5: must be in (0, 1]"));
  EXPECT_THAT(
      OverrideError("eval.thresholds=0"),
      StartsWith("override 'eval.thresholds=0': eval.thresholds[0] = 0: must be in (0, 1]"));
}

TEST_F(LoadTest, BadOverridesAreNamed) {
  EXPECT_EQ(OverrideError("rollout.n"), "override 'rollout.n': must be key=value");
  EXPECT_EQ(OverrideError("rollot.n=3"),
            "override 'rollot.n=3': unknown key 'rollot.n'; the nearest is 'rollout.n'");
  EXPECT_EQ(OverrideError("rollout=3"),
            "override 'rollout=3': 'rollout' is a section: it holds keys, not a value");
  EXPECT_EQ(OverrideError("rollout.n=x"),
            "override 'rollout.n=x': 'rollout.n' must be a 32-bit whole number, not 'x'");
  EXPECT_THAT(OverrideError("eval.thresholds=[.9"), HasSubstr("broken YAML"));
}

TEST_F(LoadTest, MissingFileIsNamed) {
  const absl::Status status = LoadRunConfig("no/such.yaml", {}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("no/such.yaml"));
}

// Gives every field a value that is not its default but keeps the rules.
struct Spoiler {
  int count = 0;
  void operator()(const std::string&, std::string& field, const FieldSpec& spec) {
    field = spec.choices.empty() ? "a: \"b\" # [c], \t\n\\ \x7f é " + std::to_string(++count)
                                 : std::string(spec.choices.back());
  }
  void operator()(const std::string&, bool& field, const FieldSpec&) { field = !field; }
  void operator()(const std::string&, int& field, const FieldSpec& spec) {
    field = static_cast<int>(std::min(spec.max, 1000.0 + ++count));
  }
  void operator()(const std::string&, int64_t& field, const FieldSpec& spec) {
    field = static_cast<int64_t>(std::min(spec.max, 9007199254740000.0 + ++count));
  }
  void operator()(const std::string&, double& field, const FieldSpec&) {
    field = std::nextafter(0.1 + 1e-3 * ++count, 1.0);
  }
  template <typename T>
  void operator()(const std::string& key, std::vector<T>& field, const FieldSpec& spec) {
    field.resize(2);
    for (T& item : field) (*this)(key, item, spec);
  }
};

TEST_F(LoadTest, PrintedConfigsReadBackExactly) {
  RunConfig config;
  VisitFields(config, Spoiler());
  config.algorithm.selection = "replay";
  config.data.val_files.clear();          // val_fraction holds out rows instead
  config.cluster.placement = "separate";  // colocated takes no samples of other versions
  config.reward.tau_floor = 1.0 / 3;
  config.actor.optim.lr = 4.9e-324;
  for (const std::string& yaml : {RunConfigToYaml(config), DocumentedYaml(config)}) {
    const auto loaded = Load(yaml);
    ASSERT_TRUE(loaded.ok()) << loaded.status() << "\n" << yaml;
    EXPECT_EQ(RunConfigToYaml(*loaded), RunConfigToYaml(config));
    EXPECT_EQ(loaded->reward.tau_floor, 1.0 / 3);
    EXPECT_EQ(loaded->actor.optim.lr, 4.9e-324);
    EXPECT_EQ(loaded->data.seed, config.data.seed);
    EXPECT_EQ(loaded->data.system_prompt, config.data.system_prompt);
  }
}

TEST_F(LoadTest, DocumentationNamesMeaningAllowedAndDefaultOfEveryKey) {
  const std::string yaml = DocumentedYaml(RunConfig());
  EXPECT_THAT(yaml, HasSubstr("actor:\n  # prompts per optimizer step. Allowed: at least 1. "
                              "Default: 128\n  global_batch_size: 128\n"));
  EXPECT_THAT(yaml, HasSubstr("  optim:\n    # peak learning rate. Allowed: at least 0. Default: "
                              "1e-06\n    lr: 1e-06\n"));
  EXPECT_THAT(yaml,
              HasSubstr("Allowed: paper | stochastic | surrogate | budget. Default: \"paper\""));
  VisitFields(RunConfig(), [&](const std::string& key, const auto&, const FieldSpec& spec) {
    EXPECT_THAT(yaml, HasSubstr("# " + std::string(spec.meaning))) << key;
    EXPECT_THAT(yaml, HasSubstr(key.substr(key.rfind('.') + 1) + ": ")) << key;
  });
}

// Every config that the repository ships.
TEST(ExperimentsTest, EveryFileParses) {
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator("configs")) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    const auto config = LoadRunConfig(entry.path().string(), {});
    EXPECT_TRUE(config.ok()) << config.status();
  }
  EXPECT_GT(files, 0) << "no config found: run from the repository's root";
}

}  // namespace
}  // namespace ziprl
