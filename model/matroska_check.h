// Whether a Matroska or WebM file's elements fit together.
#pragma once

#include "absl/status/status.h"
#include "model/video_bytes.h"

namespace ziprl {

// Walks the Segment's parts and the blocks of its clusters: every element is one that may stand
// there and lies within what holds it, every block belongs to a track. FFmpeg would look for the
// next cluster and leave out what lies between. A Segment or cluster of unknown size, as a live
// recording has them, may end anywhere.
absl::Status CheckMatroska(VideoBytes& reader);

}  // namespace ziprl
