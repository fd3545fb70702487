"""Runs EdgeLLM's own programs."""
import json
import os
import subprocess
import tempfile

import numpy as np


class Programs:
    """The programs of one build folder."""

    def __init__(self, build):
        self.edgellm = os.path.join(build, "edgellm")
        self.dump_logits = os.path.join(build, "tools", "dump_logits")

    def quantize(self, source, target, *options, again=False):
        """Makes a TM2 file unless it is there and newer than both its source and the program."""
        if not again and os.path.exists(target) and os.path.getmtime(target) > max(
                os.path.getmtime(source), os.path.getmtime(self.edgellm + "-quantize")):
            return target
        subprocess.run([self.edgellm, "quantize", source, "-o", target, "-q", "--calibrate", "none",
                        *options], check=True)
        return target

    def logits(self, model, ids, *options):
        """Float32 (tokens, vocab)."""
        with tempfile.TemporaryDirectory() as work:
            listed, dumped = os.path.join(work, "ids"), os.path.join(work, "logits")
            with open(listed, "w", encoding="ascii") as out:
                out.write(" ".join(map(str, ids)) + "\n")
            subprocess.run([self.dump_logits, model, listed, dumped, *options], check=True)
            return np.fromfile(dumped, "<f4").reshape(len(ids), -1)

    def perplexity(self, model, text, chunks, *options):
        done = subprocess.run([self.edgellm, "perplexity", model, text, "--chunks", str(chunks),
                               "-c", "512", "--json", *options],
                              check=True, capture_output=True, text=True)
        return json.loads(done.stdout)
