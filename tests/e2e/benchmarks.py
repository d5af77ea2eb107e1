"""`ziprl eval` on public benchmarks, in the layouts of their releases as pandas, pyarrow and json write them.

usage: benchmarks.py ZIPRL FIXTURES WORK CASE
"""

import ast
import base64
import glob
import json
import math
import os
import sys

import workbench
from workbench import check, read_json_lines

TINY = ["data.max_response_length=3", "eval.thresholds=[.8,.5]", "trainer.threads=2"]


def close(a, b):
    return abs(a - b) <= 1e-9 * max(1, abs(a), abs(b))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def picture(bench, name, colour, seed):
    path = bench.path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    workbench.draw(path, (32, 32), colour, seed)
    with open(path, "rb") as file:
        return file.read()


def mme_table(bench):
    """VLMEvalKit's TSV: base64 images, two questions each."""
    import pandas
    rows = []
    for i, subtask in enumerate(["existence", "existence", "count", "code_reasoning"]):
        image = base64.b64encode(picture(bench, f"png/{i}.png", "red", i)).decode()
        for answer in ("Yes", "No"):
            rows.append(dict(index=len(rows), image=image, image_path=f"{i}.jpg", category=subtask, answer=answer,
                             question=f'Is it "{answer}"?\tPlease answer yes or no.'))
    os.makedirs(bench.path("mme"))
    pandas.DataFrame(rows).to_csv(bench.path("mme/MME.tsv"), sep="\t", index=False)
    return rows


def mmmu_parquet(bench, count):
    """The hub's Parquet: structs of bytes, up to seven images a row, options as text of a Python list."""
    import pyarrow
    import pyarrow.parquet
    rows = []
    for i in range(count):
        images = [dict(bytes=picture(bench, f"mmmu_png/{i}-{k}.png", "blue", 10 * i + k), path=f"{i}-{k}.png") for k in (1, 2)]
        rows.append(dict(id=f"test_Music_{i}", question="What does <image 2> show, next to <image 1>?", answer="AB"[i % 2],
                         options=str(["it's red", 'a "disc"', "none"]), subject="Music" if i % 2 else "Physics",
                         image_1=images[0], image_2=images[1], image_3=None, topic_difficulty="Easy"))
    fields = dict(id=pyarrow.string(), question=pyarrow.string(), options=pyarrow.string(), answer=pyarrow.string(),
                  subject=pyarrow.string(), topic_difficulty=pyarrow.string(),
                  **{f"image_{k}": pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]) for k in (1, 2, 3)})
    os.makedirs(bench.path("mmmu"))
    table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(list(fields.items())))
    pyarrow.parquet.write_table(table, bench.path("mmmu/test-00000-of-00001.parquet"), row_group_size=3)
    return rows


def chart_json(bench, labels):
    """The release's JSON beside its images."""
    rows = []
    for i, label in enumerate(labels):
        picture(bench, f"charts/test/png/{i}.png", "green", 50 + i)
        rows.append(dict(imgname=f"{i}.png", query=f"How many discs, {i}?", label=label))
    with open(bench.path("charts/test/test_human.json"), "w") as file:
        json.dump(rows[::2], file)
    with open(bench.path("charts/test/test_augmented.json"), "w") as file:
        json.dump(rows[1::2], file)
    return [row["label"] for row in rows[1::2] + rows[::2]]  # in the files' order


def run(bench, name, *more):
    out, lines = bench.path(f"{name}.json"), bench.path(f"{name}.jsonl")
    bench.run("eval", f"model.path={bench.fixture('tiny')}", *TINY, *more, "--out", out, "--lines", lines,
              "--predictions", bench.path(name))
    with open(out) as file:
        return json.load(file), read_json_lines(lines)


def check_layers(point, samples):
    """Kept ratios by layer add up from the lines, and over the layers to the ratios that the engine counts itself."""
    for name in ("kept_ratio", "visual_kept_ratio"):
        by_layer = name + "_by_layer"
        check(len(point[by_layer]) > 1, point)
        for layer, value in enumerate(point[by_layer]):
            check(close(value, mean(sample[by_layer][layer] for sample in samples)), name, layer, value)
        for sample in samples:
            check(abs(sample[name] - mean(sample[by_layer])) < 1e-9, name, sample)


