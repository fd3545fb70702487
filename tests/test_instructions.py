#!/usr/bin/env python3
"""Every token takes the same number of instructions, whatever the text, but for what attention
adds with each position.

    python3 tests/test_instructions.py EDGELLM MAKE_TINY OUT_DIR [MODEL.tm2.bin]

callgrind counts what `edgellm run` does from one call of edgellm_session_eval() to the next:
a token computed, chosen (greedy) and written out, on one thread. From 50 such counts the part that
attention explains is taken away by least squares, and what is left must stay within 0.1 % of the
mean. Attention is linear in three whole numbers, each known from the length alone: the positions
whose values it mixes, the tiles of 16 whose keys it scores, the spans of 64 whose weights it sums
(docs/NUMERICS.md; kernel/attend.inc). A straight line over the position alone misses the tiles: it
is fitted too, and printed, not held to the bound.

MODEL: another model than the small one made here. Standard library only.
"""
import functools
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
MODEL = os.path.abspath(sys.argv[4]) if len(sys.argv) > 4 else str(OUT / "layers.tm2.bin")
TOKENS = 50
BOUND = 1e-3  # of the mean
TILE, SPAN = 16, 64
# As many tokens in any vocabulary: the same words. Of the small model 32 with the chat template, so
# that the 50 after them cross the ends of several tiles and of a span.
TEXTS = ("one two three four five", "one five four three two")
os.environ["EDGELLM_CACHE"] = "none"


# ---- arithmetic ---------------------------------------------------------------------------------

def without(rows, y):
    """What is left of y (n) after the best combination of the rows (n each): least squares by
    orthogonal rows. A row that the ones before it make up adds nothing."""
    left, directions = list(map(float, y)), []
    for row in rows:
        direction = list(map(float, row))
        for d in directions:
            direction = minus(direction, d)
        length = math.sqrt(sum(a * a for a in direction))
        if length > 1e-9 * math.sqrt(sum(a * a for a in row)):
            directions.append([a / length for a in direction])
            left = minus(left, directions[-1])
    return left


def minus(x, direction):
    """x without its part along a direction of length 1."""
    along = sum(a * d for a, d in zip(x, direction))
    return [a - along * d for a, d in zip(x, direction)]


def largest_share(left, counts):
    return max(map(abs, left)) * len(counts) / sum(counts)


def flat(lengths):
    return ([1] * len(lengths),)


def line(lengths):
    return *flat(lengths), lengths


