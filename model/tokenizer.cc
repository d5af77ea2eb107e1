#include "model/tokenizer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/added_tokens.h"
#include "model/bpe.h"
#include "model/split_pattern.h"
#include "model/tokenizer_json.h"
#include "model/unicode.h"

namespace ziprl {

struct Tokenizer::Impl {
  std::optional<Bpe> bpe;
  AddedTokens added;
  std::unordered_map<std::string, int32_t> ids;  // vocabulary and added tokens
  std::vector<std::string> bytes;                // id -> what it decodes to
  std::vector<uint8_t> special;                  // id -> 1 for special tokens
};

namespace {

// The bytes a vocabulary entry stands for; an entry with any other character is taken as it is.
std::string FromByteLevel(const std::string& token) {
  std::string bytes;
  for (size_t pos = 0; pos < token.size();) {
    const int byte = CharToByte(NextCodePoint(token, &pos));
    if (byte < 0) return token;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

absl::StatusOr<std::array<int32_t, 256>> ByteIds(const TokenizerData& data,
                                                 const std::string& where) {
  std::array<int32_t, 256> ids;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token = ToByteLevel(std::string(1, static_cast<char>(byte)));
    const auto it = data.vocab.find(token);
    if (it == data.vocab.end()) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": the vocabulary lacks the token \"",
                                                     token, "\" of byte ", byte,
                                                     "; all 256 bytes are needed"));
    }
    ids[byte] = it->second;
  }
  return ids;
}

}  // namespace

Tokenizer::Tokenizer() : impl_(std::make_unique<Impl>()) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& tokenizer_json_path) {
  ZIPRL_ASSIGN_OR_RETURN(const std::string json, ReadFile(tokenizer_json_path));
  return Parse(json, tokenizer_json_path);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Parse(std::string_view json,
                                                            const std::string& where) {
  ZIPRL_ASSIGN_OR_RETURN(TokenizerData data, ParseTokenizerJson(json, where));
  ZIPRL_ASSIGN_OR_RETURN(const auto byte_ids, ByteIds(data, where));
  auto tokenizer = std::unique_ptr<Tokenizer>(new Tokenizer());
  Impl& impl = *tokenizer->impl_;
  impl.bpe.emplace(byte_ids, data.merges);
  int32_t largest = 0;
  for (const auto& [token, id] : data.vocab) largest = std::max(largest, id);
  for (const AddedToken& token : data.added) largest = std::max(largest, token.id);
  impl.bytes.resize(largest + 1);
  impl.special.resize(largest + 1, 0);
  for (const auto& [token, id] : data.vocab) impl.bytes[id] = FromByteLevel(token);
  impl.ids = std::move(data.vocab);
  for (const AddedToken& token : data.added) {
    impl.bytes[token.id] = FromByteLevel(token.content);
    impl.special[token.id] = token.special;
    impl.ids[token.content] = token.id;
  }
  impl.added = AddedTokens(std::move(data.added));
  return tokenizer;
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3);
  const auto encode_pieces = [&](std::string_view stretch) {
    for (size_t begin = 0, end = 0; begin < stretch.size(); begin = end) {
      end = PieceEnd(stretch, begin);
      impl_->bpe->Encode(stretch.substr(begin, end - begin), &ids);
    }
  };
  const auto encode_text = [&](std::string_view stretch) {
    IsPlainlyNfc(stretch) ? encode_pieces(stretch) : encode_pieces(Nfc(stretch));
  };
  const auto add_id = [&](int32_t id) { ids.push_back(id); };
  IsValidUtf8(text) ? impl_->added.Split(text, encode_text, add_id)
                    : impl_->added.Split(ReplaceInvalidUtf8(text), encode_text, add_id);
  return ids;
}

std::string Tokenizer::Decode(const std::vector<int32_t>& ids, bool skip_special) const {
  std::string bytes;
  for (int32_t id : ids) {
    if (id < 0 || id >= vocab_size() || (skip_special && impl_->special[id])) continue;
    bytes += impl_->bytes[id];
  }
  return ReplaceInvalidUtf8(bytes);
}

int32_t Tokenizer::TokenId(std::string_view token) const {
  const auto it = impl_->ids.find(std::string(token));
  return it == impl_->ids.end() ? -1 : it->second;
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(impl_->bytes.size()); }

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && id < vocab_size() && impl_->special[id] != 0;
}

}  // namespace ziprl