def layouts(bench):
    """Three layouts at once, greedy: figures, lines, and the files that VLMEvalKit and lmms-eval read."""
    import pandas
    mme, mmmu = mme_table(bench), mmmu_parquet(bench, 7)
    chart_json(bench, ["?"] * 6)
    sets = "eval.benchmarks=[{}]".format(",".join(f"{name}={bench.path(folder)}" for name, folder in
                                                   (("mme", "mme"), ("mmmu_pro", "mmmu"), ("chartqa", "charts"))))
    summary, lines = run(bench, "first", sets, f"eval.files={bench.fixture('rows.jsonl')}", "reward.functions=[contains]")
    check(summary["questions"] == len(lines) == 12 + 8 + 7 + 6, summary["questions"])
    check([line["row"] for line in lines] == list(range(33)), [line["row"] for line in lines])
    check([line["source"] for line in lines] == ["rows"] * 12 + ["mme"] * 8 + ["mmmu_pro"] * 7 + ["chartqa"] * 6)
    # What the model says to half of the charts becomes their answer; the same questions then score by it.
    said = [line["samples"][0]["response"].strip() for line in lines[27:]]
    labels = [text if i % 2 == 0 else "no such answer" for i, text in enumerate(said)]
    order = [1, 3, 5, 0, 2, 4]  # of the rows in the two files
    chart_json(bench, [labels[order.index(i)] for i in range(6)])
    summary, lines = run(bench, "second", sets)
    points = summary["curve"]
    check([p["p"] for p in points] == [1.0, .8, .5] and points[0]["kept_ratio"] == 1 > points[2]["kept_ratio"], points)
    charts = points[0]["benchmarks"]["chartqa"]
    right = [float(a == b) for a, b in zip([text.lower() for text in said], [text.lower() for text in labels])]
    check(sum(right) >= 3 and close(charts["accuracy"], 100 * mean(right)), charts, said, labels)
    check(close(charts["split/test_human"], 100 * mean(right[3:])), charts)
    for i, (name, point) in enumerate(zip(("tiny_dense", "tiny_p0.8", "tiny_p0.5"), points)):
        samples = [line["samples"][i] for line in lines]
        check_layers(point, samples)
        check_layers(point["by_source"]["chartqa"], samples[15:])
        check(close(point["by_source"]["chartqa"]["accuracy"] * 100, point["benchmarks"]["chartqa"]["accuracy"]), point)
        folder = bench.path("second/vlmevalkit", name)
        check(sorted(os.listdir(folder)) == [f"{name}_{d}.tsv" for d in ("ChartQA_TEST", "MME", "MMMU_Pro_10c")], os.listdir(folder))
        table = pandas.read_csv(f"{folder}/{name}_MME.tsv", sep="\t", keep_default_na=False, dtype=str)
        check(list(table["index"]) == [str(row["index"]) for row in mme], table)
        check(list(table["question"]) == [row["question"] for row in mme], table)
        check(list(table["prediction"]) == [s["response"] for s in samples[:8]], table)
        table["hit"] = [float(s["accuracy"]) for s in samples[:8]]
        score = sum(100 * part["hit"].mean() + 100 * (part.groupby("image_path")["hit"].sum() == 2).mean()
                    for _, part in table.groupby("category"))
        check(close(point["benchmarks"]["mme"]["score"], score), point["benchmarks"]["mme"], score)
        table = pandas.read_csv(f"{folder}/{name}_MMMU_Pro_10c.tsv", sep="\t", keep_default_na=False, dtype=str)
        check(list(table["A"]) == ["it's red"] * 7 and list(table["C"]) == ["none"] * 7, table)
        check(list(table["index"]) == [row["id"] for row in mmmu], table)
        results, = glob.glob(bench.path("second/lmms_eval", name, "*_results.json"))
        with open(results) as file:
            results = json.load(file)["results"]
        check({name for name in results} == {"mme", "mmmu_pro_standard", "chartqa"}, results)
        check(close(results["chartqa"]["accuracy,none"], point["benchmarks"]["chartqa"]["accuracy"]), results)
        logged, = glob.glob(bench.path("second/lmms_eval", name, "*_samples_mmmu_pro_standard.jsonl"))
        logged = read_json_lines(logged)
        check([(s["doc_id"], s["target"], s["filtered_resps"]) for s in logged]
              == [(k, row["answer"], samples[8 + k]["response"]) for k, row in enumerate(mmmu)], logged[:2])


