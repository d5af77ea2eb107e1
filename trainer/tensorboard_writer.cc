#include "trainer/tensorboard_writer.h"

#include <array>
#include <bit>
#include <cerrno>
#include <utility>

#include "absl/strings/str_format.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

std::array<uint32_t, 256> CrcTable() {
  std::array<uint32_t, 256> table;
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}

// TFRecord's masking: a CRC of data that holds CRCs would be weak.
uint32_t MaskedCrc(const std::string& bytes) {
  const uint32_t crc = Crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

void AppendFixed(std::string& out, uint64_t value, int bytes) {  // little endian
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void AppendTag(std::string& out, int field, WireType type) {
  AppendVarint(out, static_cast<uint64_t>(field) << 3 | type);
}

void AppendBytes(std::string& out, int field, const std::string& bytes) {
  AppendTag(out, field, kBytes);
  AppendVarint(out, bytes.size());
  out += bytes;
}

// Event: 1 wall_time (double), 2 step (int64), 3 file_version, 5 summary, 7 session_log.
std::string EventHead(absl::Time now, int64_t step) {
  std::string event;
  AppendTag(event, 1, kFixed64);
  AppendFixed(event, std::bit_cast<uint64_t>(absl::ToDoubleSeconds(now - absl::UnixEpoch())), 8);
  AppendTag(event, 2, kVarint);
  AppendVarint(event, static_cast<uint64_t>(step));
  return event;
}

// Summary.Value: 1 tag, 2 simple_value (float).
std::string SummaryValue(const std::string& tag, double value) {
  std::string out;
  AppendBytes(out, 1, tag);
  AppendTag(out, 2, kFixed32);
  AppendFixed(out, std::bit_cast<uint32_t>(static_cast<float>(value)), 4);
  return out;
}

}  // namespace

uint32_t Crc32c(const std::string& bytes) {
  static const std::array<uint32_t, 256> table = CrcTable();
  uint32_t crc = 0xffffffffu;
  for (char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

absl::StatusOr<std::unique_ptr<TensorBoardWriter>> TensorBoardWriter::Open(const std::string& dir,
                                                                           int64_t first_step,
                                                                           absl::Time now) {
  ZIPRL_RETURN_IF_ERROR(MakeDirectories(dir));
  // Readers order the files of a directory by name: time first, then the step, for runs resumed
  // within one second.
  std::string path = absl::StrFormat("%s/events.out.tfevents.%010d.ziprl.%d", dir,
                                     absl::ToUnixSeconds(now), first_step);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return absl::ErrnoToStatus(errno, path + ": open");
  std::unique_ptr<TensorBoardWriter> writer(new TensorBoardWriter(std::move(path), file));
  std::string version = EventHead(now, 0);
  AppendBytes(version, 3, "brain.Event:2");
  ZIPRL_RETURN_IF_ERROR(writer->WriteRecord(version));
  std::string start = EventHead(now, first_step);
  AppendBytes(start, 7, std::string("\x08\x01", 2));  // SessionLog: 1 status = START
  ZIPRL_RETURN_IF_ERROR(writer->WriteRecord(start));
  return writer;
}

TensorBoardWriter::~TensorBoardWriter() { std::fclose(file_); }

absl::Status TensorBoardWriter::Write(int64_t step, const std::map<std::string, double>& scalars,
                                      absl::Time now) {
  std::string summary;
  for (const auto& [tag, value] : scalars) AppendBytes(summary, 1, SummaryValue(tag, value));
  std::string event = EventHead(now, step);
  AppendBytes(event, 5, summary);
  return WriteRecord(event);
}

absl::Status TensorBoardWriter::WriteRecord(const std::string& event) {
  std::string length, record;
  AppendFixed(length, event.size(), 8);
  record = length;
  AppendFixed(record, MaskedCrc(length), 4);
  record += event;
  AppendFixed(record, MaskedCrc(event), 4);
  if (std::fwrite(record.data(), 1, record.size(), file_) != record.size() ||
      std::fflush(file_) != 0) {
    return absl::ErrnoToStatus(errno, path_ + ": write");
  }
  return absl::OkStatus();
}

}  // namespace ziprl
