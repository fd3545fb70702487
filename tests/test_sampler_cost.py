#!/usr/bin/env python3
"""The sampler's time is linear in the vocabulary, whatever the logits: instructions are counted.

    python3 tests/test_sampler_cost.py SAMPLE_LOGITS

callgrind counts the instructions of each call of el_sampler_sample(), for logits in every order
that hurts some way of choosing the best, on a small vocabulary and on one eight times as large.
"""
import array
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv[1]
SMALL, FACTOR = 3000, 8
LARGEST = 3.4028234663852886e38


def patterns(n):
    draw = random.Random(1)
    normal = [draw.gauss(0, 3) for _ in range(n)]
    close = [1 + i * 2.0 ** -23 for i in range(n)]  # neighbours: they differ in their last bits
    return {
        "ascending": sorted(normal), "descending": sorted(normal, reverse=True),
        "equal": [1.5] * n, "random": normal, "close, ascending": close,
        "close, descending": close[::-1],
        "organ pipe": [min(i, n - i) / n for i in range(n)],
        "extreme": [draw.choice((LARGEST, -LARGEST, 0.0, -0.0, 1e-45, -1e-45, 88.0))
                    for _ in range(n)],
        "nearly all banned": [-float("inf")] * (n - 10) + [float(i) for i in range(10)],
    }


# name: options; the most instructions for a token of the vocabulary; the same on random logits,
# which are like a model's
CONFIGS = {
    "greedy": ("temperature=0", 20, 20),
    "top-k": ("top_k=40 top_p=0.95 min_p=0.05 temperature=0.8", 260, 40),
    "large top-k": ("top_k=5000 top_p=0.95", 450, 200),
    "no top-k": ("top_p=0.95 min_p=0.05 temperature=0.8", 900, 170),
    "temperature": ("temperature=0.8", 450, 150),
    "typical": ("typical_p=0.9", 1000, 250),
    "mirostat 1": ("mirostat=1", 450, 70),
    "mirostat 2": ("mirostat=2", 200, 150),
}


def costs(n):
    """Instructions of one sample, by pattern and configuration."""
    rows = patterns(n)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        logits = b"".join(array.array("f", row).tobytes() for row in rows.values())
        (folder / "logits").write_bytes(logits)
        (folder / "texts").write_text("")
        requests = [f"row={i} draws=1 seed=3 {options}\n"
                    for i in range(len(rows)) for options, _, _ in CONFIGS.values()]
        subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=el_sampler_sample",
                        "--dump-after=el_sampler_sample", f"--callgrind-out-file={folder}/out",
                        PROGRAM, folder / "logits", str(n), folder / "texts"],
                       input="".join(requests), text=True, check=True, capture_output=True,
                       timeout=230)
        counted = [total(folder / f"out.{i + 1}") for i in range(len(requests))]
    names = [(pattern, config) for pattern in rows for config in CONFIGS]
    return dict(zip(names, counted))


def total(path):
    for line in path.read_text().splitlines():
        if line.startswith(("summary:", "totals:")):
            return int(line.split()[1])
    raise AssertionError(f"no total in {path}")


class Cost(unittest.TestCase):
    def test_linear_in_the_vocabulary(self):
        small, large = costs(SMALL), costs(SMALL * FACTOR)
        for (pattern, config), cost in sorted(large.items()):
            each = cost / (SMALL * FACTOR)
            print(f"{config}, {pattern}: {each:.1f} instructions a token", file=sys.stderr)
            with self.subTest(pattern=pattern, config=config):
                self.assertLessEqual(cost, small[pattern, config] * FACTOR * 1.5)
                self.assertLessEqual(each, CONFIGS[config][2 if pattern == "random" else 1])
                self.assertGreater(each, 1)


if __name__ == "__main__":
    assert shutil.which("valgrind"), "needs valgrind"
    unittest.main(argv=sys.argv[:1], verbosity=2)
