// Data-parallel state over ranks (ZeRO, arXiv 1910.02054). Gradients are reduced block by block
// while backward goes on, each rank owning one part of every block; with level >= 1 the optimizer's
// state is of that part alone, with level 3 the parameters between uses too. Levels 1 and 2 are
// one: gradients never wait for one another. Sums run over ranks in their order and are the same at
// every level, bit for bit. One thread at a time; every rank makes the same calls.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/comm/communicator.h"
#include "model/model.h"
#include "model/tensor.h"
#include "trainer/param_blocks.h"
#include "trainer/pass_listener.h"

namespace ziprl {

class ZeroShards : public PassListener {
 public:
  struct Config {
    int level = 0;  // actor.zero
    bool freeze_vision = false;
  };

  // The trained parameters of `model` move into one buffer a block; who holds tensors of the store
  // from before holds stale ones. Both must outlive the shards.
  ZeroShards(Model& model, comm::Communicator& communicator, Config config);
  ~ZeroShards() override;

  absl::Status Enter(int block) override;
  void Leave(int block) override;
  absl::Status GradientsReady(int block, GradientSum* grads) override;

  // Clears the sums of gradients; `step` names what follows in errors.
  void Begin(int64_t step);
  // Waits for every reduction that is under way.
  absl::Status FinishGradients();
  // The global norm, the same on every rank. After FinishGradients.
  absl::StatusOr<double> GradientNorm();
  // values (contiguous, fp32 or fp64, on the model's device) become their sum over the ranks.
  absl::Status AllReduce(const std::string& what, const at::Tensor& values);

  // What this rank updates: a run of a parameter's elements, and the gradient that belongs to it.
  struct Piece {
    int param = 0;
    int64_t offset = 0;       // of its first element
    at::Tensor weight, grad;  // [count], views
  };
  const std::vector<Piece>& pieces() const { return pieces_; }
  // Level 0 updates everything everywhere: completes the gradients. Before the update.
  absl::Status ShareGradients();
  // Every rank gets what the others have updated. After the update.
  absl::Status ShareParams();

  // Level 3: all parameters are there, until Release. Below they always are.
  absl::Status Materialize();
  void Release();
  // Level 3, after the whole parameters were written to (a checkpoint): takes this rank's part
  // anew.
  void TakeParts();

  // Held on this rank between steps, in bytes.
  int64_t GradientBytes() const;
  int64_t ParamBytes() const;

 private:
  struct Block {
    ParamBlock params;
    std::vector<int64_t> counts;  // elements by rank
    int64_t begin = 0;            // of this rank's part
    at::Tensor flat;              // [size]; level 3: no storage while not entered
    at::Tensor part;              // [counts[rank]]: a view of flat, of its own at level 3
    at::Tensor grad_part;         // fp32 [counts[rank]]
    at::Tensor grad_full;         // fp32 [size], level 0
    bool present = true;
  };
  struct Reduction {
    int block = 0;
    at::Tensor input, output;
    std::unique_ptr<comm::Pending> pending;
  };

  void BuildBlock(Block* block);
  void BuildPieces();
  absl::Status FinishOldest();
  // The status of an operation on the communicator. What a failed one was given lives on until the
  // process ends: a late message may still land there.
  absl::Status Checked(absl::Status status, const std::vector<at::Tensor>& buffers = {});
  absl::Status Gather(Block* block);
  void Drop(Block* block);

  Model& model_;
  comm::Communicator& comm_;
  const Config config_;
  const bool sharded_params_;
  std::vector<int64_t> numel_;
  std::vector<Block> blocks_;
  std::vector<Piece> pieces_;
  std::deque<Reduction> reductions_;
  int64_t step_ = 0;
  bool broken_ = false;  // an operation failed: no storage is given back any more
};

}  // namespace ziprl
