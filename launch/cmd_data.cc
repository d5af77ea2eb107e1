#include <iostream>

#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "launch/easy_vqa.h"

namespace ziprl {

int RunData(const Args& args) {
  CLI::App app(
      "Data sets.\n"
      "Example: ziprl data import easy-vqa --from site-packages/easy_vqa/data --out runs/data",
      "ziprl data");
  app.require_subcommand(1);
  auto* import = app.add_subcommand("import", "a public data set into JSONL rows");
  std::string name;
  EasyVqaImport options;
  import->add_option("name", name, "data set")->required()->check(CLI::IsMember({"easy-vqa"}));
  import->add_option("--from", options.from, "the package's data folder")->required();
  import->add_option("--out", options.out, "folder for the rows and images")->required();
  import->add_option("--seed", options.seed, "of the balancing draw");
  import->add_flag("--warm-start", options.warm_start,
                   "also warm_start.jsonl, a curriculum for sft");
  return ParseAndRun(app, args, [&]() -> absl::Status { return ImportEasyVqa(options); });
}

}  // namespace ziprl
