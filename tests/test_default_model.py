#!/usr/bin/env python3
"""The default model is the one that models/README.md describes, and answers what stands there: on
every processor the same.

    python3 tests/test_default_model.py EDGELLM SOURCE_DIR

Standard library only.
"""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

EDGELLM = os.path.abspath(sys.argv[1])
MODELS = pathlib.Path(sys.argv[2]).absolute() / "models"
README = (MODELS / "README.md").read_text()
MODEL = MODELS / "smollm2-135m-instruct-40mb.tm2.bin"
SIZE = 40_000_000


def edgellm(*arguments):
    done = subprocess.run([EDGELLM, *map(str, arguments)], capture_output=True, check=True, timeout=120)
    return json.loads(done.stdout)


class DefaultModel(unittest.TestCase):
    def said(self, pattern):
        found = re.findall(pattern, README)
        self.assertEqual(len(found), 1, pattern)
        return found[0]

    def test_file(self):
        data = MODEL.read_bytes()
        self.assertLessEqual(len(data), SIZE)
        self.assertEqual(len(data), int(self.said(r"([\d,]+) bytes").replace(",", "")))
        self.assertEqual(hashlib.sha256(data).hexdigest(), self.said(r"`([0-9a-f]{64})`"))

    def test_how_it_was_made(self):
        """The command stands in models/README.md and in scripts/model.sh, the options in the file."""
        made = edgellm("info", "--json", MODEL)["manifest"]["options"]
        self.assertEqual(made["fit"], SIZE)
        script = (MODELS.parent / "scripts" / "model.sh").read_text()
        options = self.said(r"--fit 40MB ([^`]+)`")
        self.assertIn(options, script)
        self.assertEqual(options, f"--sequences {made['sequences']} --steps {made['steps']} --rate {made['rate']}")

    def test_answer(self):
        prompt, tokens = self.said(r'-p "([^"]+)" -t 0 -n (\d+) --hash`')
        got = edgellm("run", MODEL, "-p", prompt, "-t", "0", "-n", tokens, "--hash", "--json")
        self.assertEqual(got["hash"], self.said(r"logits hash to `([0-9a-f]{16})`"))
        self.assertIn(" ".join(got["text"].split()), " ".join(README.split()))

    def test_licence(self):
        self.assertIn("Apache License", (MODELS / "LICENSE").read_text())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