def attention(lengths):
    return (*line(lengths), [-(-n // TILE) for n in lengths], [-(-n // SPAN) for n in lengths])


def unexplained(counts, first, terms=attention):
    """The largest deviation from the fit, as a share of the mean; counts[i] is of the token that
    makes the context first + i tokens long."""
    lengths = list(range(first, first + len(counts)))
    return largest_share(without(terms(lengths), counts), counts)


# ---- counting -----------------------------------------------------------------------------------

def total(path):
    for row in path.read_text().splitlines():
        if row.startswith(("summary:", "totals:")):
            return int(row.split()[1])
    raise AssertionError(f"no total in {path}")


def valgrind(*arguments):
    done = subprocess.run(["valgrind", *arguments], capture_output=True, timeout=220)
    if done.returncode != 0:
        raise AssertionError((arguments, done.stderr.decode()))
    return done.stdout


@functools.cache
def level():
    """The instruction set to count: AVX2; elsewhere the highest that valgrind can run."""
    found = json.loads(valgrind("-q", EDGELLM, "info", MODEL, "--json"))["kernels_available"]
    return "avx2" if "avx2" in found else found[-1]


def answer(text, tokens):
    return [EDGELLM, "run", MODEL, "-p", text, "-n", str(tokens), "--cpumask", level(), "-j", "1",
            "-t", "0", "--repeat-penalty", "1", "--ignore-eos", "-q"]


def count(text, *more):
    """The instructions of each of 50 tokens after the first, and the answer they are of."""
    with tempfile.TemporaryDirectory(dir=OUT) as name:
        dumps = pathlib.Path(name)
        # Dump 1 ends before the prompt, dump 2 before the first token after it.
        made = valgrind("--tool=callgrind", "--dump-before=edgellm_session_eval",
                        f"--callgrind-out-file={dumps}/out", *answer(text, TOKENS + 2), *more)
        return [total(dumps / f"out.{i + 3}") for i in range(TOKENS)], made


def prompt_tokens(text):
    done = subprocess.run([*answer(text, 1), "--json"], check=True, capture_output=True, timeout=60)
    return json.loads(done.stdout)["prompt_tokens"]


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 4:
        return
    gguf = OUT / "layers.gguf"
    subprocess.run([MAKE_TINY, gguf, "layers"], check=True, timeout=60)
    subprocess.run([EDGELLM, "quantize", gguf, "-o", MODEL, "-q"], check=True, timeout=60)


class Instructions(unittest.TestCase):
    def test_a_token_takes_as_many_as_the_next(self):
        (first, one), (second, other) = count(TEXTS[0]), count(TEXTS[1])
        length = prompt_tokens(TEXTS[0]) + 1
        self.assertEqual(length, prompt_tokens(TEXTS[1]) + 1)
        self.assertNotEqual(one, other)
        for counts in (first, second):
            left = unexplained(counts, length)
            print(f"{level()}: mean {sum(counts) / TOKENS:.0f} instructions a token, lengths {length} "
                  f"to {length + TOKENS - 1}; largest residual {left:.4%}, of a straight line "
                  f"{unexplained(counts, length, line):.4%}", file=sys.stderr)
            self.assertGreater(min(counts), 10000)
            self.assertLessEqual(left, BOUND)
        # And without any fit: at the same length the text makes no difference.
        apart = largest_share([a - b for a, b in zip(first, second)], first)
        print(f"two texts differ by at most {apart:.4%} at the same length", file=sys.stderr)
        self.assertLessEqual(apart, BOUND)


    def test_in_constant_time_the_position_makes_no_difference(self):
        counts, made = count(TEXTS[0], "--constant-time")
        _, plain = count(TEXTS[0])
        self.assertEqual(made, plain)
        length = prompt_tokens(TEXTS[0]) + 1
        left = unexplained(counts, length, flat)
        print(f"{level()}: in constant time {sum(counts) / TOKENS:.0f} instructions a token, which "
              f"differ by at most {left:.4%} from the mean", file=sys.stderr)
        self.assertLessEqual(left, BOUND)
        lengths = range(length, length + TOKENS)
        middle = sum(lengths) / TOKENS
        slope = (sum((n - middle) * c for n, c in zip(lengths, counts)) /
                 sum((n - middle) ** 2 for n in lengths))
        self.assertLess(abs(slope) * TOKENS, BOUND * sum(counts) / TOKENS)


class Arithmetic(unittest.TestCase):
    """That the above can fail, on numbers made up."""

    FIRST = 33

    def made_up(self):
        return [2000000 + 800 * n + 6000 * -(-n // TILE) + 2000 * -(-n // SPAN)
                for n in range(self.FIRST, self.FIRST + TOKENS)]

    def test_what_attention_explains_passes(self):
        self.assertLess(unexplained(self.made_up(), self.FIRST), 1e-9)
        flat = [1000] * TOKENS  # nor does a term that is not there do harm
        self.assertLess(unexplained(flat, self.FIRST), 1e-9)
        self.assertLess(unexplained(flat, 1), 1e-9)

    def test_one_token_too_dear_is_found(self):
        for at in range(TOKENS):
            counts = self.made_up()
            counts[at] += counts[at] // 200
            self.assertGreater(unexplained(counts, self.FIRST), BOUND, at)

    def test_what_grows_otherwise_is_found(self):
        for extra in (lambda i: 30 * i * i,                  # quadratic in the position
                      lambda i: 8000 * (i % 10 == 0),        # every tenth token
                      lambda i: 8000 * (i >= TOKENS // 4)):  # from some token on
            counts = [n + extra(i) for i, n in enumerate(self.made_up())]
            self.assertGreater(unexplained(counts, self.FIRST), BOUND)

    def test_least_squares(self):
        # 1, 2, 4 over 0, 1, 2: the best line is 5/6 + 3/2 x.
        for got, wanted in zip(without(line([0, 1, 2]), [1, 2, 4]), (1 / 6, -1 / 3, 1 / 6)):
            self.assertAlmostEqual(got, wanted)


if __name__ == "__main__":
    assert shutil.which("valgrind"), "needs valgrind"
    unittest.main(argv=sys.argv[:1], verbosity=2)
