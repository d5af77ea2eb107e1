#include "launch/command.h"
#include "launch/data_commands.h"
#include "launch/easy_vqa.h"

namespace ziprl {

int RunData(const Args& args) {
  CLI::App app(
      "Data sets.\n"
      "Example: ziprl data check rows.jsonl 'shards/*.parquet' data.answer_key=solution\n"
      "Example: ziprl data preview rows.jsonl --model MODEL --out page.html\n"
      "Example: ziprl data import easy-vqa --from site-packages/easy_vqa/data --out runs/data",
      "ziprl data");
  app.require_subcommand(1);
  auto* check = app.add_subcommand(
      "check", "every row: bad ones as JSON lines on stdout, exit code 1 if there are any");
  CheckArguments to_check;
  AddDataArguments(*check, to_check);
  check->add_flag("--sft", to_check.sft,
                  "rows of sft.files: answers may be turns, questions lists");
  check->add_option("--threads", to_check.threads, "CPU threads; 0 = every core");
  auto* preview = app.add_subcommand("preview", "the first rows as an HTML page with their images");
  PreviewArguments to_show;
  AddDataArguments(*preview, to_show);
  preview->add_option("--out", to_show.out, "the page")->required();
  preview->add_option("--rows", to_show.rows, "rows to show")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  auto* import = app.add_subcommand("import", "a public data set into JSONL rows");
  std::string name;
  EasyVqaImport options;
  import->add_option("name", name, "data set")->required()->check(CLI::IsMember({"easy-vqa"}));
  import->add_option("--from", options.from, "the package's data folder")->required();
  import->add_option("--out", options.out, "folder for the rows and images")->required();
  import->add_option("--seed", options.seed, "of the balancing draw");
  import->add_flag("--warm-start", options.warm_start,
                   "also warm_start.jsonl, a curriculum for sft");
  return ParseAndRun(app, args, [&]() -> absl::Status {
    if (check->parsed()) return CheckData(to_check);
    if (preview->parsed()) return PreviewData(to_show);
    return ImportEasyVqa(options);
  });
}

}  // namespace ziprl