def hub(bench):
    """The Parquet layouts of the hub: images as structs or bare bytes, answers as lists, options within the question."""
    import pandas
    import pyarrow
    import pyarrow.parquet

    def release(name, rows, path="data/test-00000-of-00001.parquet", split=2):
        folder = bench.path(name, os.path.dirname(path))
        os.makedirs(folder)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), os.path.join(folder, os.path.basename(path)), row_group_size=split)
        return f"{name}={bench.path(name)}"

    def image(i, bare=False):
        content = picture(bench, f"hub/{i}.png", "grey", i)
        return content if bare else dict(bytes=content, path=None)

    letters = dict(A="x", B="y", C="z")
    sets = [
        release("mme", [dict(question_id=f"count/{i // 2}.png", image=image(i), question=f"Is it {i}?", answer=("Yes", "No")[i % 2],
                             category="count") for i in range(4)]),
        release("mmbench", [dict(index=7 + 1000000 * k, question="Which?", hint="nan", answer="ACB"[k], image=image(4), category="c",
                                 source="s", comment=None, split="dev", **letters, **{"D": "nan", "L2-category": "l"})
                            for k in range(3)], "en/dev-00000-of-00001.parquet"),
        release("mmstar", [dict(index=i, question="Which?\nOptions: A: red, B: blue, C: green, D: none", image=image(5 + i, bare=True),
                                answer="B", category="math", l2_category="geometry", meta_info=dict(source="s")) for i in range(3)],
                "mmstar.parquet"),
        release("chartqa", [dict(image=image(8), query=f"How many {i}?", label=["4", "5"], human_or_machine=i) for i in range(2)]),
        release("textvqa", [dict(image_id="a", question_id=100 + i, question="What?", image=image(9), answers=["nokia"] * 10,
                                 ocr_tokens=["NOKIA"]) for i in range(2)], "data/validation-00000-of-00003.parquet"),
        release("ocrbench", [dict(dataset="HME100k", question="What?", question_type=t, answer=["a b"], image=image(10))
                             for t in ("Handwritten Mathematical Expression Recognition", "Digit String Recognition")]),
        release("mmmu_pro", [dict(id="test_Art_1", image=image(11), options="['x', 'y']", answer="A", subject="Art")],
                "test-00000-of-00002.parquet")]
    summary, lines = run(bench, "out", f"eval.benchmarks=[{','.join(sets)}]", "eval.thresholds=[.5]")
    point = summary["curve"][0]
    counts = {source: tally["samples"] for source, tally in point["by_source"].items()}
    check(counts == dict(mme=4, mmbench=3, mmstar=3, chartqa=2, textvqa=2, ocrbench=2, mmmu_pro=1), counts)
    check(set(point["benchmarks"]) == set(counts), point["benchmarks"])
    tables = {path.split("tiny_dense_")[-1][:-4]: pandas.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
              for path in glob.glob(bench.path("out/vlmevalkit/tiny_dense/*.tsv"))}
    check({name: len(table) for name, table in tables.items()} ==
          {"MME": 4, "MMBench_DEV_EN": 3, "MMStar": 3, "ChartQA_TEST": 2, "TextVQA_VAL": 2, "OCRBench": 2, "MMMU_Pro_10c": 1}, tables)
    check(list(tables["MMBench_DEV_EN"]["answer"]) == list("ACB") and set(tables["MMBench_DEV_EN"]["hint"]) == {""}, tables)
    check("D" not in tables["MMBench_DEV_EN"], tables["MMBench_DEV_EN"])
    check(list(tables["MMStar"]["D"]) == ["none"] * 3, tables["MMStar"])
    check(list(tables["ChartQA_TEST"]["split"]) == ["test_human", "test_augmented"], tables["ChartQA_TEST"])
    check(ast.literal_eval(tables["TextVQA_VAL"]["answer"][0]) == ["nokia"] * 10, tables["TextVQA_VAL"])
    check(lines[0]["id"] == "count/0.png Is it 0?", lines[0])


