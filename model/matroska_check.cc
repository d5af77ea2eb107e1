#include "model/matroska_check.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"

namespace ziprl {
namespace {

constexpr uint64_t kSegment = 0x18538067, kCluster = 0x1f43b675, kTracks = 0x1654ae6b;
constexpr uint64_t kTrackEntry = 0xae, kTrackNumber = 0xd7;
constexpr uint64_t kSimpleBlock = 0xa3, kBlockGroup = 0xa0, kBlock = 0xa1;
constexpr int64_t kUnknown = -1;

// Seek head, info, tracks, cues, chapters, tags, attachments, clusters, padding, checksum.
constexpr std::initializer_list<uint64_t> kParts = {0x114d9b74, 0x1549a966, kTracks,    0x1c53bb6b,
                                                    0x1043a770, 0x1254c367, 0x1941a469, kCluster,
                                                    0xec,       0xbf};
// Time, position, previous size, silent tracks, blocks, encrypted blocks, padding, checksum.
constexpr std::initializer_list<uint64_t> kInCluster = {
    0xe7, 0xa7, 0xab, 0x5854, kSimpleBlock, kBlockGroup, 0xaf, 0xec, 0xbf};

bool IsOneOf(std::initializer_list<uint64_t> ids, uint64_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

struct Element {
  uint64_t id = 0;
  int64_t size = 0, begin = 0;  // of the content; kUnknown where the file leaves the size open
};

class Walker {
 public:
  explicit Walker(VideoBytes& reader) : reader_(reader) {}

  absl::Status Walk() {
    const int64_t file_end = reader_.at() + reader_.left();
    ZIPRL_ASSIGN_OR_RETURN(const Element header, Next(file_end));
    reader_.Skip(header.size);
    ZIPRL_ASSIGN_OR_RETURN(const Element segment, Next(file_end));
    if (segment.id != kSegment) {
      return absl::InvalidArgumentError("the video has no Segment behind its EBML header");
    }
    const int64_t end = EndOf(segment, file_end);
    while (reader_.at() < end || behind_.has_value()) {
      Element part;
      if (behind_.has_value()) {
        part = *std::exchange(behind_, std::nullopt);
      } else {
        ZIPRL_ASSIGN_OR_RETURN(part, Next(end));
      }
      ZIPRL_RETURN_IF_ERROR(TakePart(part, end));
    }
    return absl::OkStatus();
  }

 private:
  // A number: as many leading zero bits as further bytes; an id keeps its mark.
  uint64_t Number(bool keep_mark) {
    const uint8_t first = reader_.Byte();
    int further = 0;
    while (further < 8 && (first & 0x80 >> further) == 0) ++further;
    if (further == 8) return 0;
    const uint64_t all = uint64_t{first} << 8 * further | reader_.BigEndian(further);
    const uint64_t mask = (uint64_t{1} << 7 * (further + 1)) - 1;
    if (keep_mark) return all;
    return (all & mask) == mask ? static_cast<uint64_t>(kUnknown) : all & mask;
  }

  // The element here, which must lie before `end`.
  absl::StatusOr<Element> Next(int64_t end) {
    Element element;
    element.id = Number(/*keep_mark=*/true);
    element.size = static_cast<int64_t>(Number(/*keep_mark=*/false));
    element.begin = reader_.at();
    const bool open =
        element.size == kUnknown && (element.id == kSegment || element.id == kCluster);
    const int64_t room = std::min(end - reader_.at(), reader_.left());
    if (open || (element.size >= 0 && element.size <= room)) return element;
    return VideoCutOff(absl::StrCat("the element ", absl::Hex(element.id)),
                       static_cast<uint64_t>(element.size), reader_);
  }

  int64_t EndOf(const Element& element, int64_t end) const {
    return element.size == kUnknown ? end : element.begin + element.size;
  }

  absl::Status Stray(const Element& element, const char* where) const {
    return absl::InvalidArgumentError(absl::StrCat("an element ", absl::Hex(element.id),
                                                   " before byte ", element.begin,
                                                   " cannot stand in a ", where));
  }

  absl::Status TakePart(const Element& part, int64_t end) {
    if (!IsOneOf(kParts, part.id)) return Stray(part, "Segment");
    if (part.id == kCluster) return TakeCluster(part, end);
    if (part.id == kTracks) return TakeTracks(EndOf(part, end));
    reader_.Skip(part.size);
    return absl::OkStatus();
  }

  absl::Status TakeTracks(int64_t end) {
    while (reader_.at() < end) {
      ZIPRL_ASSIGN_OR_RETURN(const Element entry, Next(end));
      if (entry.id == kTrackEntry) continue;  // its parts come next
      if (entry.id == kTrackNumber && entry.size <= 8) {
        tracks_.insert(reader_.BigEndian(static_cast<int>(entry.size)));
      } else {
        reader_.Skip(entry.size);
      }
    }
    return absl::OkStatus();
  }

  // A cluster of unknown size goes on until the next part of the Segment.
  absl::Status TakeCluster(const Element& cluster, int64_t segment_end) {
    const int64_t end = EndOf(cluster, segment_end);
    while (reader_.at() < end) {
      ZIPRL_ASSIGN_OR_RETURN(const Element element, Next(end));
      if (!IsOneOf(kInCluster, element.id)) {
        if (cluster.size != kUnknown || !IsOneOf(kParts, element.id)) {
          return Stray(element, "Cluster");
        }
        behind_ = element;
        return absl::OkStatus();
      }
      if (element.id == kSimpleBlock) {
        ZIPRL_RETURN_IF_ERROR(TakeBlock(element));
      } else if (element.id == kBlockGroup) {
        ZIPRL_RETURN_IF_ERROR(TakeGroup(EndOf(element, end)));
      } else {
        reader_.Skip(element.size);
      }
    }
    return absl::OkStatus();
  }

  absl::Status TakeGroup(int64_t end) {
    while (reader_.at() < end) {
      ZIPRL_ASSIGN_OR_RETURN(const Element element, Next(end));
      if (element.id == kBlock) {
        ZIPRL_RETURN_IF_ERROR(TakeBlock(element));
      } else {
        reader_.Skip(element.size);
      }
    }
    return absl::OkStatus();
  }

  absl::Status TakeBlock(const Element& block) {
    const uint64_t track = Number(/*keep_mark=*/false);
    if (tracks_.count(track) == 0) {
      return absl::InvalidArgumentError(absl::StrCat("the block at byte ", block.begin,
                                                     " is of track ", track,
                                                     ", which the file does not have"));
    }
    reader_.Skip(block.begin + block.size - reader_.at());
    return absl::OkStatus();
  }

  VideoBytes& reader_;
  std::set<uint64_t> tracks_;
  std::optional<Element> behind_;  // the part that a cluster of unknown size ended before
};

}  // namespace

absl::Status CheckMatroska(VideoBytes& reader) { return Walker(reader).Walk(); }

}  // namespace ziprl
