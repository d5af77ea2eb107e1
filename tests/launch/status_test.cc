#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "launch/command.h"
#include "launch/job_security.h"
#include "tests/trainer/data/scratch.h"
#include "trainer/coordinator/coordinator_client.h"
#include "trainer/coordinator/coordinator_server.h"

namespace ziprl {
namespace {

using ::testing::HasSubstr;

class StatusTest : public testing::Test {
 protected:
  StatusTest() {
    RpcSecurity security;
    security.token = "secret";
    SampleBuffer::Config buffer;
    buffer.prompts_per_step = 2;
    buffer.steps = 9;
    buffer.version = 4;
    run_ = std::make_shared<LocalCoordinator>(buffer, GroupPlan(), [] { return Prompt(); });
    EXPECT_TRUE(run_->Heartbeat({"worker-7", 3}).ok());
    server_ = *CoordinatorServer::Start(
        "127.0.0.1:0", security,
        std::make_unique<CoordinatorHandler>(CoordinatorHandler::Config(), run_));
    token_ = scratch_.Write("token", "secret\n");
  }

  int Run(Args args) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    args.insert(args.begin(), {"--coordinator", server_->address()});
    const int code = RunStatus(args);
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return code;
  }

  Scratch scratch_;
  std::string token_, out_, err_;
  std::shared_ptr<LocalCoordinator> run_;
  std::unique_ptr<CoordinatorServer> server_;
};

TEST_F(StatusTest, ShowsTheRunToPeople) {
  EXPECT_EQ(Run({"--token-file", token_}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("version 4, step 0 of 9"));
  EXPECT_THAT(out_, HasSubstr("worker-7"));
  EXPECT_THAT(out_, HasSubstr("last error: none"));
}

TEST_F(StatusTest, ShowsTheRunToPrograms) {
  EXPECT_EQ(Run({"--token-file", token_, "--json"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["version"], 4);
  EXPECT_EQ(json["workers"][0]["name"], "worker-7");
  EXPECT_EQ(json["workers"][0]["incarnation"], 3);
  EXPECT_EQ(json["groups"]["pushed"], 0);
}

TEST_F(StatusTest, RefusalsAndSilenceAreErrorsOnStderr) {
  EXPECT_EQ(Run({}), 1);
  EXPECT_EQ(out_, "");
  EXPECT_THAT(err_, HasSubstr("no job token given"));
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_EQ(Run({"--token-file", token_}), 1);
  EXPECT_THAT(err_, HasSubstr(server_->address()));
  EXPECT_EQ(RunStatus({"--nonsense"}), 2);
}

TEST(JobSecurityTest, AMutualTlsJobIsSeenByThoseWithItsCertificateAlone) {
  Scratch scratch;
  ClusterConfig cluster;
  cluster.mutual_tls = true;
  EXPECT_THAT(std::string(JobSecurity(cluster).status().message()), HasSubstr("cluster.tls"));
  cluster.tls = scratch.Path("secrets");
  cluster.token_file = cluster.tls + "/token";
  ASSERT_EQ(std::system(absl::StrCat("launch/job-secrets '", cluster.tls, "'").c_str()), 0);
  const auto security = JobSecurity(cluster);
  ASSERT_TRUE(security.ok()) << security.status();
  auto run = std::make_shared<LocalCoordinator>(SampleBuffer::Config(), GroupPlan(),
                                                [] { return Prompt(); });
  const auto server = CoordinatorServer::Start(
      "127.0.0.1:0", *security,
      std::make_unique<CoordinatorHandler>(CoordinatorHandler::Config(), run));
  ASSERT_TRUE(server.ok()) << server.status();

  testing::internal::CaptureStdout();
  EXPECT_EQ(RunStatus({"--coordinator", (*server)->address(), "--tls-dir", cluster.tls,
                       "--token-file", cluster.token_file}),
            0);
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("version 0"));
  RpcSecurity stranger = *security;  // trusts the job, but has no certificate of it
  stranger.cert.clear();
  stranger.key.clear();
  EXPECT_FALSE(FetchSnapshot((*server)->address(), stranger, absl::Seconds(2)).ok());
}

}  // namespace
}  // namespace ziprl
