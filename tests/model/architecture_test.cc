#include "model/architecture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/model/temp_dir.h"

namespace ziprl {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Today's layout, written by hand.
json Nested() {
  return json::parse(R"({
    "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "dtype": "bfloat16",
    "image_token_id": 91, "video_token_id": 92, "vision_start_token_id": 93, "vision_end_token_id": 94,
    "tie_word_embeddings": true,
    "text_config": {
      "model_type": "qwen2_5_vl_text", "vocab_size": 100, "hidden_size": 32, "intermediate_size": 48,
      "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
      "hidden_act": "silu", "max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": 2,
      "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0, "mrope_section": [1, 1, 2]}},
    "vision_config": {
      "depth": 2, "hidden_size": 24, "intermediate_size": 40, "num_heads": 2, "patch_size": 4,
      "window_size": 16, "out_hidden_size": 32, "fullatt_block_indexes": [1], "spatial_merge_size": 2,
      "temporal_patch_size": 2, "tokens_per_second": 2}})");
}

absl::StatusOr<Architecture> Parse(const json& config, const std::string& generation = "") {
  return ParseArchitecture(config.dump(), generation, "dir");
}

// The error of the nested config with one value replaced.
std::string ErrorWith(const std::string& pointer, const json& value) {
  json config = Nested();
  config[json::json_pointer(pointer)] = value;
  const auto arch = Parse(config);
  return arch.ok() ? "no error" : std::string(arch.status().message());
}

TEST(ArchitectureTest, ReadsTodaysLayout) {
  const auto arch = Parse(Nested());
  ASSERT_TRUE(arch.ok()) << arch.status();
  EXPECT_EQ(arch->vocab, 100);
  EXPECT_EQ(arch->head_dim, 8);
  EXPECT_EQ(arch->kv_heads, 2);
  EXPECT_EQ(arch->rope_theta, 5000.0);
  EXPECT_EQ(arch->mrope_section, (std::vector<int>{1, 1, 2}));
  EXPECT_EQ(arch->dtype, "bfloat16");
  EXPECT_TRUE(arch->tied_embeddings);
  EXPECT_EQ(arch->eos_tokens, std::vector<int32_t>{2});
  EXPECT_EQ(arch->vision.full_attention_blocks, std::vector<int>{1});
  EXPECT_EQ(arch->vision.patch, 4);
}

TEST(ArchitectureTest, GenerationConfigGivesTheEndTokens) {
  const auto arch = Parse(Nested(), R"({"eos_token_id": [3, 4], "pad_token_id": 5})");
  ASSERT_TRUE(arch.ok()) << arch.status();
  EXPECT_EQ(arch->eos_tokens, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(arch->pad_token, 5);
}

TEST(ArchitectureTest, OptionalFieldsHaveTransformersDefaults) {
  json config = Nested();
  for (const char* key : {"num_key_value_heads", "rms_norm_eps", "max_position_embeddings"}) {
    config["text_config"].erase(key);
  }
  for (const char* key : {"tokens_per_second", "depth", "num_heads"}) {
    config["vision_config"].erase(key);
  }
  config["vision_config"]["hidden_size"] = 64;
  config.erase("tie_word_embeddings");
  const auto arch = Parse(config);
  ASSERT_TRUE(arch.ok()) << arch.status();
  EXPECT_EQ(arch->kv_heads, arch->heads);
  EXPECT_EQ(arch->rms_eps, 1e-5f);
  EXPECT_EQ(arch->max_position_embeddings, 32768);
  EXPECT_EQ(arch->vision.tokens_per_second, 4);
  EXPECT_EQ(arch->vision.depth, 32);
  EXPECT_EQ(arch->vision.heads, 16);
  EXPECT_FALSE(arch->tied_embeddings);
}

TEST(ArchitectureTest, WritingIsStable) {
  const auto arch = Parse(Nested(), R"({"eos_token_id": [3, 4]})");
  ASSERT_TRUE(arch.ok());
  const std::string config = ArchitectureToJson(*arch), generation = GenerationConfigToJson(*arch);
  const auto again = ParseArchitecture(config, generation, "dir");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ArchitectureToJson(*again), config);
  EXPECT_EQ(GenerationConfigToJson(*again), generation);
}

TEST(ArchitectureTest, RefusesOtherModelsByName) {
  EXPECT_THAT(ErrorWith("/model_type", "llava"),
              AllOf(HasSubstr("dir/config.json"), HasSubstr("llava"), HasSubstr("qwen2_5_vl")));
  EXPECT_THAT(ErrorWith("/model_type", nullptr), HasSubstr("model_type"));
  EXPECT_THAT(ErrorWith("/architectures/0", "Qwen2VLModel"), HasSubstr("Qwen2VLModel"));
  EXPECT_THAT(ErrorWith("/quantization_config", json::object({{"bits", 4}})),
              HasSubstr("quantization_config"));
}

TEST(ArchitectureTest, RefusesOptionsItDoesNotImplement) {
  EXPECT_THAT(ErrorWith("/text_config/hidden_act", "gelu"),
              AllOf(HasSubstr("hidden_act"), HasSubstr("gelu"), HasSubstr("silu")));
  EXPECT_THAT(ErrorWith("/vision_config/hidden_act", "gelu"), HasSubstr("vision_config"));
  EXPECT_THAT(ErrorWith("/text_config/attention_dropout", 0.1), HasSubstr("attention_dropout"));
  EXPECT_THAT(ErrorWith("/text_config/rope_parameters/rope_type", "yarn"), HasSubstr("yarn"));
  EXPECT_THAT(ErrorWith("/text_config/layer_types", {"full_attention", "sliding_attention"}),
              HasSubstr("sliding_attention"));
  EXPECT_THAT(ErrorWith("/text_config/head_dim", 16), HasSubstr("head_dim"));
  EXPECT_THAT(ErrorWith("/dtype", "float16"), AllOf(HasSubstr("float16"), HasSubstr("bfloat16")));
  EXPECT_THAT(ErrorWith("/vision_config/in_channels", 1), HasSubstr("in_channels"));
  json window = Nested();
  window["text_config"]["use_sliding_window"] = true;
  window["text_config"]["sliding_window"] = 64;
  window["text_config"]["max_window_layers"] = 1;
  EXPECT_THAT(Parse(window).status().message(), HasSubstr("use_sliding_window"));
}

// A Qwen2-VL of the first checkpoints' layout.
json FlatQwen2() {
  json config = Nested();
  config.update(config["text_config"]);
  for (const char* key : {"text_config", "rope_parameters"}) config.erase(key);
  config.update({{"model_type", "qwen2_vl"},
                 {"architectures", {"Qwen2VLForConditionalGeneration"}},
                 {"rope_theta", 5000.0},
                 {"rope_scaling", {{"type", "mrope"}, {"mrope_section", {1, 1, 2}}}},
                 {"use_sliding_window", false},
                 {"sliding_window", 512},
                 {"max_window_layers", 1},
                 {"vision_token_id", 95}});
  config["vision_config"] = {{"depth", 2},      {"embed_dim", 24},        {"mlp_ratio", 3},
                             {"num_heads", 2},  {"in_chans", 3},          {"hidden_size", 32},
                             {"patch_size", 4}, {"spatial_patch_size", 4}};
  return config;
}

TEST(ArchitectureTest, ReadsQwen2Vl) {
  const auto arch = Parse(FlatQwen2());
  ASSERT_TRUE(arch.ok()) << arch.status();
  EXPECT_EQ(arch->model_type, "qwen2_vl");
  EXPECT_EQ(arch->rope_theta, 5000.0);
  EXPECT_EQ(arch->vision.hidden, 24);
  EXPECT_EQ(arch->vision.intermediate, 72);
  EXPECT_EQ(arch->vision.out_hidden, 32);
  EXPECT_EQ(arch->vision.window, 0);
  EXPECT_EQ(arch->vision.tokens_per_second, 0);
  const auto again = Parse(json::parse(ArchitectureToJson(*arch)));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ArchitectureToJson(*again), ArchitectureToJson(*arch));
}

