// Writing tokenizer.json and tokenizer_config.json.
#include <nlohmann/json.hpp>

#include "model/split_pattern.h"
#include "model/tokenizer.h"
#include "model/tokenizer_json.h"

namespace ziprl {

using nlohmann::ordered_json;

std::string WriteTokenizerJson(const std::vector<std::string>& vocab,
                               const std::vector<Merge>& merges,
                               const std::vector<AddedToken>& added) {
  ordered_json added_json = ordered_json::array();
  for (const AddedToken& token : added) {
    added_json.push_back({{"id", token.id},
                          {"content", token.content},
                          {"single_word", false},
                          {"lstrip", false},
                          {"rstrip", false},
                          {"normalized", false},
                          {"special", token.special}});
  }
  ordered_json vocab_json = ordered_json::object(), merges_json = ordered_json::array();
  // push_back on the underlying vector: operator[] of an ordered object searches linearly.
  auto& entries = vocab_json.get_ref<ordered_json::object_t&>();
  for (size_t id = 0; id < vocab.size(); ++id) entries.push_back({vocab[id], ordered_json(id)});
  for (const Merge& merge : merges) {
    merges_json.push_back(ordered_json::array({vocab[merge.left], vocab[merge.right]}));
  }
  const ordered_json byte_level = {{"type", "ByteLevel"},
                                   {"add_prefix_space", false},
                                   {"trim_offsets", false},
                                   {"use_regex", false}};
  const ordered_json split = {{"type", "Split"},
                              {"pattern", {{"Regex", std::string(kQwenSplitPattern)}}},
                              {"behavior", "Isolated"},
                              {"invert", false}};
  const ordered_json root = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added_json},
      {"normalizer", {{"type", "NFC"}}},
      {"pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", ordered_json::array({split, byte_level})}}},
      {"post_processor", byte_level},
      {"decoder", byte_level},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", ""},
        {"end_of_word_suffix", ""},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", vocab_json},
        {"merges", merges_json}}}};
  return root.dump(2) + "\n";
}

std::vector<AddedToken> QwenAddedTokens(int32_t first_id) {
  static constexpr const char* kSpecial[] = {
      "<|endoftext|>",      "<|im_start|>",     "<|im_end|>",     "<|object_ref_start|>",
      "<|object_ref_end|>", "<|box_start|>",    "<|box_end|>",    "<|quad_start|>",
      "<|quad_end|>",       "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
      "<|image_pad|>",      "<|video_pad|>"};
  static constexpr const char* kOrdinary[] = {"<tool_call>",    "</tool_call>",   "<|fim_prefix|>",
                                              "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
                                              "<|repo_name|>",  "<|file_sep|>"};
  std::vector<AddedToken> tokens;
  for (const char* content : kSpecial) tokens.push_back({content, first_id++, true});
  for (const char* content : kOrdinary) tokens.push_back({content, first_id++, false});
  return tokens;
}

std::string TokenizerConfigJson(const std::string& chat_template,
                                const std::string& processor_class) {
  ordered_json special = ordered_json::array();
  for (const AddedToken& token : QwenAddedTokens(0)) {
    if (token.special && token.content != "<|endoftext|>") special.push_back(token.content);
  }
  const ordered_json root = {{"add_prefix_space", false},
                             {"additional_special_tokens", special},
                             {"bos_token", nullptr},
                             {"chat_template", chat_template},
                             {"clean_up_tokenization_spaces", false},
                             {"eos_token", "<|im_end|>"},
                             {"errors", "replace"},
                             {"model_max_length", 131072},
                             {"pad_token", "<|endoftext|>"},
                             {"processor_class", processor_class},
                             {"split_special_tokens", false},
                             {"tokenizer_class", "Qwen2Tokenizer"},
                             {"unk_token", nullptr}};
  return root.dump(2) + "\n";
}

}  // namespace ziprl
