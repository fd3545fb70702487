#!/usr/bin/env python3
"""What is wrong with a model in GGUF, or with an adapter in GGUF, is said by `edgellm quantize`, with the file and
the tensor, on the plain way and on the calibrated one; no file comes of it. Folders: test_folder.py; adapters of
PEFT: test_lora.py.

    python3 tests/test_bad_models.py EDGELLM OUT_DIR

Standard library only.
"""
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE / "support"))
from gguf_cut import UINT32, Whole, number, text  # noqa: E402

EDGELLM, OUT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute()
USAGE, FORMAT, UNSUPPORTED = 2, 4, 5
DATA = HERE / "data"
PLAIN = ("--bits", "8", "--calibrate", "none")
CALIBRATED = ("--bits", "4", "--calibrate", HERE / "text" / "plain.txt", "--sequences", "1", "--length", "64")
SUPPORTED = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "smollm3", "bitnet", "bitnet-b1.58")
NAN, INF = (struct.pack("<f", float(x)) for x in ("nan", "inf"))
Q, DOWN, NORM = "blk.0.attn_q.weight", "blk.1.ffn_down.weight", "blk.0.attn_norm.weight"
LORA_A, LORA_B = "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b"


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)


def said(key, value):
    """A metadata entry."""
    return number(key, UINT32, value) if isinstance(value, int) else text(key) + struct.pack("<I", 8) + text(value)


