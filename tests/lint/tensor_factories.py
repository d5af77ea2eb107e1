"""Every tensor made in model/, rollout/ and trainer/ says on which device: a factory call without options
would land on the CPU in fp32 whatever model.device and model.dtype say."""

import re

import lint

FACTORIES = ("arange|empty|empty_strided|eye|from_blob|full|linspace|logspace|normal|ones|rand|randint|randn|"
             "randperm|range|scalar_tensor|tensor|tril_indices|triu_indices|zeros")
CALL = re.compile(rf"\b(?:at|torch)::(?:{FACTORIES})\s*\(")
OPTIONS = r"[Oo]ptions|[Dd]evice"
NAMED_OPTIONS = re.compile(r"\bTensorOptions&?\s+(\w+)")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def arguments(text, start):
    """The text between the parenthesis that ends at start and its partner."""
    depth = 1
    for end in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return text[start:end]
    return text[start:]


def find_problems(path, text):
    if path.split("/")[0] not in ("model", "rollout", "trainer"):
        return []
    text = COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), text)
    options = re.compile("|".join([OPTIONS, *(rf"\b{name}\b" for name in NAMED_OPTIONS.findall(text))]))
    return [f"{path}:{lint.line_of(text, call.start())}: {call.group()}...) without options: give the model's"
            for call in CALL.finditer(text) if not options.search(arguments(text, call.end()))]


BAD = [
    ("model/a.cc", "auto t = at::zeros({2, 3});"),
    ("model/a.cc", "auto t = at::zeros({2, 3}, at::kFloat);"),
    ("rollout/a.cc", "auto t = at::arange(f(n, 2),\n    at::dtype(at::kLong));"),
    ("trainer/a.cc", "use(torch::tensor(values), options);"),
    ("trainer/a.cc", "auto t = at::full({n}, 1.0);  // options are missing"),
]
GOOD = [
    ("model/a.cc", "auto t = at::zeros({2, 3}, model.options());"),
    ("model/a.cc", "auto t = at::empty({f(n), 2}, at::device(device).dtype(at::kFloat));"),
    ("model/a.cc", "const at::TensorOptions host = F(); auto t = at::empty({2}, host.dtype(at::kFloat));"),
    ("rollout/a.cc", "auto t = at::empty_like(x); auto u = x.new_zeros({2}); auto v = at::zeros_like(x);"),
    ("trainer/a.cc", "// at::zeros({2}) would land on the CPU"),
    ("tests/model/a.cc", "auto t = at::zeros({2});"),
]

if __name__ == "__main__":
    lint.main(find_problems, BAD, GOOD)
