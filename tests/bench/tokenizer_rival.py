"""The rival of bench_tokenizer. `make DIR`: tokenizer.json (the published Qwen2 vocabulary) and texts in DIR;
`run DIR CASE ROUNDS`: seconds that the `tokenizers` library takes for the case on one thread, a number a round;
`load DIR ROUNDS`: to load the vocabulary."""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model"))


def make(directory):
    import glob
    from judging import random_strings
    from qwen_vocabulary import write_qwen_tokenizer
    write_qwen_tokenizer(os.path.join(directory, "tokenizer.json"))
    source = ""
    for path in sorted(glob.glob(os.path.join(os.path.dirname(json.__file__), "..", "*.py"))):
        with open(path, encoding="utf-8", errors="replace") as file:
            source += file.read()
        if len(source) > 4_000_000:
            break
    words = [line.strip() for line in source.split("\n") if len(line.split()) > 6]
    cases = {"source_code": [source[i:i + 4000] for i in range(0, len(source), 4000)],
             "questions": [f"<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{line}<|im_end|>\n"
                           for line in words[:20_000]],
             "mixed_scripts": random_strings(20_000, 3)}
    for name, texts in cases.items():
        with open(os.path.join(directory, f"{name}.jsonl"), "w") as file:
            file.writelines(json.dumps(text, ensure_ascii=False) + "\n" for text in texts)


def run(directory, case, rounds):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
    with open(os.path.join(directory, f"{case}.jsonl"), encoding="utf-8", newline="\n") as file:
        texts = [json.loads(line) for line in file]
    for _ in range(int(rounds)):
        start = time.perf_counter()
        for text in texts:
            tokenizer.encode(text, add_special_tokens=False)
        print(time.perf_counter() - start)


def load(directory, rounds):
    from tokenizers import Tokenizer
    for _ in range(int(rounds)):
        start = time.perf_counter()
        Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
        print(time.perf_counter() - start)


{"make": make, "run": run, "load": load}[sys.argv[1]](*sys.argv[2:])
