// The questions of an evaluation as a stream for the engine, and their answers back in order.
#pragma once

#include <functional>
#include <list>
#include <vector>

#include "absl/status/status.h"
#include "configs/base/mutex.h"
#include "proto/rollout_engine.h"
#include "trainer/data/prompt_dataset.h"

namespace ziprl {

// Its callbacks are called from the engine's threads, one at a time.
class QuestionStream : public GroupStream {
 public:
  using MakeLease = std::function<GroupLease(Prompt)>;
  // Hears of every question in their order. An error ends the stream.
  using Answered = std::function<absl::Status(const GroupLease&, const std::vector<Completion>&)>;

  // Everything must outlive it. Reads `batch` questions at a time, so that their images are decoded
  // ahead; answers to a few batches wait for an earlier one.
  QuestionStream(RolloutEngine& engine, const PromptStream& questions, int batch,
                 MakeLease make_lease, Answered answered);

  const GroupLease* Next(bool idle) override;
  void Done(const GroupLease& group, std::vector<Completion> completions) override;
  void Close() override;

  // Behind a call of the engine that was Ok: whether there is another to make. Internal: it left
  // questions undone.
  absl::StatusOr<bool> MoreToCome();
  // The first error of a question or of `answered`.
  absl::Status status();

 private:
  struct Item {
    GroupLease lease;
    std::vector<Completion> completions;
    bool done = false;
  };

  void ReadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  RolloutEngine& engine_;
  const PromptStream& questions_;
  const size_t batch_;
  const MakeLease make_lease_;
  const Answered answered_;

  Mutex mutex_;
  CondVar changed_;
  std::list<Item> items_ ABSL_GUARDED_BY(mutex_);  // in order; the first `given_` are handed out
  size_t given_ ABSL_GUARDED_BY(mutex_) = 0;
  bool read_all_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ziprl
