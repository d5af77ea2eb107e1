// What the video half of model/ gives, on stdin and stdout, for judge_video.py: lines of JSON.
//   frames            {video, out}: writes all frames as raw RGB; {width, height, frames, fps}
//   pixels DIR        {video, out, memory}: writes raw fp32 patches; {grid, seconds, indices}
//   sample DIR        {frames, fps, width, height}: {grid, seconds, indices}
//   prompt DIR        {messages, media: [{kind, path}], generate}: ids
// What cannot be done is {error}.
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/processor.h"
#include "model/video_processor.h"

namespace ziprl {
namespace {

using nlohmann::json;

void Write(const std::string& path, const void* data, size_t bytes) {
  std::ofstream(path, std::ios::binary)
      .write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
}

json GridJson(const Grid& grid, const std::vector<int64_t>& indices) {
  return {{"grid", {grid.t, grid.h, grid.w}}, {"seconds", grid.seconds}, {"indices", indices}};
}

absl::StatusOr<json> Frames(const std::string&, const json& row) {
  ZIPRL_ASSIGN_OR_RETURN(const MediaRef video, ReferToVideo(row["video"]));
  ZIPRL_ASSIGN_OR_RETURN(const VideoInfo info, ReadVideoInfo(video));
  std::vector<int64_t> all;
  for (int64_t i = 0; i < info.frames; ++i) all.push_back(i);
  std::ofstream out(row["out"].get<std::string>(), std::ios::binary);
  ZIPRL_RETURN_IF_ERROR(DecodeFrames(video, info, all, [&](const Image& frame) {
    out.write(reinterpret_cast<const char*>(frame.pixels.data()),
              static_cast<std::streamsize>(frame.pixels.size()));
    return absl::OkStatus();
  }));
  return json(
      {{"width", info.width}, {"height", info.height}, {"frames", info.frames}, {"fps", info.fps}});
}

absl::StatusOr<json> Pixels(const std::string& dir, const json& row) {
  ZIPRL_ASSIGN_OR_RETURN(const VideoProcessorConfig config, LoadVideoProcessorConfig(dir));
  ZIPRL_ASSIGN_OR_RETURN(MediaRef video, ReferToVideo(row["video"]));
  if (row["memory"]) {
    ZIPRL_ASSIGN_OR_RETURN(std::string bytes, ReadFile(video.path));
    const MediaRef held = MediaFromBytes(std::move(bytes), "bytes", MediaKind::kVideo);
    if (held.content_hash != video.content_hash) return absl::InternalError("another hash");
    video = held;
  }
  ZIPRL_ASSIGN_OR_RETURN(const VideoInfo info, ReadVideoInfo(video));
  ZIPRL_ASSIGN_OR_RETURN(const ImagePatches patches, ProcessVideo(config, video, info));
  ZIPRL_ASSIGN_OR_RETURN(const auto indices, SampleFrames(config, info));
  Write(row["out"], patches.values.data(), patches.values.size() * sizeof(float));
  return GridJson(patches.grid, indices);
}

absl::StatusOr<json> Sample(const std::string& dir, const json& row) {
  ZIPRL_ASSIGN_OR_RETURN(const VideoProcessorConfig config, LoadVideoProcessorConfig(dir));
  const VideoInfo info = {row["width"], row["height"], row["frames"], row["fps"]};
  ZIPRL_ASSIGN_OR_RETURN(const auto indices, SampleFrames(config, info));
  ZIPRL_ASSIGN_OR_RETURN(const Grid grid, VideoGrid(config, info));
  return GridJson(grid, indices);
}

absl::StatusOr<json> PromptRow(const std::string& dir, const json& row) {
  static const auto processor = Processor::Load(dir);
  ZIPRL_RETURN_IF_ERROR(processor.status());
  std::vector<Message> messages;
  for (const json& entry : row["messages"]) {
    Message message{entry["role"], {}};
    for (const json& item : entry["content"]) {
      const auto kind = item["type"] == "image"   ? ContentItem::Kind::kImage
                        : item["type"] == "video" ? ContentItem::Kind::kVideo
                                                  : ContentItem::Kind::kText;
      message.content.push_back({kind, item.value("text", "")});
    }
    messages.push_back(std::move(message));
  }
  std::vector<MediaRef> media;
  for (const json& medium : row["media"]) {
    ZIPRL_ASSIGN_OR_RETURN(MediaRef ref, medium["kind"] == "video" ? ReferToVideo(medium["path"])
                                                                   : ReadMedia(medium["path"]));
    media.push_back(std::move(ref));
  }
  ZIPRL_ASSIGN_OR_RETURN(const auto ids, (*processor)->PromptIds(messages, media, row["generate"]));
  return json(ids);
}

int Main(int argc, char** argv) {
  using Command = absl::StatusOr<json> (*)(const std::string& dir, const json& row);
  const std::map<std::string, Command> commands = {
      {"frames", Frames}, {"pixels", Pixels}, {"sample", Sample}, {"prompt", PromptRow}};
  const auto command = argc > 1 ? commands.find(argv[1]) : commands.end();
  if (command == commands.end()) {
    std::cerr << "usage: video_probe COMMAND [DIR]\n";
    return 2;
  }
  for (std::string line; std::getline(std::cin, line);) {
    const auto out = command->second(argc > 2 ? argv[2] : "", json::parse(line));
    std::cout << (out.ok() ? *out : json({{"error", std::string(out.status().message())}})) << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) { return ziprl::Main(argc, argv); }
