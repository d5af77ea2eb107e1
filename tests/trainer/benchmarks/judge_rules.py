"""Texts as the benchmarks' Python scripts treat them: our white space, case, numbers and lists against Python's own.

judge_rules.py RULE_PROBE
"""

import ast
import json
import math
import random
import subprocess
import sys

SPACES = " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000"
LETTERS = "aZ\u00c4\u00df\u00e9\u0394\u0416\u4e2d\u200b\ufeff\U0001f7e5'\"\\[],._-+0123456789%einfa/"
NUMBERS = ["1", "-1.5", "+.5", "5.", "1e5", "1E-3", "1_000", "1__0", "_1", "1_", "1,000", " 12 ", "\u300012\n", "inf", "-Infinity", "NaN",
           "nan", "0x1p3", "1e", "e5", ".", "", "-", "1.2.3", "1e5.0", "infin", "1 2", "0b1", "1e400", "1_0.0_1", "1._5", "1_e5", "12%"]
LISTS = ["[]", "['a']", "[\"it's\", 'say \"x\"']", "['a\\'b', 'c\\\\d', 'e\\nf']", "['\\x41\\u00e9\\U0001f7e5']", "[1, 2.5, -3e2]",
         " [ 'a' ,\n'b' , ] ", "['a', 'b',]", "['$\\\\frac{1}{2}$', '<image 2>']", "['\\q']", "['\u4e2d']"]
BROKEN = ["", "a", "['a'", "['a]", "['a',, 'b']", "[a]", "['a'] x", "['\\x4']", "['\\ud800']", "{'a': 1}", "[,]"]


def ask(calls):
    done = subprocess.run([sys.argv[1]], input="".join(json.dumps(call) + "\n" for call in calls), capture_output=True,
                          text=True, encoding="utf-8", check=True)
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(answers) == len(calls), done.stderr
    return answers


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def a_list(text):
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text.strip())


def same(given, expected):
    if given is None or expected is None:
        return given is None and expected is None
    given = float(given)
    return math.isclose(given, expected, rel_tol=1e-5) or given == expected or (math.isnan(given) and math.isnan(expected))


def main():
    rng = random.Random(1)
    texts = ["".join(rng.choice(SPACES + LETTERS if i % 2 else LETTERS) for _ in range(rng.randrange(20))) for i in range(4000)]
    lists = [repr(rng.sample(texts, rng.randrange(5))) for _ in range(500)]
    lists += [json.dumps(rng.sample(texts, 3), ensure_ascii=i % 2 == 0) for i in range(500)] + LISTS
    numbers = NUMBERS + ["".join(rng.choice("0123456789._+-eE ") for _ in range(rng.randrange(1, 7))) for _ in range(3000)]
    rules = {"lower": (texts, str.lower), "split": (texts, str.split), "strip": (texts, str.strip),
             "list": (lists, a_list)}
    for rule, (cases, judge) in rules.items():
        for text, given in zip(cases, ask([[rule, text] for text in cases])):
            expected = judge(text)
            if rule == "list" and given is not None:
                given = [number(g) if isinstance(e, (int, float)) else g for g, e in zip(given, expected)] + given[len(expected):]
            assert given == expected, (rule, text, given, expected)
    for text, given in zip(numbers, ask([["float", text] for text in numbers])):
        assert same(given, number(text)), (text, given, number(text))
    for text, given in zip(BROKEN, ask([["list", text] for text in BROKEN])):
        assert given is None, (text, given)
    print(len(texts), len(lists), len(numbers), "as Python has them")


if __name__ == "__main__":
    main()