TEST(ArchitectureTest, RefusesTheOtherFamilysOptions) {
  json config = FlatQwen2();
  config["vision_config"]["window_size"] = 112;
  EXPECT_THAT(Parse(config).status().message(),
              AllOf(HasSubstr("vision_config"), HasSubstr("unknown option \"window_size\"")));
  config = FlatQwen2();
  config["vision_config"]["hidden_act"] = "silu";
  EXPECT_THAT(Parse(config).status().message(), HasSubstr("quick_gelu"));
  config = FlatQwen2();
  config["vision_config"]["hidden_size"] = 48;
  EXPECT_THAT(Parse(config).status().message(), HasSubstr("\"hidden_size\" is 48"));
  config = FlatQwen2();
  config["architectures"] = {"Qwen2_5_VLForConditionalGeneration"};
  EXPECT_THAT(Parse(config).status().message(), HasSubstr("Qwen2VLForConditionalGeneration"));
}

TEST(ArchitectureTest, RefusesUnknownOptionsByName) {
  for (const char* part : {"", "/text_config", "/vision_config", "/text_config/rope_parameters"}) {
    EXPECT_THAT(ErrorWith(absl::StrCat(part, "/logit_softcap"), 30.0),
                AllOf(HasSubstr("unknown option \"logit_softcap\": 30.0"), HasSubstr("dir/config")))
        << part;
  }
  json flat = FlatQwen2();
  flat["use_qk_norm"] = true;
  EXPECT_THAT(Parse(flat).status().message(), HasSubstr("\"use_qk_norm\": true"));
  EXPECT_THAT(ErrorWith("/text_config/rope_parameters/partial_rotary_factor", 0.5),
              HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(ErrorWith("/vision_config/in_chans", 4), HasSubstr("in_chans"));
}

TEST(ArchitectureTest, OptionsThatChangeNothingPass) {
  json config = Nested();
  config["use_qk_norm"] = false;
  config["text_config"]["moe_layers"] = json::array();
  config["text_config"]["temperature"] = 0.7;
  config["vision_config"]["initializer_range"] = 0.01;
  config["transformers_version"] = "4.41.2";
  config["_name_or_path"] = "somewhere";
  config["hidden_size"] = 32;  // releases in between wrote the text model's keys twice
  EXPECT_TRUE(Parse(config).ok()) << Parse(config).status();
}

// Releases in between wrote the whole model's tokens into the text model's object too.
TEST(ArchitectureTest, TokensInTheTextConfigPass) {
  json config = Nested();
  config["text_config"].update({{"image_token_id", 91},
                                {"video_token_id", 92},
                                {"vision_start_token_id", 93},
                                {"vision_end_token_id", 94}});
  const auto arch = Parse(config);
  EXPECT_TRUE(arch.ok()) << arch.status();
}

TEST(ArchitectureTest, RefusesInconsistentSizes) {
  EXPECT_THAT(ErrorWith("/text_config/num_attention_heads", 5), HasSubstr("num_attention_heads"));
  EXPECT_THAT(ErrorWith("/text_config/num_key_value_heads", 3), HasSubstr("num_key_value_heads"));
  EXPECT_THAT(ErrorWith("/text_config/rope_parameters/mrope_section", {1, 1, 1}),
              HasSubstr("mrope_section"));
  EXPECT_THAT(ErrorWith("/text_config/rope_parameters/mrope_section", {4}),
              HasSubstr("mrope_section"));
  EXPECT_THAT(ErrorWith("/vision_config/out_hidden_size", 64), HasSubstr("out_hidden_size"));
  EXPECT_THAT(ErrorWith("/vision_config/num_heads", 5), HasSubstr("num_heads"));
  EXPECT_THAT(ErrorWith("/vision_config/window_size", 4), HasSubstr("window_size"));
  EXPECT_THAT(ErrorWith("/image_token_id", 100),
              AllOf(HasSubstr("image_token_id"), HasSubstr("100")));
  EXPECT_THAT(ErrorWith("/text_config/eos_token_id", 100), HasSubstr("eos_token_id"));
}

TEST(ArchitectureTest, RefusesMissingAndMistypedValues) {
  json config = Nested();
  config["text_config"].erase("hidden_size");
  EXPECT_THAT(Parse(config).status().message(), HasSubstr("\"hidden_size\" is missing"));
  config = Nested();
  config.erase("vision_config");
  EXPECT_THAT(Parse(config).status().message(), HasSubstr("vision_config"));
  config = Nested();
  config["text_config"].erase("rope_parameters");
  EXPECT_THAT(Parse(config).status().message(), HasSubstr("rope_parameters"));
  EXPECT_THAT(ErrorWith("/text_config/hidden_size", "32"),
              AllOf(HasSubstr("hidden_size"), HasSubstr("\"32\"")));
  EXPECT_THAT(ErrorWith("/text_config/hidden_size", 0), HasSubstr("hidden_size"));
  EXPECT_THAT(ErrorWith("/text_config/hidden_size", 1e30), HasSubstr("hidden_size"));
  EXPECT_THAT(ErrorWith("/text_config", 7), HasSubstr("object"));
  EXPECT_THAT(ErrorWith("/vision_config", json::array()), HasSubstr("object"));
  EXPECT_THAT(ErrorWith("/tie_word_embeddings", "yes"), HasSubstr("tie_word_embeddings"));
}

TEST(ArchitectureTest, BrokenFilesAreNamed) {
  TempDir dir;
  EXPECT_THAT(LoadArchitecture(dir.path()).status().message(), HasSubstr("config.json"));
  dir.Write("config.json", "{\"model_type\": ");
  EXPECT_THAT(LoadArchitecture(dir.path()).status().message(),
              AllOf(HasSubstr(dir.File("config.json")), HasSubstr("line 1")));
  dir.Write("config.json", Nested().dump());
  EXPECT_TRUE(LoadArchitecture(dir.path()).ok());
  dir.Write("generation_config.json", "[]");
  EXPECT_THAT(LoadArchitecture(dir.path()).status().message(), HasSubstr("generation_config.json"));
}

TEST(ParamSpecsTest, NamesAreUniqueAndShapesFollowTheSizes) {
  json config = Nested();
  config["tie_word_embeddings"] = false;
  const auto specs = ParamSpecs(*Parse(config));
  std::set<std::string> names;
  for (const ParamSpec& spec : specs) names.insert(spec.name);
  EXPECT_EQ(names.size(), specs.size());
  EXPECT_EQ(specs.size(), 1 + 2 * 12 + 5 + 1 + 2 * 12 + 1 + 1u);
  EXPECT_EQ(specs.front().name, "visual.patch_embed.proj.weight");
  EXPECT_EQ(specs.front().shape, (std::vector<int64_t>{24, 3, 2, 4, 4}));
  EXPECT_EQ(specs.back().name, "lm_head.weight");
  config["tie_word_embeddings"] = true;
  EXPECT_EQ(ParamSpecs(*Parse(config)).size(), specs.size() - 1);
}

TEST(ParamSpecsTest, CanonicalNames) {
  EXPECT_EQ(CanonicalParamName("model.language_model.layers.3.mlp.up_proj.weight"),
            "model.layers.3.mlp.up_proj.weight");
  EXPECT_EQ(CanonicalParamName("model.visual.merger.ln_q.weight"), "visual.merger.ln_q.weight");
  EXPECT_EQ(CanonicalParamName("model.norm.weight"), "model.norm.weight");
  EXPECT_EQ(CanonicalParamName("lm_head.weight"), "lm_head.weight");
  EXPECT_EQ(CanonicalParamName("model.visual.blocks.0.mlp.fc1.bias"),
            "visual.blocks.0.mlp.fc1.bias");
  EXPECT_TRUE(IsVisionParam("visual.merger.ln_q.weight"));
  EXPECT_FALSE(IsVisionParam("model.norm.weight"));
}

}  // namespace
}  // namespace ziprl
