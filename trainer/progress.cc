#include "trainer/progress.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"

namespace ziprl {
namespace {

constexpr int kBarWidth = 24;

std::string Bar(int64_t done, int64_t total) {
  const int64_t filled =
      total > 0 ? std::clamp<int64_t>(done * kBarWidth / total, 0, kBarWidth) : 0;
  return std::string(static_cast<size_t>(filled), '#') +
         std::string(static_cast<size_t>(kBarWidth - filled), '.');
}

}  // namespace

std::string ShortDuration(absl::Duration duration) {
  const int64_t s = absl::ToInt64Seconds(duration);
  if (s < 60) return absl::StrFormat("%ds", s);
  if (s < 3600) return absl::StrFormat("%dm%02ds", s / 60, s % 60);
  return absl::StrFormat("%dh%02dm", s / 3600, s / 60 % 60);
}

Progress::Progress(std::string label, int64_t done, int64_t total, std::FILE* out,
                   const Clock* clock)
    : label_(std::move(label)),
      start_(done),
      total_(total),
      out_(out),
      clock_(clock),
      started_(clock->Now()),
      terminal_(isatty(fileno(out)) == 1) {}

std::string Progress::Eta(int64_t done) const {
  if (done <= start_ || done >= total_) return "";
  const absl::Duration passed = clock_->Now() - started_;
  const double left = static_cast<double>(total_ - done) / static_cast<double>(done - start_);
  return absl::StrFormat(" ETA %s", ShortDuration(passed * left));
}

void Progress::Update(int64_t done, const std::string& text) {
  if (terminal_) {
    std::fprintf(out_, "\r\033[K%s [%s] %lld/%lld%s  %s", label_.c_str(), Bar(done, total_).c_str(),
                 static_cast<long long>(done), static_cast<long long>(total_), Eta(done).c_str(),
                 text.c_str());
    drawn_ = true;
  } else {
    std::fprintf(out_, "%s %lld/%lld%s  %s\n", label_.c_str(), static_cast<long long>(done),
                 static_cast<long long>(total_), Eta(done).c_str(), text.c_str());
  }
  std::fflush(out_);
}

void Progress::Note(const std::string& text) {
  if (drawn_) std::fprintf(out_, "\r\033[K");
  drawn_ = false;
  std::fprintf(out_, "%s\n", text.c_str());
  std::fflush(out_);
}

void Progress::Finish() {
  if (drawn_) std::fprintf(out_, "\n");
  drawn_ = false;
  std::fflush(out_);
}

}  // namespace ziprl
