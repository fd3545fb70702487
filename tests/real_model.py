#!/usr/bin/env python3
r"""The contracts on the real model: run by `make test-model` after `make run` has made the file.

    python3 tests/real_model.py build/release/edgellm models/SmolLM2-135M-Instruct.tm2.bin \
        build/release/tests/float_distance models/SmolLM2-135M-Instruct.Q4_1.gguf

Numbers:  --hash is equal for every kernel level, number of threads and cut of the prompt.
Memory:   the plan of `edgellm info` is within 2 % of the peak that `edgellm run` reaches, and at
          -c 512 the peak is at most file size + KV cache + 8 MB.
Endless:  past the context, with its first tokens kept, an answer goes on in the same memory, and
          neither falls apart nor repeats itself.
Training: the source in float32, as src/train computes it, predicts what the engine does.
"""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

EDGELLM, MODEL, FLOAT_DISTANCE, SOURCE = sys.argv[1:5]
TEXT = pathlib.Path(__file__).with_name("text") / "plain.txt"
PROMPT = ("The keeper counted the steps of the tower every evening, and every evening there were "
          "two hundred and twelve. ") * 8


def edgellm(*arguments):
    done = subprocess.run([EDGELLM, *arguments], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: exit {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def run(*options, tokens=24):
    return edgellm("run", MODEL, "--json", "--hash", "--ignore-eos", "-s", "7", "-n", str(tokens),
                   "-p", PROMPT, *options)


def threads():
    return 2 if len(os.sched_getaffinity(0)) >= 2 else 1


class Numbers(unittest.TestCase):
    def test_hash_does_not_depend_on_the_way(self):
        kernels = edgellm("info", MODEL, "--json")["kernels_available"]
        self.assertIn("scalar", kernels)
        reference = run("--kernel", "scalar", "-j", "1")
        self.assertGreater(reference["prompt_tokens"], 128)
        ways = [(kernel, batch) for kernel in kernels for batch in ("7", "64", "512")]
        for n in range(1, threads() + 1):
            # As many programs at once as leave each thread a core.
            with concurrent.futures.ThreadPoolExecutor(threads() // n) as at_once:
                found = at_once.map(lambda way, n=n: run("--kernel", way[0], "-j", str(n), "-b",
                                                         way[1]), ways)
                for way, got in zip(ways, found):
                    self.assertEqual(got["hash"], reference["hash"], (*way, n))
                    self.assertEqual(got["text"], reference["text"])
        self.assertEqual(run("-b", "1")["hash"], reference["hash"])

    def test_exact_hash_does_not_depend_on_the_way(self):
        hashes = {run("--exact", "--kernel", k, "-j", str(n), tokens=4)["hash"]
                  for k in ("scalar", edgellm("info", MODEL, "--json")["kernel"])
                  for n in (1, threads())}
        self.assertEqual(len(hashes), 1)


class Memory(unittest.TestCase):
    def check(self, context):
        plan = edgellm("info", MODEL, "-c", str(context), "--json")["plan"]
        used = run("-c", str(context), tokens=100)
        self.assertLess(abs(plan["total"] / used["peak_rss"] - 1), 0.02,
                        (context, plan, used["peak_rss"]))
        return plan, used

    def test_plan_is_what_is_used(self):
        self.check(4096)
        plan, used = self.check(512)
        bound = used["file_bytes"] + plan["kv_cache"] + 8_000_000
        self.assertLessEqual(used["peak_rss"], bound)


class Endless(unittest.TestCase):
    """An answer six times as long as the context, with 4 tokens at its beginning for attention to rest on."""

    OPTIONS = ("run", MODEL, "--json", "--ignore-eos", "-s", "7", "-t", "0.8", "-c", "256", "--shift", "--keep", "4",
               "--raw", "-p", "Once upon a time, in a small town by the sea,")

    def perplexity(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            return edgellm("perplexity", MODEL, file.name, "-c", "128", "--json")["ppl"]

    def test_same_memory_and_sane_text(self):
        within, past = (edgellm(*self.OPTIONS, "-n", n) for n in ("200", "1600"))
        self.assertEqual((within["shifts"], past["shifts"], len(past["tokens"])), (0, 11, 1600))
        self.assertLess(abs(past["peak_rss"] - within["peak_rss"]), 1 << 20)
        half = len(past["text"]) // 2
        first, second = self.perplexity(past["text"][:half]), self.perplexity(past["text"][half:])
        self.assertGreater(min(first, second), 2)  # text that goes round in circles has hardly more than 1
        self.assertLess(second, 2 * first)


class Training(unittest.TestCase):
    def test_float32_predicts_what_the_engine_does(self):
        done = subprocess.run([FLOAT_DISTANCE, SOURCE, MODEL, TEXT, "64", "2"],
                              capture_output=True, text=True, timeout=300)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        distance = json.loads(done.stdout)
        self.assertEqual(distance["positions"], 128)
        self.assertLess(abs(distance["mean_kl"]), 1e-6, distance)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
