#!/usr/bin/env python3
"""The static program, which archives for boards hold (-DEDGELLM_CORE=ON): one file that needs no other, small, and with
the answers of `edgellm`, for each command that is no program of its own. On other processors: `make test-dist`.

    python3 tests/test_core.py CORE EDGELLM MAKE_TINY OUT_DIR STRIP

Standard library only.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

CORE, EDGELLM, MAKE_TINY = map(os.path.abspath, sys.argv[1:4])
OUT, STRIP = pathlib.Path(sys.argv[4]).absolute(), sys.argv[5]
MODEL, TEXT = str(OUT / "tiny.tm2.bin"), str(OUT / "text")
MOST = 2_500_000  # bytes, stripped
IO, MEMORY = 3, 6
os.environ["EDGELLM_CACHE"] = "none"
ANSWERS = {
    "run": ["run", MODEL, "--raw", "-p", "the fox", "-n", "8", "-s", "3", "--ignore-eos", "--hash", "-q"],
    "chat": ["chat", MODEL, "-n", "8", "-s", "3", "-q", "--no-history"],
    "tokenize": ["tokenize", MODEL, "Grüße, 世界!"],
    "info": ["info", MODEL, "-c", "64"],
    "perplexity": ["perplexity", MODEL, TEXT, "-c", "64"],
    "help": ["--help"],
}
BENCH = ["bench", MODEL, "--runs", "1", "--warmup", "0", "-p", "4", "-n", "2", "-j", "1", "--json"]


def call(*command):
    return subprocess.run(command, input=b"the quick brown fox\n", capture_output=True, timeout=120)


def said(program, arguments):
    """Exit code and all output, but for times, and what a program is itself of the plan of `info`."""
    done = call(program, *arguments)
    return done.returncode, re.sub(rb"(?m)^  (program|total) .*|, [0-9.]+ s\)$", b"", done.stdout), done.stderr


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for command in ((MAKE_TINY, OUT / "tiny.gguf"), (EDGELLM, "quantize", OUT / "tiny.gguf", "-o", MODEL, "-q")):
        subprocess.run(command, check=True, timeout=60)
    (OUT / "text").write_text("the quick brown fox jumps over the lazy dog\n" * 20, encoding="ascii")


class Core(unittest.TestCase):
    def test_one_small_file(self):
        shutil.copy(CORE, OUT / "alone")
        headers = subprocess.run(["readelf", "-lW", CORE], capture_output=True, check=True).stdout
        self.assertNotIn(b"INTERP", headers)
        self.assertNotIn(b"DYNAMIC", headers)
        subprocess.run([STRIP, OUT / "alone"], check=True)
        self.assertLessEqual((OUT / "alone").stat().st_size, MOST)

    def test_answers(self):
        for name, arguments in ANSWERS.items():
            with self.subTest(name):
                self.assertEqual(said(CORE, arguments), said(EDGELLM, arguments))

    def test_bench(self):
        measured = json.loads(call(CORE, *BENCH).stdout)
        self.assertGreater(measured["decode_tok_s"], 0)

    def test_what_it_refuses(self):
        for arguments, code, words in ((["run", "none.tm2.bin", "-p", "x"], IO, b"none.tm2.bin"),
                                       (["run", MODEL, "-p", "x", "--max-ram", "1M"], MEMORY, b"the cap is 1048576")):
            refused = call(CORE, *arguments)
            self.assertEqual(refused.returncode, code, refused.stderr)
            self.assertIn(words, refused.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
