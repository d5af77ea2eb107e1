"""Shared by the Python judges: talking to the probe program, temporary model directories."""
import json
import random
import subprocess
import sys


def probe(program, *args, lines=()):
    """Runs the probe with these input lines; its output lines. The probe's failure is the judge's."""
    text = "".join(line + "\n" for line in lines)
    done = subprocess.run([program, *map(str, args)], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"probe {args} failed: {done.stderr.strip()}")
    return done.stdout.split("\n")[:-1]


def hexed(text):
    return (text if isinstance(text, bytes) else text.encode()).hex()


def ids_of(lines):
    return [[int(i) for i in line.split()] for line in lines]


def check_equal(what, got, want, show=str):
    """Fails with the first difference; says how much was compared otherwise."""
    if len(got) != len(want):
        sys.exit(f"{what}: {len(got)} results, expected {len(want)}")
    for i, (a, b) in enumerate(zip(got, want)):
        if a != b:
            sys.exit(f"{what}: case {i}: {show(i)[:300]!r}\n  got      {str(a)[:600]}\n  expected {str(b)[:600]}")
    print(f"{what}: {len(got)} cases equal")


POOLS = [
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789\u0660\u0661\u00b2\u00bd\u2167\u3007",
    " \t\n\r\x0b\x0c\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u200b\ufeff\u180e",
    "'`\"!?.,;:()[]{}<>|/\\@#$%^&*-_=+~",
    "\u0300\u0301\u0308\u0323\u0327\u0338\u0345\u0591\u05b0\u064b\u0651\u093c\u094d\u0e38\u20d0\u3099\u309a",
    "\u00e9\u00c5\u212b\u1e9b\u0344\u0958\u2126\u017f\u212a\u01c5\u00df\u0130\u0131\ufb01\uac00\u1100\u1161\u11a8",
    "\u4e2d\u6587\u5b57\u3042\u30a2\uff21\uff11\u0416\u0434\u03b1\u03a9\u05d0\u0627\u0e01\u0915",
    "\U0001f600\U0001f468\u200d\U0001f469\U0001f1e9\U0001f1ea\U0001f44d\U0001f3fd\u2764\ufe0f\U0001d400\U00020000",
    "\x00\x01\x07\x08\x1b\x1c\x1d\x1e\x1f\x7f\u0080\u009f\u00ad\ue000\ufffd\uffff\U0010ffff",
]
WORDS = ["'s", "'T", "'re", "'VE", "'m", "'ll", "'d", "\u2019s", "'\u017f", "don't", "I'LL", "  ", "\n\n", " \n ",
         "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|endoftext|>", "<tool_call>", "<|im_", "|>", "<", "hello"]


def random_string(rng, length):
    parts, made = [], 0
    while made < length:
        kind = rng.random()
        if kind < 0.15:
            parts.append(rng.choice(WORDS))
        elif kind < 0.25:
            c = rng.randrange(0x110000)
            parts.append(chr(c) if not 0xD800 <= c < 0xE000 else "?")
        elif kind < 0.4:
            parts.append(rng.choice(rng.choice(POOLS)) * rng.randrange(1, 6))
        else:
            pool = rng.choice(POOLS)
            parts.append("".join(rng.choice(pool) for _ in range(rng.randrange(1, 8))))
        made += len(parts[-1])
    return "".join(parts)


def random_strings(count, seed):
    rng = random.Random(seed)
    return [random_string(rng, rng.choice([1, 2, 3, 5, 10, 30, 100])) for _ in range(count)]


def easy_vqa_texts():
    from easy_vqa import get_answers, get_test_questions, get_train_questions
    texts = list(get_answers())
    for questions, answers, _ in (get_train_questions(), get_test_questions()):
        texts += list(questions) + list(answers)
    return texts


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file)