def videos(bench):
    """Video-MME as the hub has it: a table of questions, two of them on one clip, beside the clips."""
    import pyarrow
    import pyarrow.parquet
    sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "model"))
    from video_clips import H264, ffmpeg, source
    for folder in ("data", "videomme"):
        os.makedirs(bench.path("v", folder))
    rows = []
    for i, (clip, duration) in enumerate((("a", "short"), ("a", "short"), ("b", "long"))):
        ffmpeg(*source(48, 32, 10, 1 + i), *H264, bench.path(f"v/data/{clip}.mp4"))
        rows.append(dict(video_id=str(i), duration=duration, domain="Knowledge", sub_category="Law", videoID=clip,
                         question_id=f"00{i}-1", task_type="OCR Problems", question=f"What is it, {i}?", answer="A",
                         options=["A. A test.", "B. A cat.", "C. A dog.", "D. None."]))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), bench.path("v/videomme/test-00000-of-00001.parquet"))
    summary, lines = run(bench, "out", f"eval.benchmarks=[videomme={bench.path('v')}]")
    check([line["id"] for line in lines] == [row["question_id"] for row in rows], lines)
    for i, point in enumerate(summary["curve"]):
        check_layers(point, [line["samples"][i] for line in lines])
        figures = point["benchmarks"]["videomme"]
        check(close(figures["accuracy"], 100 * point["accuracy"]), figures)
        check({"duration/short", "duration/long", "domain/Knowledge", "task_type/OCR Problems"} < set(figures), figures)
    check(summary["curve"][2]["visual_kept_ratio"] < 1, "visual tokens of a video are not counted")
    os.remove(bench.path("v/data/b.mp4"))
    done = bench.call("eval", f"model.path={bench.fixture('tiny')}", *TINY, f"eval.benchmarks=[videomme={bench.path('v')}]")
    check(done.returncode != 0 and "row 3: found none of the files" in done.stderr and "data/b.mp4" in done.stderr, done.stderr)


def sampled(bench):
    """mean@n and pass@k of several samples against the formula; every run of the n has files of its own."""
    chart_json(bench, ["?"] * 6)
    sets = f"eval.benchmarks=[chartqa={bench.path('charts')}]"
    more = ("eval.n=6", "eval.temperature=1", "eval.thresholds=[.5]")
    _, lines = run(bench, "first", sets, *more)
    # Question i counts as right what was said first to it, so that some samples are right and some are not.
    said = [line["samples"][0]["response"].strip() for line in lines]
    chart_json(bench, [said[[1, 3, 5, 0, 2, 4].index(i)] for i in range(6)])
    summary, lines = run(bench, "second", sets, *more)
    for i, point in enumerate(summary["curve"]):
        hits = [[sample["accuracy"] for sample in line["samples"][6 * i:6 * i + 6]] for line in lines]
        check(close(point["mean@6"], mean(map(mean, hits))) and point["mean@6"] == point["accuracy"], point)
        for k in (1, 2, 4, 6):
            expected = mean(1 - math.comb(6 - int(sum(h)), k) / math.comb(6, k) for h in hits)
            check(close(point[f"pass@{k}"], expected), k, point[f"pass@{k}"], expected)
        check("pass@3" not in point, point)
        check(close(point["benchmarks"]["chartqa"]["accuracy"], 100 * mean(map(mean, hits))), point)
    check(all(line["samples"][0]["accuracy"] == 1 for line in lines), "the same question is answered otherwise")
    check(sum(mean(s["accuracy"] for s in line["samples"][:6]) < 1 for line in lines) > 0, "every sample is right")
    runs = sorted(os.listdir(bench.path("second/vlmevalkit")))
    check(runs == sorted(f"tiny_{p}{r}" for p in ("dense", "p0.5") for r in ("", *(f"_run{k}" for k in range(2, 7)))), runs)


def refused(bench):
    """What cannot be evaluated is named, and nothing is written."""
    mme_table(bench)
    os.makedirs(bench.path("empty"))
    for value, *named in (
            ("mme", "'mme'", "NAME=FOLDER"), (f"mmx={bench.path('mme')}", "unknown benchmark 'mmx'", "ocrbench"),
            (f"mme={bench.path('empty')}", "empty' holds none of", "MME*.tsv"),
            (f"mme={bench.path('mme')},mme={bench.path('mme')}", "'mme' twice"),
            (f"mmmu_pro={bench.path('mme')}", "MME.tsv:2: row 1", "no column 'options'")):
        done = bench.call("eval", f"model.path={bench.fixture('tiny')}", f"eval.benchmarks=[{value}]", "--predictions",
                          bench.path("out"), "--lines", bench.path("lines.jsonl"))
        check(done.returncode != 0 and all(part in done.stderr for part in named), value, done.stderr)
        check(not glob.glob(bench.path("lines.jsonl*")) and not glob.glob(bench.path("out/**/*.tsv"), recursive=True), value)


if __name__ == "__main__":
    workbench.main({case.__name__: case for case in (layouts, hub, videos, sampled, refused)})
