"""Our scoring rules and figures against the scripts that publish them, on random responses. On demand: it needs their
checkouts.

judge_published.py RULE_PROBE VLMEVALKIT LMMS_EVAL MMMU [SEED]

The three are folders of the repositories open-compass/VLMEvalKit (of August 2025 to May 2026),
EvolvingLMMs-Lab/lmms-eval and MMMU-Benchmark/MMMU. Only the functions named here are run, without their packages.
"""

import ast
import collections
import copy
import json
import logging
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


def ask(probe, calls):
    done = subprocess.run([probe], input="".join(json.dumps(call) + "\n" for call in calls), capture_output=True,
                          text=True, encoding="utf-8", check=True)
    given = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(given) == len(calls), done.stderr
    return given


def check_close(ours, theirs):
    for name, value in theirs.items():
        assert abs(ours[name] - value) < 1e-6, (name, "ours", ours[name], "theirs", value)


def check_figures(probe, kit, rng):
    """Whole data sets with random responses: what VLMEvalKit's ratings make of them."""
    import pandas
    frames = {}
    scope = dict(load=lambda name: frames[name], d2df=lambda scores: scores, defaultdict=collections.defaultdict, pd=pandas)

    tasks = ("OCR artwork celebrity color count existence landmark position posters scene code_reasoning "
             "commonsense_reasoning numerical_calculation text_translation").split()
    rows = [dict(index=2 * i + k, category=rng.choice(tasks) if i >= len(tasks) else tasks[i], image_path=f"{i}.png",
                 question="Is it?", answer=("Yes", "No")[k]) for i in range(400) for k in (0, 1)]
    for k in range(1, len(rows), 2):
        rows[k]["category"] = rows[k - 1]["category"]
    said = [rng.choice([row["answer"], row["answer"], "Yes.", "no", "maybe"]) for row in rows]
    rating, = functions(kit + "dataset/utils/yorn.py", "MME_rating", **scope)
    frames["mme"] = pandas.DataFrame(rows)
    frames["mme"]["score"] = [float(text.strip(".").capitalize() == row["answer"]) for text, row in zip(said, rows)]
    theirs = rating("mme")
    theirs["cognition"] = theirs.pop("reasoning")
    check_close(ask(probe, [["figures", "mme", rows, said]])[0], theirs)

    rows, groups = [], []
    for i in range(300):
        options = rng.sample(["one", "two", "three", "four"], rng.choice([2, 3, 4]))
        for k in range(len(options)):
            turned = options[k:] + options[:k]
            rows.append(dict(index=i + 1000000 * k, question="Which?", answer=string.ascii_uppercase[turned.index(options[0])],
                             category=f"c{i % 7}", **dict(zip("ABCD", turned))))
            rows[-1]["prediction"] = rows[-1]["answer"] + "." if rng.random() < .8 else rng.choice(["A", "B or C", options[0], "five"])
        groups.append(rows[-len(options):])
    *_, hit = functions(kit + "dataset/utils/multiple_choice.py", "build_choices", "prefetch_answer", "prefetch_circular_group",
                        can_infer=functions(kit + "utils/matching_util.py", "can_infer_option", "can_infer_text", "can_infer")[-1],
                        **scope)
    hits = []
    for group in groups:
        found = hit(pandas.DataFrame([dict(row, GT=row["answer"]) for row in group]))
        hits.append(found["hit"] if found else 0)
    ours = ask(probe, [["figures", "mmbench", rows, [row["prediction"] for row in rows]]])[0]
    check_close(ours, {"circular": 100 * statistics.mean(hits),
                       **{f"category/c{c}": 100 * statistics.mean(hits[c::7]) for c in range(7)}})

    types = ("Regular,Irregular,Artistic,Handwriting,Digit String,Non-Semantic").split(",")
    names = {t: t if t == "Handwriting" else t + " Text" for t in types} | {"Digit String": "Digit String"}
    categories = [names[t] + " Recognition" for t in types] + [
        "Scene Text-centric VQA", "Doc-oriented VQA", "Key Information Extraction",
        "Handwritten Mathematical Expression Recognition"]
    rows = [dict(index=i, question="What?", answer=str([rng.choice(["a b", "A", "x\ny"])]), category=rng.choice(categories))
            for i in range(1000)]
    said = [rng.choice(["It says a b.", "ab", "X Y", "a", ""]) for _ in rows]
    written = {}
    rating, = functions(kit + "dataset/utils/ocrbench.py", "OCRBench_eval", tqdm=lambda lines: lines,
                        dump=lambda scores, _: written.update(scores), get_intermediate_file_path=lambda *_: "", **scope,
                        logger=logging.getLogger(), get_logger=logging.getLogger)
    frames["ocr"] = pandas.DataFrame([dict(row, prediction=text) for row, text in zip(rows, said)])
    rating("ocr")
    ours = ask(probe, [["figures", "ocrbench", rows, said]])[0]
    check_close(ours, {"score": written["Final Score"], "Text Recognition": written["Text Recognition"],
                       "category/Doc-oriented VQA": written["Doc-oriented VQA"],
                       "category/" + categories[-1]: written[categories[-1]]})
    print("figures of mme, mmbench, ocrbench: no difference")


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
    given = ask(probe, calls)
    for call, ours, theirs in zip(calls, given, expected):
        same = abs(ours - theirs) < 1e-9 if call[0] == "vqa_accuracy" else ours == theirs
        assert same, (call, "ours", ours, "theirs", theirs)
    print(len(calls), "responses, no difference")
    check_figures(probe, kit, rng)


if __name__ == "__main__":
    main()
