#include "launch/service_main.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "configs/base/shutdown.h"
#include "configs/base/status_macros.h"
#include "launch/command_config.h"
#include "launch/job_security.h"

namespace ziprl {

int ServiceMain(const std::string& name, const std::string& summary, const Args& args,
                const std::function<absl::Status(const ServiceOptions& options)>& serve) {
  CLI::App app(absl::StrCat(summary, "\nExample: ", name,
                            " configs/experiments/quickstart.yaml --listen 127.0.0.1:0"),
               name);
  std::string config, token_file, tls_dir;
  std::vector<std::string> overrides;
  ServiceOptions options;
  bool mutual = false, insecure = false;
  app.add_option("config", config, "YAML file")->required();
  app.add_option("overrides", overrides, "key=value ...");
  app.add_option("--listen", options.listen, "host:port; port 0: the system chooses")->required();
  app.add_option("--token-file", token_file, "the job's token; default cluster.token_file");
  app.add_option("--tls-dir", tls_dir, "ca.pem, cert.pem, key.pem; default cluster.tls");
  app.add_flag("--mutual", mutual, "ask clients for a certificate; default cluster.mutual_tls");
  app.add_flag("--insecure", insecure,
               "allow plain text beyond this machine; default cluster.insecure");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    ZIPRL_ASSIGN_OR_RETURN(options.config, LoadCommandConfig(config, overrides));
    ClusterConfig& cluster = options.config.cluster;
    if (!tls_dir.empty()) cluster.tls = tls_dir;
    if (!token_file.empty()) cluster.token_file = token_file;
    cluster.mutual_tls |= mutual;
    cluster.insecure |= insecure;
    ZIPRL_ASSIGN_OR_RETURN(options.security, JobSecurity(cluster));
    InstallSignalFlags();
    return serve(options);
  });
}

void ServeUntilAsked(const std::string& address) {
  std::cout << "listening on " << address << std::endl;
  while (!ShutdownRequested()) absl::SleepFor(absl::Milliseconds(100));
}

}  // namespace ziprl
