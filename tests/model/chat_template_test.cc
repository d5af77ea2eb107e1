#include "model/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/model/temp_dir.h"

namespace ziprl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Kind = ContentItem::Kind;

TEST(ChatTemplateTest, DefaultSystemTurn) {
  const auto text = RenderChat({{"user", {{Kind::kImage, ""}, {Kind::kText, "What?"}}}}, true);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text,
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
            "<|vision_start|><|image_pad|><|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplateTest, OwnSystemTurn) {
  const auto text =
      RenderChat({{"system", {{Kind::kText, "S"}}}, {"user", {{Kind::kText, "U"}}}}, false);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n");
}

TEST(ChatTemplateTest, UnknownRolesAreRefused) {
  const auto text = RenderChat({{"user", {}}, {"tool", {}}}, true);
  EXPECT_THAT(text.status().message(), AllOf(HasSubstr("message 1"), HasSubstr("\"tool\"")));
}

TEST(ChatTemplateTest, MarksBecomeItems) {
  const auto items = SplitMarks("<image>What is <image> this?<video>");
  ASSERT_EQ(items.size(), 5u);
  EXPECT_EQ(items[0].kind, Kind::kImage);
  EXPECT_EQ(items[1].text, "What is ");
  EXPECT_EQ(items[2].kind, Kind::kImage);
  EXPECT_EQ(items[3].text, " this?");
  EXPECT_EQ(items[4].kind, Kind::kVideo);
  EXPECT_TRUE(SplitMarks("").empty());
  EXPECT_EQ(SplitMarks("a < b <imag>").size(), 1u);
}

TEST(ChatTemplateTest, AcceptsTheTemplateWhereverItLies) {
  const std::string text = kQwenChatTemplate;
  const std::string json = nlohmann::json{{"chat_template", text}}.dump();
  for (const auto& [name, contents] : {std::make_pair("chat_template.jinja", text),
                                       std::make_pair("chat_template.jinja", text + "\n"),
                                       std::make_pair("chat_template.json", json),
                                       std::make_pair("tokenizer_config.json", json)}) {
    TempDir dir;
    dir.Write(name, contents);
    EXPECT_TRUE(LoadChatTemplate(dir.path()).ok()) << name;
  }
}

TEST(ChatTemplateTest, NamedTemplatesAndTheOneWithoutASystemTurn) {
  std::string bare = kQwenChatTemplate;
  const size_t begin = bare.find("{% if loop.first"),
               end = bare.find("<|im_start|>{{ message['role']");
  bare.erase(begin, end - begin);
  TempDir dir;
  dir.Write("chat_template.jinja", bare);
  const auto loaded = LoadChatTemplate(dir.path());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_FALSE(loaded->default_system);
  EXPECT_EQ(*RenderChat({{"user", {{Kind::kText, "U"}}}}, false, *loaded),
            "<|im_start|>user\nU<|im_end|>\n");

  TempDir named;
  const nlohmann::json other = {{"name", "tool_use"}, {"template", "x"}};
  const nlohmann::json usual = {{"name", "default"}, {"template", std::string(kQwenChatTemplate)}};
  named.Write("tokenizer_config.json", nlohmann::json{{"chat_template", {other, usual}}}.dump());
  ASSERT_TRUE(LoadChatTemplate(named.path()).ok());
  EXPECT_TRUE(LoadChatTemplate(named.path())->default_system);
  named.Write("tokenizer_config.json",
              nlohmann::json{{"chat_template", nlohmann::json::array({other})}}.dump());
  EXPECT_THAT(LoadChatTemplate(named.path()).status().message(), HasSubstr("default"));
}

TEST(ChatTemplateTest, RefusesOtherTemplatesByFile) {
  TempDir dir;
  EXPECT_THAT(LoadChatTemplate(dir.path()).status().message(),
              AllOf(HasSubstr(dir.path()), HasSubstr("no chat template")));
  dir.Write("tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
  EXPECT_THAT(LoadChatTemplate(dir.path()).status().message(),
              AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("{{ messages }}")));
  dir.Write("chat_template.jinja", kQwenChatTemplate);
  EXPECT_TRUE(LoadChatTemplate(dir.path()).ok()) << "the jinja file wins, as in AutoProcessor";
  dir.Write("chat_template.jinja", std::string(kQwenChatTemplate) + "x");
  EXPECT_THAT(LoadChatTemplate(dir.path()).status().message(), HasSubstr("chat_template.jinja"));
}

}  // namespace
}  // namespace ziprl