class Case(unittest.TestCase):
    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(dir=OUT))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.whole = Whole(DATA / self.SOURCE)
        self.file, self.target = self.place / "bad.gguf", self.place / "made"

    def set(self, key, value):
        """Instead of what the file says."""
        at = [v.startswith(text(key)) for v in self.whole.values].index(True)
        self.whole.values[at] = said(key, value)

    def at(self, name):
        return [t[0] for t in self.whole.tensors].index(name)

    def change(self, name, dims=None, data=lambda d: d):
        was, its, kind, content = self.whole.tensors[self.at(name)]
        self.whole.tensors[self.at(name)] = (was, dims or its, kind, data(content))

    def put(self, name, content):
        self.change(name, data=lambda d: d[:4] + content + d[4 + len(content):])

    def sound(self):
        self.file.write_bytes(self.whole.part(0, 1, self.whole.tensors))
        subprocess.run([EDGELLM, "quantize", self.file, "-o", self.target, "-q", *PLAIN], timeout=120, check=True)

    def refused(self, code, *words, options):
        self.file.write_bytes(self.whole.part(0, 1, self.whole.tensors))
        done = subprocess.run([EDGELLM, "quantize", *options, "-o", self.target, "-q"], timeout=120,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        told = done.stderr.decode()
        self.assertEqual(done.returncode, code, told)
        for word in ("bad.gguf", *words):
            self.assertIn(word, told)
        self.assertEqual(told.count("bad.gguf"), 1, told)
        self.assertFalse(self.target.exists())


class Models(Case):
    SOURCE = "conformance_llama3.gguf"

    def both(self, code, *words):
        for options in (PLAIN, CALIBRATED):
            with self.subTest(options):
                self.refused(code, *words, options=(self.file, *options))
                self.assertEqual(os.listdir(self.place), [self.file.name])  # nothing to go on with

    def test_sound(self):
        self.sound()

    def test_shapes_that_disagree(self):
        self.set("llama.feed_forward_length", 32)
        self.both(FORMAT, "ffn_gate.weight", "needs (32,")

    def test_a_matrix_that_is_turned(self):
        self.change(DOWN, dims=self.whole.tensors[self.at(DOWN)][1][::-1])
        self.both(FORMAT, DOWN, "needs")

    def test_a_tensor_that_is_missing(self):
        for name in (Q, NORM):
            with self.subTest(name):
                self.whole = Whole(DATA / self.SOURCE)
                self.whole.tensors.pop(self.at(name))
                self.both(FORMAT, name, "missing")

    def test_a_tensor_that_is_there_twice(self):
        self.whole.tensors.append(self.whole.tensors[self.at(Q)])
        self.both(FORMAT, Q, "twice")

    def test_a_tensor_of_another_architecture(self):
        self.whole.tensors.append(("blk.0.attn_q_norm.weight", *self.whole.tensors[self.at(NORM)][1:]))
        self.both(UNSUPPORTED, "blk.0.attn_q_norm.weight")

    def test_tensors_that_are_not_known(self):
        """What is left out might change the answers: a part, a layer, a second head."""
        for name in ("blk.0.attn_sinks.weight", "blk.2.attn_norm.weight", "blk.01.attn_norm.weight", "blk.0.ffn_up.scale",
                     "blk.attn_norm.weight", "cls.output.weight", "output.bias", "position_embd.weight"):
            with self.subTest(name):
                self.whole = Whole(DATA / self.SOURCE)
                self.whole.tensors.append((name, *self.whole.tensors[self.at(NORM)][1:]))
                self.both(UNSUPPORTED, f"'{name}'", "llama with 2 layers", "without it")

    def test_a_head_that_is_the_embedding_again(self):
        self.whole.tensors.append(("output.weight", *self.whole.tensors[self.at("token_embd.weight")][1:]))
        self.sound()

    def test_weights_that_are_no_numbers(self):
        for value in (NAN, INF):
            with self.subTest(value):
                self.put(NORM, value)
                self.both(FORMAT, NORM, "row 0, column 1", "not a finite number")

    def test_tokens_that_are_not_those_of_the_embedding(self):
        def cut(data):
            return data[:len(data) // rows * (rows - 4)]
        cols, rows = self.whole.tensors[self.at("token_embd.weight")][1]
        self.change("token_embd.weight", dims=[cols, rows - 4], data=cut)
        self.both(FORMAT, "token_embd.weight", f"({rows - 4}, {cols})", f"({rows}, {cols})")

    def test_a_vocabulary_that_is_not_known(self):
        self.set("tokenizer.ggml.model", "rwkv")
        self.both(UNSUPPORTED, "'rwkv'", "gpt2", "llama", "t5")

    def test_an_architecture_that_is_not_run(self):
        """Whether its numbers have the usual names or not."""
        self.set("general.architecture", "mamba2")
        self.both(UNSUPPORTED, "'mamba2'", *SUPPORTED)
        self.whole.values += [said(f"mamba2.{key}", 2) for key in (
            "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count")]
        self.both(UNSUPPORTED, "'mamba2'", *SUPPORTED)


class Renamed(Case):
    SOURCE = "conformance_bitnet-b1.58.gguf"

    def test_a_name_that_an_architecture_had(self):
        was, its = "bitnet-b1.58", "bitnet-25"
        self.set("general.architecture", its)
        for i, value in enumerate(self.whole.values):
            key = value[8:8 + struct.unpack_from("<Q", value)[0]].decode()
            if key.startswith(was):
                self.whole.values[i] = text(key.replace(was, its)) + value[8 + len(key):]
        self.sound()


class Adapters(Case):
    SOURCE = "lora_llama3_second.gguf"

    @classmethod
    def setUpClass(cls):
        cls.base = OUT / "base.tm2.bin"
        subprocess.run([EDGELLM, "quantize", DATA / "conformance_llama3.gguf", "-o", cls.base, "-q"],
                       timeout=120, check=True)

    def adapter_refused(self, code, *words):
        self.refused(code, *words, options=(self.base, "--lora", self.file))

    def test_another_kind(self):
        self.set("adapter.type", "control_vector")
        self.adapter_refused(UNSUPPORTED, "'lora'")

    def test_another_architecture(self):
        self.set("general.architecture", "mamba2")
        self.adapter_refused(USAGE, "mamba2", "llama")

    def test_a_shape_that_does_not_fit(self):
        self.change(LORA_A, dims=self.whole.tensors[self.at(LORA_A)][1][::-1])
        self.adapter_refused(USAGE, LORA_A, "columns", "another model")

    def test_a_half_that_is_missing(self):
        self.whole.tensors.pop(self.at(LORA_B))
        self.adapter_refused(FORMAT, LORA_B, "is missing")

    def test_a_half_that_is_there_twice(self):
        self.whole.tensors.append(self.whole.tensors[self.at(LORA_A)])
        self.adapter_refused(FORMAT, LORA_A, "twice")

    def test_a_layer_that_there_is_not(self):
        self.whole.tensors.append(("blk.9.attn_q.weight.lora_a", *self.whole.tensors[self.at(LORA_A)][1:]))
        self.adapter_refused(UNSUPPORTED, "blk.9.attn_q.weight.lora_a", "2 layers")

    def test_numbers_that_are_none(self):
        for value in (NAN, INF):
            with self.subTest(value):
                self.put(LORA_B, value)
                self.adapter_refused(FORMAT, LORA_B, "row 0", "finite")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
