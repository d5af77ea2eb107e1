#include "kernels/comm/heartbeat.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace ziprl::comm {
namespace {

constexpr size_t kMaxText = 8 << 10;  // five texts fit in a frame

template <typename T>
void Put(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutText(std::string_view text, std::string* out) {
  text = text.substr(0, kMaxText);
  Put(static_cast<uint32_t>(text.size()), out);
  out->append(text);
}

template <typename T>
bool Take(std::string_view* in, T* value) {
  if (in->size() < sizeof(T)) return false;
  std::memcpy(value, in->data(), sizeof(T));
  in->remove_prefix(sizeof(T));
  return true;
}

// Control characters become spaces: a peer's text is printed as one line.
bool TakeText(std::string_view* in, std::string* text) {
  uint32_t length = 0;
  if (!Take(in, &length) || length > kMaxText || length > in->size()) return false;
  *text = in->substr(0, length);
  in->remove_prefix(length);
  for (char& c : *text) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  }
  return true;
}

}  // namespace

std::string EncodeFrame(const Heartbeat& heartbeat) {
  std::string body;
  Put(heartbeat.kind, &body);
  Put(heartbeat.rank, &body);
  Put(heartbeat.pid, &body);
  Put(heartbeat.activity.step, &body);
  PutText(heartbeat.host, &body);
  PutText(heartbeat.activity.finished, &body);
  PutText(heartbeat.activity.current, &body);
  PutText(heartbeat.text, &body);
  std::string frame;
  Put(static_cast<uint32_t>(body.size()), &frame);
  return frame + body;
}

absl::StatusOr<Heartbeat> DecodeFrame(std::string_view frame) {
  Heartbeat heartbeat;
  uint8_t kind = 0;
  std::string_view rest = frame;
  const bool whole = Take(&rest, &kind) && Take(&rest, &heartbeat.rank) &&
                     Take(&rest, &heartbeat.pid) && Take(&rest, &heartbeat.activity.step) &&
                     TakeText(&rest, &heartbeat.host) &&
                     TakeText(&rest, &heartbeat.activity.finished) &&
                     TakeText(&rest, &heartbeat.activity.current) &&
                     TakeText(&rest, &heartbeat.text) && rest.empty();
  if (!whole || kind < Heartbeat::kHello || kind > Heartbeat::kVerdict || heartbeat.rank < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("no heartbeat: ", frame.size(), " bytes, kind ", kind));
  }
  heartbeat.kind = static_cast<Heartbeat::Kind>(kind);
  return heartbeat;
}

}  // namespace ziprl::comm
