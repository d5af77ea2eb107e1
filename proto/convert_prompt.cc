// Prompts and leases of proto/convert.h.
#include <memory>
#include <utility>

#include "configs/base/status_macros.h"
#include "proto/convert.h"
#include "proto/convert_check.h"
#include "proto/coordinator.pb.h"
#include "proto/types.pb.h"

namespace ziprl {
namespace {

// Length of the UTF-8 character at text[i], 0 if there is none.
size_t CharacterLength(const std::string& text, size_t i) {
  const auto byte = [&text](size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
  };
  const auto follows = [&byte](size_t at) { return (byte(at) & 0xc0) == 0x80; };
  const unsigned first = byte(i), second = byte(i + 1);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(i + 1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool shortest = first != 0xe0 || second >= 0xa0;
    const bool no_surrogate = first != 0xed || second < 0xa0;
    return follows(i + 1) && follows(i + 2) && shortest && no_surrogate ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool in_range = (first != 0xf0 || second >= 0x90) && (first != 0xf4 || second < 0x90);
    return follows(i + 1) && follows(i + 2) && follows(i + 3) && in_range ? 4 : 0;
  }
  return 0;
}

absl::StatusOr<MediaRef> MediaFromPb(const v1::MediaRef& in, const std::string& field) {
  constexpr size_t kLongestPath = 4096;
  if (in.kind() != v1::MEDIA_KIND_IMAGE && in.kind() != v1::MEDIA_KIND_VIDEO) {
    return BadField(field, "kind", in.kind(), ", allowed is an image's 0 or a video's 1");
  }
  MediaRef media;
  media.kind = in.kind() == v1::MEDIA_KIND_VIDEO ? MediaKind::kVideo : MediaKind::kImage;
  if (!in.path().empty() && (media.kind == MediaKind::kImage || in.path()[0] != '/' ||
                             in.path().size() > kLongestPath || !in.bytes().empty())) {
    return BadField(field, "path", "given is a path of ", in.path().size(),
                    " bytes, allowed is a video's without bytes, absolute, of at most ",
                    kLongestPath);
  }
  media.path = in.path();
  media.content_hash = in.content_hash();
  media.source = in.source();
  if (in.bytes().empty()) return media;
  media.content_hash = ContentHash(media.kind, in.bytes());
  if (media.content_hash != in.content_hash()) {
    return BadField(field, "content_hash", "given is ", in.content_hash(), ", the ",
                    in.bytes().size(), " bytes have ", media.content_hash);
  }
  media.bytes = std::make_shared<const std::string>(in.bytes());
  return media;
}

absl::StatusOr<SampleRequest> SampleFromPb(const v1::SampleRequest& in, const std::string& field) {
  if (in.index() < 0) return BadField(field, "index", in.index(), " is negative");
  ZIPRL_RETURN_IF_ERROR(CheckThreshold(field, in.p()));
  SampleRequest sample;
  sample.index = in.index();
  sample.p = in.p();
  sample.seed = in.seed();
  return sample;
}

}  // namespace

std::string ToUtf8(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t length = CharacterLength(text, i);
    if (length == 0) {
      out += '?';
      ++i;
      continue;
    }
    out.append(text, i, length);
    i += length;
  }
  return out;
}

absl::Status CheckCount(const std::string& field, int64_t value) {
  if (value >= 0 && value <= kMaxCount) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, ", allowed is 0 to 2^53"));
}

absl::Status CheckAddress(const std::string& field, const std::string& address) {
  constexpr size_t kLongest = 256;
  if (address.size() <= kLongest) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", address.size(), " bytes, allowed is 0 to ", kLongest));
}

