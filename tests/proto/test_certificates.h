// Certificates of a test's own, made with the openssl command line.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "proto/rpc.h"
#include "tests/trainer/data/scratch.h"

namespace ziprl {

class TestCertificates {
 public:
  TestCertificates() {
    MakeAuthority("ca");
    MakeAuthority("foreign_ca");
    Sign("ca", "server", 30);
    Sign("ca", "client", 30);
    Sign("ca", "expired", -1);
    Sign("foreign_ca", "foreign", 30);
  }

  std::string Pem(const std::string& name) const { return scratch_.Path(name + ".pem"); }
  std::string Key(const std::string& name) const { return scratch_.Path(name + ".key"); }

  // A server's security with the certificate `name`; a client's, which trusts `ca`.
  RpcSecurity Server(const std::string& name, const std::string& token) const {
    RpcSecurity security;
    security.token = token;
    security.ca = Pem("ca");
    security.cert = Pem(name);
    security.key = Key(name);
    return security;
  }
  RpcSecurity Client(const std::string& ca, const std::string& token) const {
    RpcSecurity security;
    security.token = token;
    security.ca = Pem(ca);
    security.server_name = RpcSecurity::kJobName;
    return security;
  }

 private:
  void Run(const std::string& command) {
    const std::string quiet =
        absl::StrCat("cd '", scratch_.dir(), "' && ", command, " >openssl.log 2>&1 </dev/null");
    ASSERT_EQ(std::system(quiet.c_str()), 0) << command << "\n" << scratch_.Read("openssl.log");
  }
  void MakeAuthority(const std::string& name) {
    Run(absl::StrCat("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes ",
                     "-days 30 -subj /CN=", name, " -keyout ", name, ".key -out ", name, ".pem"));
  }
  void Sign(const std::string& ca, const std::string& name, int days) {
    Run(absl::StrCat("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj ",
                     "/CN=", name, " -keyout ", name, ".key -out ", name, ".csr"));
    scratch_.Write(name + ".ext",
                   absl::StrCat("subjectAltName=DNS:", RpcSecurity::kJobName, ",DNS:localhost\n"));
    Run(absl::StrCat("openssl x509 -req -in ", name, ".csr -CA ", ca, ".pem -CAkey ", ca,
                     ".key -CAcreateserial -days ", days, " -extfile ", name, ".ext -out ", name,
                     ".pem"));
  }

  Scratch scratch_;
};

}  // namespace ziprl
