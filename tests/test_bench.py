#!/usr/bin/env python3
"""`edgellm bench`: what its roofline is made of; and the tool that makes models for it.

    python3 tests/test_bench.py EDGELLM MAKE_TINY OUT_DIR RANDOM_MODEL

RANDOM_MODEL is tools/random_model.c. Standard library only. That a share is reached is no test: it
is a figure of the machine.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT, RANDOM_MODEL = pathlib.Path(sys.argv[3]).absolute(), os.path.abspath(sys.argv[4])
SANITIZED = "sanitized" in sys.argv[5:]
TM2 = str(OUT / "tiny.tm2.bin")
os.environ["EDGELLM_CACHE"] = "none"
# The request: 4 tokens of prompt, 3 steps, which see 5, 6 and 7 positions.
REQUEST, POSITIONS = ("--runs", "2", "--warmup", "0", "-p", "4", "-n", "3", "-j", "1"), 6


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError((command, done.stderr.decode()))
    return done.stdout.decode()


def edgellm(*arguments):
    return json.loads(run(EDGELLM, *arguments, "--json"))


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    run(MAKE_TINY, OUT / "tiny.gguf")
    run(EDGELLM, "quantize", OUT / "tiny.gguf", "-o", TM2, "-q")


class Roofline(unittest.TestCase):
    def test_bytes(self):
        info = edgellm("info", TM2, "--tensors")
        got = edgellm("bench", TM2, *REQUEST)["roofline"]
        # The tiny model's head is its embedding, so all of the file's weights are read.
        self.assertEqual(got["weight_bytes"], sum(t["bytes"] for t in info["tensor_list"]))
        head_dim = 16
        record = 2 * (head_dim + 4)  # key and value, a byte each and a scale for up to 32
        self.assertEqual(got["kv_bytes"], 2 * 2 * record * POSITIONS)  # layers, heads
        exact = edgellm("bench", TM2, *REQUEST, "--exact")["roofline"]
        self.assertEqual(exact["weight_bytes"], got["weight_bytes"])
        self.assertEqual(exact["kv_bytes"], 2 * 2 * 2 * head_dim * 4 * POSITIONS)

    def test_figures_agree(self):
        for threads in {1, len(os.sched_getaffinity(0))}:
            bench = edgellm("bench", TM2, *REQUEST[:-1], min(threads, 8))
            got = bench["roofline"]
            self.assertAlmostEqual(got["weight_gb_s"] / (got["weight_bytes"] * 1e-9),
                                   bench["decode_tok_s"], delta=bench["decode_tok_s"] * 1e-6)
            self.assertAlmostEqual(got["share"], got["weight_gb_s"] / got["roof_gb_s"])
            self.assertGreater(got["share"], 0)
            self.assertGreaterEqual(got["roof_passes"], 2 * bench["runs"])
            # As many bytes as a token reads, in whole steps.
            self.assertLessEqual(got["roof_bytes"], got["weight_bytes"])
            self.assertGreater(got["roof_bytes"], got["weight_bytes"] - 128)

    def test_text(self):
        text = run(EDGELLM, "bench", TM2, *REQUEST)
        self.assertRegex(text, r"(?m)^read per token +[\d.]+ MB of weights, [\d.]+ GB/s; and [\d.]+ "
                               r"MB of the KV cache$")
        self.assertRegex(text, r"(?m)^roofline +\d+ % of [\d.]+ GB/s \(")
        self.assertIn("roofline", run(EDGELLM, "bench", "--help"))

    @unittest.skipIf(SANITIZED, "a sanitizer needs memory of its own")
    def test_the_second_mapping_is_no_peak(self):
        """The file is mapped twice, but memory is what the engine needs."""
        path = OUT / "random.tm2.bin"
        run(RANDOM_MODEL, TM2, path, 2, 1)
        bench = edgellm("bench", path, *REQUEST)
        self.assertGreater(bench["file_bytes"], 16e6)
        self.assertLess(bench["peak_rss"], 1.9 * bench["file_bytes"])


class RandomModel(unittest.TestCase):
    def test_every_width_can_be_run(self):
        path = OUT / "random.tm2.bin"
        for bits, codec in ((2, "s2"), (3, "s3"), (4, "s4"), (8, "i8")):
            run(RANDOM_MODEL, TM2, path, bits, 1)
            info = edgellm("info", path, "--verify")
            self.assertIn(codec, json.dumps(info))
            self.assertGreater(info["parameters"], 60e6)
            tokens = run(EDGELLM, "run", path, "-p", "x", "-n", "2", "-t", "0", "--ignore-eos", "-j", "1",
                         "--json")
            self.assertEqual(len(json.loads(tokens)["tokens"]), 2)
        path.unlink()

    def test_usage(self):
        for words in ((), (TM2,), (TM2, OUT / "x", 5), (TM2, OUT / "x", 2, 0), (TM2, OUT / "x", "x")):
            done = subprocess.run([RANDOM_MODEL, *map(str, words)], capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 2, words)
            self.assertRegex(done.stderr.decode(), r"\Ausage: [^\n]+\n\Z")
        done = subprocess.run([RANDOM_MODEL, OUT / "none", OUT / "x"], capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"none", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
