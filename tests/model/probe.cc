// What the torch-free half of model/ gives, on stdin and stdout, for the judges written in Python.
// Byte strings travel as lines of hex digits, everything else as lines of JSON.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "model/architecture.h"
#include "model/chat_template.h"
#include "model/image_processor.h"
#include "model/mrope.h"
#include "model/processor.h"
#include "model/processor_files.h"
#include "model/safetensors.h"
#include "model/split_pattern.h"
#include "model/tokenizer.h"
#include "model/unicode.h"

namespace ziprl {
namespace {

using nlohmann::json;
using Args = std::vector<std::string>;

// The value, or the end of the program with the error on stderr.
template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::cerr << value.status().message() << "\n";
  std::exit(1);
}

void ForLines(const std::function<void(const std::string&)>& fn) {
  for (std::string line; std::getline(std::cin, line);) fn(line);
}

void Encode(const Args& args) {
  const auto tokenizer = OrDie(Tokenizer::Load(args[0]));
  ForLines([&](const std::string& line) {
    std::cout << absl::StrJoin(tokenizer->Encode(absl::HexStringToBytes(line)), " ") << "\n";
  });
}

void Decode(const Args& args) {
  const auto tokenizer = OrDie(Tokenizer::Load(args[0]));
  ForLines([&](const std::string& line) {
    const auto ids = json::parse(line).get<std::vector<int32_t>>();
    std::cout << absl::BytesToHexString(tokenizer->Decode(ids, args[1] == "skip")) << "\n";
  });
}

void Train(const Args& args) {
  std::vector<std::string> corpus;
  ForLines([&](const std::string& line) { corpus.push_back(absl::HexStringToBytes(line)); });
  std::cout << OrDie(TrainTokenizerJson(corpus, std::stoi(args[0])));
}

void NfcLines(const Args&) {
  ForLines([](const std::string& line) {
    std::cout << absl::BytesToHexString(Nfc(absl::HexStringToBytes(line))) << "\n";
  });
}

void Split(const Args&) {
  ForLines([](const std::string& line) {
    std::vector<std::string> pieces;
    SplitPieces(absl::HexStringToBytes(line), [&](std::string_view piece) {
      pieces.push_back(absl::BytesToHexString(std::string(piece)));
    });
    std::cout << absl::StrJoin(pieces, " ") << "\n";
  });
}

std::vector<Message> Messages(const json& list) {
  std::vector<Message> messages;
  for (const json& entry : list) {
    Message message{entry["role"].get<std::string>(), {}};
    if (entry["content"].is_string()) {
      message.content.push_back({ContentItem::Kind::kText, entry["content"].get<std::string>()});
    }
    for (const json& item : entry["content"].is_array() ? entry["content"] : json::array()) {
      const std::string type = item["type"].get<std::string>();
      const auto kind = type == "image"   ? ContentItem::Kind::kImage
                        : type == "video" ? ContentItem::Kind::kVideo
                                          : ContentItem::Kind::kText;
      message.content.push_back({kind, item.value("text", "")});
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

void Chat(const Args&) {
  ForLines([](const std::string& line) {
    const json row = json::parse(line);
    const ChatTemplate how = {!row.value("bare", false), row.value("vision_id", false)};
    const std::string text =
        OrDie(RenderChat(Messages(row["messages"]), row["generate"].get<bool>(), how));
    std::cout << absl::BytesToHexString(text) << "\n";
  });
}

void Prompt(const Args& args) {
  const auto processor = OrDie(Processor::Load(args[0]));
  ForLines([&](const std::string& line) {
    const json row = json::parse(line);
    std::vector<MediaRef> images;
    for (const json& path : row["images"])
      images.push_back(OrDie(ReadMedia(path.get<std::string>())));
    const auto ids =
        OrDie(processor->PromptIds(Messages(row["messages"]), images, row["generate"].get<bool>()));
    std::cout << absl::StrJoin(ids, " ") << "\n";
  });
}

// args: directory with the image processor's config; rows {image, out}: writes raw fp32 values.
void Pixels(const Args& args) {
  const ImageProcessorConfig config = OrDie(LoadImageProcessorConfig(args[0]));
  ForLines([&](const std::string& line) {
    const json row = json::parse(line);
    const MediaRef image = OrDie(ReadMedia(row["image"].get<std::string>()));
    const Image decoded = OrDie(DecodeImage(*image.bytes, image.source));
    const ImagePatches patches = OrDie(ProcessImage(config, decoded));
    std::ofstream out(row["out"].get<std::string>(), std::ios::binary);
    out.write(reinterpret_cast<const char*>(patches.values.data()),
              static_cast<std::streamsize>(patches.values.size() * sizeof(float)));
    std::cout << json({patches.grid.t, patches.grid.h, patches.grid.w, patches.patch_dim}) << "\n";
  });
}

void SmartResizes(const Args& args) {
  const ImageProcessorConfig config = OrDie(LoadImageProcessorConfig(args[0]));
  ForLines([&](const std::string& line) {
    const json row = json::parse(line);
    const auto size = SmartResize(config, row[0].get<int>(), row[1].get<int>());
    std::cout << (size.ok() ? json({size->first, size->second}) : json(nullptr)) << "\n";
  });
}

// args: directory, patch, temporal patch, merge, min pixels, max pixels.
void Files(const Args& args) {
  ImageProcessorConfig config;
  config.patch = std::stoi(args[1]);
  config.temporal_patch = std::stoi(args[2]);
  config.merge = std::stoi(args[3]);
  config.min_pixels = std::stoll(args[4]);
  config.max_pixels = std::stoll(args[5]);
  const absl::Status written =
      WriteProcessorFiles(args[0], "Qwen2_5_VLProcessor", config, kQwenChatTemplate);
  if (!written.ok()) OrDie(absl::StatusOr<int>(written));
}

void Config(const Args& args) {
  const Architecture arch = OrDie(LoadArchitecture(args[0]));
  json specs = json::array();
  for (const ParamSpec& spec : ParamSpecs(arch)) specs.push_back({spec.name, spec.shape});
  std::cout << json({{"config", ArchitectureToJson(arch)},
                     {"generation", GenerationConfigToJson(arch)},
                     {"specs", specs}})
            << "\n";
}

void CanonicalNames(const Args&) {
  ForLines([](const std::string& line) { std::cout << CanonicalParamName(line) << "\n"; });
}

void Mrope(const Args& args) {
  const Architecture arch = OrDie(LoadArchitecture(args[0]));
  ForLines([&](const std::string& line) {
    const json row = json::parse(line);
    std::vector<Grid> grids;
    for (const json& medium : row["media"]) {
      const json& g = medium[0];
      grids.push_back({g[0].get<int>(), g[1].get<int>(), g[2].get<int>(), medium[1].get<float>()});
    }
    const auto positions =
        OrDie(MropePositions(arch, row["ids"].get<std::vector<int32_t>>(), grids));
    std::cout << json({{"axes", positions.axes}, {"next", positions.next}}) << "\n";
  });
}

void CopySafetensors(const Args& args) {
  const auto file = OrDie(SafetensorsFile::Open(args[0]));
  const absl::Status written = WriteSafetensors(args[1], file->tensors(), file->metadata());
  if (!written.ok()) OrDie(absl::StatusOr<int>(written));
}

int Main(int argc, char** argv) {
  const std::map<std::string, void (*)(const Args&)> commands = {
      {"encode", Encode}, {"decode", Decode},       {"train", Train},
      {"nfc", NfcLines},  {"split", Split},         {"chat", Chat},
      {"prompt", Prompt}, {"pixels", Pixels},       {"sizes", SmartResizes},
      {"files", Files},   {"config", Config},       {"names", CanonicalNames},
      {"mrope", Mrope},   {"copy", CopySafetensors}};
  const auto command = argc > 1 ? commands.find(argv[1]) : commands.end();
  if (command == commands.end()) {
    std::cerr << "usage: probe COMMAND [ARG...]\n";
    return 2;
  }
  command->second(Args(argv + 2, argv + argc));
  return 0;
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) { return ziprl::Main(argc, argv); }
