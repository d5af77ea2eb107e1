// row_probe FORMAT KEY=VALUE... FILE...: every row of the files as the data reader sees it, a JSON
// object a line. Keys: prompt, answer, image, video.
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "trainer/data/image_store.h"
#include "trainer/data/row.h"
#include "trainer/data/row_file.h"
#include "trainer/data/row_json.h"

namespace ziprl {
namespace {

using Json = nlohmann::json;

Json MediaJson(const MediaRef& media) {
  Json out = {{"source", media.source}};
  if (media.bytes != nullptr) out["bytes"] = absl::Base64Escape(*media.bytes);
  return out;
}

Json RowJson(const Row& row) {
  Json out = {{"problem", row.problem}, {"answer", row.answer}, {"source", row.source},
              {"kind", row.kind},       {"extra", row.extra},   {"images", Json::array()},
              {"videos", Json::array()}};
  for (const MediaRef& image : row.images) out["images"].push_back(MediaJson(image));
  for (const MediaRef& video : row.videos) out["videos"].push_back(MediaJson(video));
  for (const Message& message : row.messages) {
    Json items = Json::array();
    for (const ContentItem& item : message.content) {
      if (item.kind == ContentItem::Kind::kText) items.push_back({"text", item.text});
      if (item.kind == ContentItem::Kind::kImage) items.push_back({"image"});
      if (item.kind == ContentItem::Kind::kVideo) items.push_back({"video"});
    }
    out["turns"].push_back({message.role, items});
  }
  return out;
}

Json Error(const absl::Status& status) {
  return {{"error", std::string(status.message())}, {"column", ColumnOf(status)}};
}

void PrintRows(const std::string& path, const std::string& format, const RowOptions& options) {
  const auto file = RowFile::Open(path, format);
  if (!file.ok()) {
    std::cout << Error(file.status()).dump() << "\n";
    return;
  }
  if (const absl::Status checked = (*file)->CheckColumns(options); !checked.ok()) {
    std::cout << Error(checked).dump() << "\n";
    return;
  }
  ImageStore images;
  for (int64_t i = 0; i < (*file)->rows(); ++i) {
    const auto object = (*file)->Read(i);
    const auto row =
        object.ok() ? RowOf(*object, options, DirectoryOf(path), images) : object.status();
    std::cout << (row.ok() ? RowJson(*row) : Error(row.status())).dump() << "\n";
  }
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  ziprl::RowOptions options;
  const std::map<std::string, std::string*> keys = {{"prompt", &options.prompt_key},
                                                    {"answer", &options.answer_key},
                                                    {"image", &options.image_key},
                                                    {"video", &options.video_key}};
  for (int i = 2; i < argc; ++i) {
    const std::string given = argv[i];
    const size_t equals = given.find('=');
    if (equals != std::string::npos) {
      *keys.at(given.substr(0, equals)) = given.substr(equals + 1);
    } else {
      ziprl::PrintRows(given, argv[1], options);
    }
  }
  return 0;
}
