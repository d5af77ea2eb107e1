#include "model/tokenizer_json.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "model/json_reader.h"
#include "model/split_pattern.h"

namespace ziprl {
namespace {

using nlohmann::json;

constexpr int kMaxId = 1 << 26;

absl::Status CheckPreTokenizer(const json& value, const std::string& where) {
  const auto unsupported = [&](const std::string& what) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": unsupported ", what,
                     ", supported is the Qwen2 split pattern followed by ByteLevel"));
  };
  JsonReader sequence(value, absl::StrCat(where, ": pre_tokenizer"));
  if (sequence.String("type", "") != "Sequence" || !sequence.At("pretokenizers").is_array() ||
      sequence.At("pretokenizers").size() != 2) {
    return unsupported(absl::StrCat("pre_tokenizer ", value.dump()));
  }
  const json& steps = sequence.At("pretokenizers");
  JsonReader split(steps[0], absl::StrCat(where, ": pre_tokenizer 0"));
  split.RequireIfPresent("type", "Split");
  split.RequireIfPresent("pattern", json::object({{"Regex", std::string(kQwenSplitPattern)}}));
  split.RequireIfPresent("behavior", "Isolated");
  split.RequireIfPresent("invert", false);
  ZIPRL_RETURN_IF_ERROR(split.status());
  if (!split.Has("pattern")) return unsupported("pre_tokenizer 0 without a pattern");
  JsonReader bytes(steps[1], absl::StrCat(where, ": pre_tokenizer 1"));
  bytes.RequireIfPresent("type", "ByteLevel");
  bytes.RequireIfPresent("add_prefix_space", false);
  if (bytes.Bool("use_regex", true))
    bytes.Fail("unsupported \"use_regex\": true, supported is false");
  return bytes.status();
}

absl::Status CheckPipeline(JsonReader* root, const std::string& where) {
  JsonReader normalizer(root->At("normalizer"), absl::StrCat(where, ": normalizer"));
  normalizer.RequireIfPresent("type", "NFC");
  ZIPRL_RETURN_IF_ERROR(normalizer.status());
  ZIPRL_RETURN_IF_ERROR(CheckPreTokenizer(root->At("pre_tokenizer"), where));
  JsonReader decoder(root->At("decoder"), absl::StrCat(where, ": decoder"));
  decoder.RequireIfPresent("type", "ByteLevel");
  ZIPRL_RETURN_IF_ERROR(decoder.status());
  if (root->Has("post_processor")) {
    JsonReader post(root->At("post_processor"), absl::StrCat(where, ": post_processor"));
    post.RequireIfPresent("type", "ByteLevel");
    ZIPRL_RETURN_IF_ERROR(post.status());
  }
  for (const char* key : {"truncation", "padding"}) {
    if (root->Has(key)) root->Fail(absl::StrCat("unsupported \"", key, "\", supported is null"));
  }
  return root->status();
}

absl::Status ReadVocab(JsonReader* model, const std::string& where, TokenizerData* data) {
  const json& vocab = model->At("vocab");
  if (!vocab.is_object())
    return absl::InvalidArgumentError(absl::StrCat(where, ": \"vocab\" is missing"));
  data->vocab.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_integer() || id.get<double>() < 0 || id.get<double>() > kMaxId) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": token \"", token, "\" has the id ", id.dump()));
    }
    data->vocab[token] = id.get<int32_t>();
  }
  return absl::OkStatus();
}

// "a b", or ["a", "b"] as newer files have it.
absl::StatusOr<std::pair<std::string, std::string>> ReadPair(const json& entry) {
  if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
    return std::make_pair(entry[0].get<std::string>(), entry[1].get<std::string>());
  }
  if (entry.is_string()) {
    const std::string text = entry.get<std::string>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return std::make_pair(text.substr(0, space), text.substr(space + 1));
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(entry.dump(), " is no pair of tokens"));
}

absl::Status ReadMerges(JsonReader* model, const std::string& where, TokenizerData* data) {
  const json& merges = model->At("merges");
  if (!merges.is_array())
    return absl::InvalidArgumentError(absl::StrCat(where, ": \"merges\" is missing"));
  data->merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto pair = ReadPair(merges[i]);
    if (!pair.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": merge ", i, ": ", pair.status().message()));
    }
    Merge merge;
    for (const auto& [token, id] :
         {std::make_pair(pair->first, &merge.left), std::make_pair(pair->second, &merge.right),
          std::make_pair(pair->first + pair->second, &merge.result)}) {
      const auto it = data->vocab.find(token);
      if (it == data->vocab.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat(where, ": merge ", i, ": token \"", token, "\" is not in the vocabulary"));
      }
      *id = it->second;
    }
    data->merges.push_back(merge);
  }
  return absl::OkStatus();
}

absl::Status ReadModel(const json& value, const std::string& where, TokenizerData* data) {
  JsonReader model(value, where);
  model.RequireIfPresent("type", "BPE");
  model.RequireIfPresent("dropout", 0.0);
  model.RequireIfPresent("unk_token", nullptr);
  model.RequireIfPresent("continuing_subword_prefix", "");
  model.RequireIfPresent("end_of_word_suffix", "");
  model.RequireIfPresent("byte_fallback", false);
  model.RequireIfPresent("ignore_merges", false);
  ZIPRL_RETURN_IF_ERROR(model.status());
  ZIPRL_RETURN_IF_ERROR(ReadVocab(&model, where, data));
  return ReadMerges(&model, where, data);
}

absl::Status ReadAddedTokens(const json& list, const std::string& where, TokenizerData* data) {
  if (list.is_null()) return absl::OkStatus();
  if (!list.is_array()) return absl::InvalidArgumentError(absl::StrCat(where, " is no list"));
  for (size_t i = 0; i < list.size(); ++i) {
    JsonReader reader(list[i], absl::StrCat(where, " ", i));
    AddedToken token;
    token.content = reader.String("content", "");
    token.id = reader.Int("id", 0, kMaxId);
    token.special = reader.Bool("special", false);
    for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"}) {
      reader.RequireIfPresent(key, false);
    }
    if (token.content.empty()) reader.Fail("\"content\" is missing or empty");
    ZIPRL_RETURN_IF_ERROR(reader.status());
    data->added.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerData> ParseTokenizerJson(std::string_view text, const std::string& where) {
  ZIPRL_ASSIGN_OR_RETURN(const json object, ParseJson(text, where));
  JsonReader root(object, where);
  ZIPRL_RETURN_IF_ERROR(root.status());
  ZIPRL_RETURN_IF_ERROR(CheckPipeline(&root, where));
  TokenizerData data;
  ZIPRL_RETURN_IF_ERROR(ReadModel(root.At("model"), absl::StrCat(where, ": model"), &data));
  ZIPRL_RETURN_IF_ERROR(
      ReadAddedTokens(root.At("added_tokens"), absl::StrCat(where, ": added_tokens"), &data));
  return data;
}

}  // namespace ziprl