void ToPb(const Prompt& prompt, v1::Prompt* out) {
  out->set_id(prompt.id);
  out->set_row(prompt.row);
  out->mutable_token_ids()->Assign(prompt.token_ids.begin(), prompt.token_ids.end());
  for (const MediaRef& medium : prompt.media) {
    v1::MediaRef* media = out->add_media();
    media->set_content_hash(medium.content_hash);
    media->set_source(ToUtf8(medium.source));
    if (medium.bytes != nullptr) media->set_bytes(*medium.bytes);
    if (medium.kind == MediaKind::kVideo) media->set_kind(v1::MEDIA_KIND_VIDEO);
    media->set_path(ToUtf8(medium.path));
  }
  out->set_problem(ToUtf8(prompt.problem));
  out->set_answer(ToUtf8(prompt.answer));
  out->set_source(ToUtf8(prompt.source));
  out->set_kind(ToUtf8(prompt.kind));
  for (const auto& [column, value] : prompt.extra) {
    (*out->mutable_extra())[ToUtf8(column)] = ToUtf8(value);
  }
}

absl::StatusOr<Prompt> FromPb(const v1::Prompt& in, const std::string& field) {
  if (in.id() > static_cast<uint64_t>(kMaxCount)) {
    return BadField(field, "id", in.id(), ", allowed is 0 to 2^53");
  }
  ZIPRL_RETURN_IF_ERROR(CheckCount(field + ".row", in.row()));
  ZIPRL_RETURN_IF_ERROR(CheckTokenIds(field, in.token_ids()));
  Prompt prompt;
  prompt.id = in.id();
  prompt.row = in.row();
  prompt.token_ids.assign(in.token_ids().begin(), in.token_ids().end());
  for (int i = 0; i < in.media_size(); ++i) {
    ZIPRL_ASSIGN_OR_RETURN(MediaRef media, MediaFromPb(in.media(i), Element(field, "media", i)));
    prompt.media.push_back(std::move(media));
  }
  prompt.problem = in.problem();
  prompt.answer = in.answer();
  prompt.source = in.source();
  prompt.kind = in.kind();
  prompt.extra.insert(in.extra().begin(), in.extra().end());
  return prompt;
}

void ToPb(const GroupLease& lease, v1::GroupLease* out) {
  out->set_lease_id(lease.lease_id);
  ToPb(lease.prompt, out->mutable_prompt());
  out->set_group_seed(lease.group_seed);
  for (const SampleRequest& request : lease.samples) {
    v1::SampleRequest* sample = out->add_samples();
    sample->set_index(request.index);
    sample->set_p(request.p);
    sample->set_seed(request.seed);
  }
  out->set_version(lease.version);
  out->set_weights(lease.weights);
}

absl::StatusOr<GroupLease> FromPb(const v1::GroupLease& in, const std::string& field) {
  GroupLease lease;
  lease.lease_id = in.lease_id();
  ZIPRL_ASSIGN_OR_RETURN(lease.prompt, FromPb(in.prompt(), field + ".prompt"));
  lease.group_seed = in.group_seed();
  for (int i = 0; i < in.samples_size(); ++i) {
    ZIPRL_ASSIGN_OR_RETURN(SampleRequest sample,
                           SampleFromPb(in.samples(i), Element(field, "samples", i)));
    lease.samples.push_back(sample);
  }
  ZIPRL_RETURN_IF_ERROR(CheckCount(field + ".version", in.version()));
  lease.version = in.version();
  ZIPRL_RETURN_IF_ERROR(CheckAddress(field + ".weights", in.weights()));
  lease.weights = in.weights();
  return lease;
}

void ToPb(const WorkerId& worker, v1::WorkerId* out) {
  out->set_name(ToUtf8(worker.name));
  out->set_incarnation(worker.incarnation);
}

absl::StatusOr<WorkerId> FromPb(const v1::WorkerId& in, const std::string& field) {
  constexpr size_t kLongestName = 256;
  if (in.name().empty() || in.name().size() > kLongestName) {
    return BadField(field, "name", in.name().size(), " bytes, allowed is 1 to ", kLongestName);
  }
  ZIPRL_RETURN_IF_ERROR(CheckCount(field + ".incarnation", in.incarnation()));
  WorkerId worker;
  worker.name = in.name();
  worker.incarnation = in.incarnation();
  return worker;
}

}  // namespace ziprl
