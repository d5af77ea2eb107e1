#include "proto/weights/weight_server.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/status_macros.h"
#include "proto/rpc_status.h"
#include "proto/weights.grpc.pb.h"
#include "proto/weights/checksum.h"
#include "proto/weights/weight_convert.h"
#include "proto/weights/weight_frame.h"

namespace ziprl {
namespace {

// Sends one transfer, a message at a time as the receiver takes them; deletes itself when the call
// is over.
class FetchStream : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  FetchStream(absl::StatusOr<Transfer> transfer, std::atomic<int>* streams)
      : transfer_(std::move(transfer)), streams_(streams) {
    if (!transfer_.ok()) {
      End(ToGrpcStatus(transfer_.status()));
      return;
    }
    next_ = transfer_->header.offset;
    Send(EncodeHeaderFrame(transfer_->header));
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      End(ToGrpcStatus(absl::UnavailableError("the stream was cut off")));
    } else if (next_ < transfer_->bytes.size()) {
      SendChunk();
    } else {
      End(grpc::Status::OK);
    }
  }

  void OnDone() override { delete this; }

 private:
  // Every way to the end. Who has been told it may come again.
  void End(const grpc::Status& status) {
    --*streams_;
    Finish(status);
  }

  void SendChunk() {
    const uint64_t chunk = next_ / kWeightChunkBytes, offset = next_;
    const std::string_view data = Chunk(transfer_->bytes, chunk);
    next_ += data.size();
    Send(EncodeChunkFrame(transfer_->owner, data, offset, (*transfer_->chunk_checksums)[chunk]));
  }

  void Send(grpc::ByteBuffer message) {
    message_ = std::move(message);
    StartWrite(&message_);
  }

  const absl::StatusOr<Transfer> transfer_;
  std::atomic<int>* const streams_;
  grpc::ByteBuffer message_;  // being sent
  uint64_t next_ = 0;         // payload offset behind it
};

}  // namespace

class WeightServer::Handler
    : public v1::Weights::WithRawCallbackMethod_Fetch<v1::Weights::Service> {
 public:
  Handler(const WeightService* service, const Config& config)
      : service_(*service), config_(config) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Fetch(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request) override {
    const int before = streams_++;
    return new FetchStream(Plan(absl::FromChrono(context->deadline()), *request, before),
                           &streams_);
  }

 private:
  absl::StatusOr<Transfer> Plan(absl::Time deadline, grpc::ByteBuffer request, int streams) const {
    if (streams >= config_.max_streams) {
      return absl::ResourceExhaustedError(
          absl::StrCat("already sending ", config_.max_streams, " streams of weights"));
    }
    if (deadline > absl::Now() + config_.longest_call + absl::Seconds(1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a deadline of at most ", absl::FormatDuration(config_.longest_call), " is required"));
    }
    v1::FetchRequest message;
    if (!grpc::SerializationTraits<v1::FetchRequest>::Deserialize(&request, &message).ok()) {
      return absl::InvalidArgumentError("malformed FetchRequest");
    }
    ZIPRL_ASSIGN_OR_RETURN(const FetchQuery query, FromPb(message));
    return service_.Plan(query);
  }

  const WeightService& service_;
  const Config config_;
  std::atomic<int> streams_{0};
};

WeightServer::WeightServer(const WeightService* service, const Config& config)
    : handler_(std::make_unique<Handler>(service, config)) {}
WeightServer::~WeightServer() = default;
grpc::Service* WeightServer::grpc_service() { return handler_.get(); }

}  // namespace ziprl
