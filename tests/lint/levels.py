"""Who may include whom (docs/ARCHITECTURE.md), and where torch, spdlog and yaml-cpp may be seen."""

import functools
import posixpath
import re

import lint

MAY_INCLUDE = {
    "configs": {"configs", "proto"},
    "proto": {"proto", "configs"},
    "kernels": {"kernels", "configs/base"},
    "model": {"model", "kernels", "configs"},
    "reward": {"reward", "proto", "configs"},
    "rollout": {"rollout", "model", "kernels", "proto", "configs"},
    "trainer": {"trainer", "model", "kernels", "proto", "configs"},
    "launch": {"launch", "configs", "proto", "kernels", "model", "reward", "rollout", "trainer"},
}
TORCH = ("ATen/", "torch/", "c10/")
TORCH_FOLDERS = ("model", "rollout", "trainer")
# Reaching torch through any chain of headers is an error here.
TORCH_FREE = ("configs/", "proto/", "kernels/", "reward/", "launch/", "trainer/benchmarks/", "trainer/coordinator/",
              "trainer/data/", "trainer/train_loop", "rollout/worker")
# Foreign headers that stay behind one file of ours.
BEHIND = {"spdlog/": "configs/base/log.cc", "yaml-cpp/": "configs/load.cc", "arrow/": "trainer/data/arrow_parquet.cc",
          "parquet/": "trainer/data/arrow_parquet.cc"}
# Slow to compile, and no reader of a header's business.
NOT_IN_HEADERS = re.compile(r"grpcpp/|grpc/|google/protobuf/|.*\.pb\.h$")
# Headers between the files of one transport, which nobody else includes.
INSIDE_A_TRANSPORT = ("proto/weights/fetch_call.h", "proto/weights/weight_frame.h")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def includes(text):
    """(line, 'quote' or angle bracket, path) of each include."""
    return [(lint.line_of(text, m.start()), m.group(1), m.group(2)) for m in INCLUDE.finditer(text)]


def is_torch(include):
    return include.startswith(TORCH)


@functools.lru_cache(maxsize=None)
def torch_chain(path):
    """The includes that lead from a header of ours to torch, or () when none does."""
    if not (lint.ROOT / path).is_file():
        return ()
    for _, _, include in includes(lint.read(path)):
        if is_torch(include):
            return (path, include)
        if chain := torch_chain(include):
            return (path,) + chain
    return ()


def include_problem(path, bracket, include):
    folder = path.split("/")[0]
    target = include.split("/")[0]
    if bracket == '"' and "/" not in include:
        return "must be named from the repository's root"
    if target in MAY_INCLUDE or target == "tests":
        allowed = MAY_INCLUDE[folder]
        if target not in allowed and posixpath.dirname(include) not in allowed:
            return f"{folder}/ may include only {', '.join(sorted(allowed))}"
    if is_torch(include):
        if folder not in TORCH_FOLDERS or path.startswith(TORCH_FREE):
            return "torch is not allowed here"
        if path.endswith(".h") and folder != "model":
            return "a header outside model/ shows torch only through model/tensor.h"
        if path.endswith(".cu"):
            return "device code includes no torch"
    if path.endswith(".h") and path not in INSIDE_A_TRANSPORT and NOT_IN_HEADERS.match(include):
        return "a header shows no gRPC and no generated message"
    for prefix, owner in BEHIND.items():
        if include.startswith(prefix) and path != owner:
            return f"only {owner} may include it"
    if path.startswith(TORCH_FREE) and (chain := torch_chain(include)):
        return "reaches torch: " + " -> ".join(chain)
    return None


def find_problems(path, text):
    if path.split("/")[0] not in MAY_INCLUDE:
        return []
    found = [(line, include, include_problem(path, bracket, include))
             for line, bracket, include in includes(text)]
    return [f"{path}:{line}: includes {include}: {problem}" for line, include, problem in found if problem]


BAD = [
    ("kernels/a.cc", '#include "model/params.h"\n'),
    ("kernels/a.cc", '#include "configs/run_config.h"\n'),
    ("kernels/a.cu", "#include <ATen/ATen.h>\n"),
    ("model/a.cc", '#include "proto/types.h"\n'),
    ("model/a.cc", '#include "params.h"\n'),
    ("reward/a.cc", '#include "trainer/learner.h"\n'),
    ("rollout/a.cc", '#include "reward/registry.h"\n'),
    ("rollout/a.h", "#include <ATen/core/Tensor.h>\n"),
    ("rollout/worker.cc", "#  include <torch/torch.h>\n"),
    ("trainer/a.cc", '#include "launch/command.h"\n'),
    ("trainer/a.cc", '#include "tests/trainer/fake.h"\n'),
    ("trainer/a.cc", "#include <spdlog/spdlog.h>\n"),
    ("trainer/a.cc", "#include <arrow/api.h>\n"),
    ("trainer/data/a.h", "#include <parquet/schema.h>\n"),
    ("trainer/coordinator/a.cc", "#include <c10/core/Device.h>\n"),
    ("launch/a.cc", "#include <ATen/ATen.h>\n"),
    ("launch/a.cc", '#include "model/params.h"\n'),
    ("launch/a.cc", "#include <yaml-cpp/yaml.h>\n"),
    ("proto/a.h", "#include <grpcpp/channel.h>\n"),
    ("reward/a.h", '#include "proto/types.pb.h"\n'),
]
GOOD = [
    ("kernels/a.cc", '#include "kernels/a.h"\n\n#include <vector>\n\n#include "configs/base/parallel.h"\n'),
    ("model/a.h", "#include <ATen/core/Tensor.h>\n"),
    ("trainer/a.cc", "#include <ATen/ATen.h>\n"),
    ("reward/a.cc", '#include "proto/types.pb.h"\n'),
    ("trainer/a.cc", '// #include "launch/command.h"\n'),
    ("launch/a.cc", '#include "configs/load.h"\n'),
    ("tests/model/a.h", "#include <ATen/ATen.h>\n"),
]

if __name__ == "__main__":
    lint.main(find_problems, BAD, GOOD)
