"""Our scoring rules against the scripts that publish them, on random responses. On demand: it needs their checkouts.

judge_published.py RULE_PROBE VLMEVALKIT LMMS_EVAL MMMU [SEED]

The three are folders of the repositories open-compass/VLMEvalKit (of August 2025 to May 2026),
EvolvingLMMs-Lab/lmms-eval and MMMU-Benchmark/MMMU. Only the functions named here are run, without their packages.
"""

import ast
import copy
import json
import os
import random
import re
import statistics
import string
import subprocess
import sys
import typing

CALLS = 20000
WORDS = (["The answer is", "the best answer is", "The correct answer is", "Answer:", "answer:", "Option:", "A", "B", "C", "D",
          "E", "J", "Z", "(A)", "(B)", "A.", "B.", "C)", "D:", "**B**", "a", "b", "yes", "no", "Yes", "No.", "YES,", "no!", "cat"]
         + ["Dog", "dogs", "red car", "12", "12.5", "1,000", "12%", "5 %", "$4", "0", "-3", "1e3", "is", "not", "there", "None"]
         + ["two", "the", "an", "don't", "dont", "couldntve", "couldnt've", "its", "that's", "oclock", "twas", "somebody'd"]
         + ["\n", "\t", ".", ",", "?", "!", "...", "'", '"', "/", "-", "a/b", "x-y", "1.5.", "3.", "Cannot determine the answer"]
         + ["\u00e9", "\u4e2d\u6587", "\u00c4", "  "])
OPTIONS = ["cat", "Dog", "red car", "12", "yes", "no", "a", "two", "\u00c4", "on the left of the table", "7"]


class NoDraw:
    """In the place of `random`: where MMMU's parser draws an option, we say that there is none."""

    @staticmethod
    def choice(_):
        return None


def functions(path, *names, **scope):
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
    assert len(tree.body) == len(names), (path, names)
    import numpy
    scope.update(re=re, string=string, cp=copy, os=os, np=numpy, Optional=typing.Optional, random=NoDraw)
    exec(compile(tree, path, "exec"), scope)
    return [scope[name] for name in names]


def main():
    probe, kit, lmms, mmmu = sys.argv[1:5]
    rng = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 0)
    kit += "/vlmeval/"
    *_, infer = functions(kit + "utils/matching_util.py", "can_infer_option", "can_infer_text", "can_infer")
    punctuation, = functions(kit + "smp/misc.py", "process_punctuation")
    yes_no, = functions(kit + "dataset/utils/yorn.py", "YOrN_Extraction", process_punctuation=punctuation)
    relaxed, = functions(kit + "dataset/utils/vqa_eval.py", "relaxed_correctness")
    first_letter, = functions(kit + "dataset/utils/videomme.py", "extract_characters_regex")
    processor, = functions(lmms + "/lmms_eval/tasks/_task_utils/vqa_eval_metric.py", "EvalAIAnswerProcessor")
    parse, = functions(mmmu + "/mmmu-pro/evaluate.py", "parse_multi_choice_response")
    normalise = processor()

    def text(most=8, least=0):
        return rng.choice([" ", " ", ""]).join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))

    def soft_accuracy(response, answers):
        given, answers = normalise(response), [normalise(answer) for answer in answers]
        return statistics.mean(min(1, sum(a == given for j, a in enumerate(answers) if j != i) / 3) for i in range(len(answers)))

    def occurs(response, answers, formula):
        tidy = (lambda t: t.strip().replace("\n", " ").replace(" ", "")) if formula else (
            lambda t: t.lower().strip().replace("\n", " "))
        return any(tidy(answer) in tidy(response) for answer in answers)

    calls, expected = [], []
    for _ in range(CALLS):
        options = [rng.choice(OPTIONS) for _ in range(rng.choice([2, 4, 4, 10]))]
        letters = dict(zip(string.ascii_uppercase, options))
        response, answer = text(), text(1)
        number = text(2).strip()
        answers = [rng.choice(["cat", "Cat.", "dogs", "two", "2", "the cat", "no"]) for _ in range(10)]
        short = rng.choice(["cat", "2", "two dogs", "no", "a cat!"])
        formula, texts = rng.random() < .5, [text(2), text(1)]
        for call, judged in ((["infer", response, options], infer(response, dict(letters)) or None),
                             (["mmmu", response, options], parse(response, list(letters), letters)),
                             (["first_letter", response], first_letter(response) or None),
                             (["yes_no", response], yes_no(response).replace("Unknown", "")),
                             (["relaxed", number, answer], relaxed(answer, number)),
                             (["vqa", response], normalise(response)),
                             (["vqa_accuracy", short, answers], soft_accuracy(short, answers)),
                             (["ocr", response, texts, formula], occurs(response, texts, formula))):
            calls.append(call)
            expected.append(judged)
    done = subprocess.run([probe], input="".join(json.dumps(call) + "\n" for call in calls), capture_output=True,
                          text=True, encoding="utf-8", check=True)
    given = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(given) == len(calls), done.stderr
    for call, ours, theirs in zip(calls, given, expected):
        same = abs(ours - theirs) < 1e-9 if call[0] == "vqa_accuracy" else ours == theirs
        assert same, (call, "ours", ours, "theirs", theirs)
    print(len(calls), "responses, no difference")


if __name__ == "__main__":
    main()
