"""No registry's or mirror's host, no machine's path, no left-over mark in any tracked text."""

import re

import lint

FORBIDDEN = {
    r"\b(?:pypi\.org|pythonhosted\.org|download\.pytorch\.org|conda\.anaconda\.org|deb\.debian\.org|"
    r"developer\.download\.nvidia\.com|huggingface\.co|hf\.co)\b": "a registry's host",
    r"(?<![\w.$}*>-])/(?:root|work|home|mnt|Users)/": "a path of one machine",
    r"\b(?:TODO|FIXME|XXX|HACK)\b": "a left-over mark",
    r"^(?:<{7} |>{7} |={7}$)": "an unresolved merge",
    r"\bDISABLED_\w+": "a test that is switched off",
}
PATTERNS = [(re.compile(pattern, re.MULTILINE), what) for pattern, what in FORBIDDEN.items()]


def find_problems(path, text):
    if path == "tests/lint/forbidden_text.py":
        return []
    return [f"{path}:{lint.line_of(text, match.start())}: {match.group()!r} is {what}"
            for pattern, what in PATTERNS for match in pattern.finditer(text)]


BAD = [
    ("launch/setup", "pip install --index-url https://pypi.org/simple torch\n"),
    ("README.md", "built in /root/.cache\n"),
    ("docs/a.md", 'path "/home/someone/data"\n'),
    ("model/a.cc", "int a;  // TODO: more\n"),
    ("model/a.cc", "<<<<<<< HEAD\n"),
    ("tests/a_test.cc", "TEST(A, DISABLED_Slow) {}\n"),
]
GOOD = [
    ("README.md", "see runs/work/x, $HOME/work/x and https://example.org/home/x\n"),
    ("model/a.cc", "// The ordinary word todo, and ======== in a line.\n"),
]

if __name__ == "__main__":
    lint.main(find_problems, BAD, GOOD, wanted=lambda path: path != "LICENSE")
