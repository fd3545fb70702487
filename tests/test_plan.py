#!/usr/bin/env python3
"""`edgellm quantize --plan`: what fits into a size, against arithmetic done here from
docs/FORMAT.md, and against a file.

    python3 tests/test_plan.py EDGELLM MAKE_TINY OUT_DIR SOURCE_DIR

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

EDGELLM, MAKE_TINY = (os.path.abspath(path) for path in sys.argv[1:3])
OUT, ROOT = (pathlib.Path(path).absolute() for path in sys.argv[3:5])
EXAMPLES = ROOT / "examples" / "shapes"
USAGE, IO, FORMAT, UNSUPPORTED = 2, 3, 4, 5
MANIFEST = 1024  # what a plan allows for it
LEVELS = (1, 1.6, 2, 3, 4, 8)
# How docs/QUANTISATION.md names the targets: file, size.
TARGETS = {"smollm2-135m": "40MB", "smollm-360m": "90MB", "qwen2-0.5b": "125MB",
           "llama-3.2-1b": "200MB"}


def edgellm(*arguments, stdin=b""):
    return subprocess.run([EDGELLM, *map(str, arguments)], input=stdin, capture_output=True,
                          timeout=60)


def plan(path, size, *options):
    done = edgellm("quantize", "--plan", path, "--fit", size, *options)
    if done.returncode != 0 or done.stderr:
        raise AssertionError((done.returncode, done.stderr))
    return done.stdout.decode()


def plan_json(path, size):
    return json.loads(plan(path, size, "--json"))


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)


# ---- the law of docs/FORMAT.md, once more ----

def up(n, to=64):
    return (n + to - 1) // to * to


def matrix(rows, cols, bits, group):
    """Symmetric codes, byte scales: planes of codes, scales and references."""
    tiles, blocks, groups = up(rows, 16) // 16, up(cols, 32) // 32, up(cols, group) // group
    vectors = up(8 * blocks, 5) // 5 if bits == 1.6 else blocks * bits
    return tiles * vectors * 64 + up(tiles * groups * 16) + up(tiles * 16 * 2)


def tensors(s):
    """(body matrices, embedding matrices, lengths of vectors), each with its number."""
    q, kv, n = s["heads"] * s["head_dim"], s["kv_heads"] * s["head_dim"], s["layers"]
    d, f = s["dim"], s["ffn_dim"]
    body = {(q, d): 0, (kv, d): 0, (d, q): 0, (f, d): 0, (d, f): 0}
    for shape, count in (((q, d), 1), ((kv, d), 2), ((d, q), 1), ((f, d), 2), ((d, f), 1)):
        body[shape] += count * n
    vectors = [d] * (2 * n + 1) + ([q, kv, kv] * n if s["qkv_bias"] else [])
    return body, {(s["vocab"], d): 1 if s["tied_embedding"] else 2}, vectors


def file_bytes(s, bits, group, embedding_bits=None):
    body, embedding, vectors = tensors(s)
    at = up(up(320) + 164) + s["tokenizer_bytes"]
    at = up(at) + sum(up(4 * n) for n in vectors)
    at += sum(n * matrix(*shape, bits, group) for shape, n in body.items())
    at += sum(n * matrix(*shape, embedding_bits or bits, group) for shape, n in embedding.items())
    count = sum(body.values()) + sum(embedding.values()) + len(vectors)
    return up(at + 128 * count) + MANIFEST


def weights(shapes):
    return sum(rows * cols * n for (rows, cols), n in shapes.items())


class Case(unittest.TestCase):
    def shapes(self, **changes):
        s = json.loads((EXAMPLES / "smollm2-135m.json").read_text())
        s.update(changes)
        return self.write(json.dumps({k: v for k, v in s.items() if v is not None}))

    def write(self, text):
        path = OUT / "shapes.json"
        path.write_text(text)
        return path

    def fails(self, code, *arguments, contains=""):
        done = edgellm(*arguments)
        self.assertEqual((done.returncode, done.stdout), (code, b""), (arguments, done.stderr))
        self.assertRegex(done.stderr.decode(), r"\Aedgellm: [^\n]+\n\Z")
        self.assertIn(contains, done.stderr.decode())


class Bytes(Case):
    def check(self, s, got):
        body, embedding, vectors = tensors(s)
        self.assertEqual(got["smallest_bytes"], file_bytes(s, 1, 128))
        self.assertEqual(got["calibrated_bytes"], file_bytes(s, 2, 128))
        self.assertEqual(got["fits"], got["smallest_bytes"] <= got["size"])
        self.assertEqual(got["body_weights"], weights(body))
        self.assertEqual(got["embedding_weights"], weights(embedding))
        self.assertEqual(got["vector_bytes"], sum(up(4 * n) for n in vectors))
        all_weights = got["body_weights"] + got["embedding_weights"]
        self.assertAlmostEqual(got["bits_left"],
                               max(0, got["size"] - got["fixed_bytes"]) * 8 / all_weights)
        self.assertEqual([m["embedding_bits"] for m in got["mixes"]], [None, *LEVELS])
        for mix in got["mixes"]:
            self.check_mix(s, got["size"], mix)

    def check_mix(self, s, size, mix):
        sizes = {bits: file_bytes(s, bits, 128, mix["embedding_bits"]) for bits in LEVELS}
        self.assertEqual(mix["least_bytes"], sizes[1])
        self.assertEqual(mix["fits"], sizes[1] <= size)
        self.assertEqual(list(mix["share"]), [str(bits) for bits in LEVELS])
        used = {float(bits): share for bits, share in mix["share"].items() if share > 0}
        if not mix["fits"]:
            self.assertEqual(used, {})
            return
        self.assertAlmostEqual(sum(used.values()), 1)
        self.assertLessEqual(len(used), 2)
        full = sum(sizes[bits] * share for bits, share in used.items())
        self.assertAlmostEqual(full, min(size, sizes[8]), delta=1)

    def test_examples_at_many_sizes(self):
        for name in TARGETS:
            path = EXAMPLES / f"{name}.json"
            s = json.loads(path.read_text())
            for size in (1, 10**6, 4 * 10**7, 10**8, 2 * 10**8, 4 * 10**8, 10**9, 10**10):
                self.check(s, plan_json(path, size))

    def test_other_shapes(self):
        for changes in ({"tied_embedding": False}, {"qkv_bias": True, "architecture": "qwen2"},
                        {"dim": 100, "ffn_dim": 37, "vocab": 17}, {"tokenizer_bytes": 0},
                        {"note": None, "name": ""}):
            path = self.shapes(**changes)
            for size in (30 * 10**6, 10**8):
                self.check(json.loads(path.read_text()), plan_json(path, size))

    def test_a_file_has_the_size_planned(self):
        gguf, tm2 = OUT / "tiny.gguf", OUT / "tiny.tm2.bin"
        subprocess.run([MAKE_TINY, gguf], check=True, timeout=60)
        for bits in LEVELS:
            done = edgellm("quantize", gguf, "-o", tm2, "--bits", bits, "--group", 128,
                           "--scales", "byte", "--calibrate", "none", "-q")
            self.assertEqual(done.returncode, 0, done.stderr)
            data = tm2.read_bytes()
            sections = [(int.from_bytes(data[at + 8:at + 16], "little"),
                         int.from_bytes(data[at + 16:at + 24], "little"))
                        for at in range(64, 64 + 6 * 40, 40)]
            tokenizer = sections[2][0] + sections[2][1] - sections[1][0]
            path = self.write(json.dumps(
                {"name": "tiny", "architecture": "llama", "layers": 2, "dim": 64, "ffn_dim": 96,
                 "heads": 4, "kv_heads": 2, "head_dim": 16, "vocab": 300, "tied_embedding": True,
                 "qkv_bias": False, "tokenizer_bytes": tokenizer}))
            size = len(data) - sections[5][1] + MANIFEST
            for more, share in ((0, 1), (-1, 0 if bits == 1 else None)):
                mix = plan_json(path, size + more)["mixes"][0]
                if share is None:
                    self.assertLess(mix["share"][str(bits)], 1)
                else:
                    self.assertEqual(mix["share"][str(bits)], share)

    def test_the_text_says_the_same(self):
        for name, size in TARGETS.items():
            path = EXAMPLES / f"{name}.json"
            text, got = plan(path, size), plan_json(path, size)
            self.assertTrue(text.startswith(f"{got['name']} in {got['size'] / 1e6:.2f} MB"))
            self.assertIn(f"fits       {'yes' if got['fits'] else 'no'}", text)
            self.assertIn(f"({got['smallest_bytes']} bytes): 1 bit,", text)
            self.assertIn(f"({got['calibrated_bytes']} bytes) or more: from 2 bits on", text)
            self.assertEqual("trained for less than 2 bits" in text,
                             got["smallest_bytes"] <= got["size"] < got["calibrated_bytes"])
            self.assertIn(f"left       {got['bits_left']:.3f} bits", text)
            self.assertEqual(text.count("\n  embedding "), 7 if got["fits"] else 0)

    def test_the_bits_in_words(self):
        text = plan(EXAMPLES / "smollm2-135m.json", "20MB")
        self.assertRegex(text, r"\n  embedding as body   +[0-9.]+ % at 1 bit +[0-9.]+ % at 1.6 bits\n")
        for bits in ("  1 bit ", "1.6 bits", "  2 bits", "  8 bits"):
            self.assertIn(f"\n  embedding {bits} ", text)
        self.assertIn("does not fit: 43.50 MB with 1 bit in the body", text)

    def test_the_table_of_the_document(self):
        """docs/QUANTISATION.md holds what the program says."""
        text = (ROOT / "docs" / "QUANTISATION.md").read_text()
        for name, size in TARGETS.items():
            got = plan_json(EXAMPLES / f"{name}.json", size)
            row = re.search(rf"(?m)^\| {re.escape(got['name'])} \|.*$", text)
            self.assertIsNotNone(row, got["name"])
            cells = [cell.strip() for cell in row[0].strip("|").split("|")]
            self.assertEqual(cells[1:], [
                size.replace("MB", " MB"),
                f"{(got['body_weights'] + got['embedding_weights']) / 1e6:.1f}",
                f"{got['embedding_weights'] / (got['body_weights'] + got['embedding_weights']):.0%}"
                .replace("%", " %"),
                f"{got['fixed_bytes'] / 1e6:.2f}", f"{got['bits_left']:.2f}",
                *(f"{got[key] / 1e6:.2f} {'yes' if got[key] <= got['size'] else 'no'}"
                  for key in ("calibrated_bytes", "smallest_bytes"))])


class Arguments(Case):
    def test_sizes(self):
        path = self.shapes()
        for text, size in (("40MB", 40 * 10**6), ("40MiB", 40 << 20), ("40M", 40 << 20),
                           ("40000000", 40 * 10**6), ("39063KB", 39063000), ("39063KiB", 39063 << 10),
                           ("39063K", 39063 << 10), ("1GB", 10**9), ("1GiB", 1 << 30), ("1G", 1 << 30)):
            self.assertEqual(plan_json(path, text)["size"], size, text)
        for text in ("", "MB", "0", "0MB", "-1", "1.5MB", "40 MB", "40mb", "40MiBs", "40B", "40TB",
                     "99999999999GB", "9007199254740992", "0x10"):
            self.fails(USAGE, "quantize", "--plan", path, "--fit", text, contains="bad number")

    def test_options_that_do_not_go_together(self):
        path = self.shapes()
        self.fails(USAGE, "quantize", "--plan", path, contains="--fit SIZE")
        self.fails(USAGE, "quantize", "--fit", "40MB", contains="missing")
        self.fails(USAGE, "quantize", "x.gguf", "--plan", path, "--fit", "1MB", contains="SOURCE")
        self.fails(USAGE, "quantize", "-o", OUT / "y", "--plan", path, "--fit", "1MB", contains="-o")
        self.assertFalse((OUT / "y").exists())

    def test_standard_input(self):
        path = self.shapes()
        done = edgellm("quantize", "--plan", "-", "--fit", "40MB", stdin=path.read_bytes())
        self.assertEqual(done.stdout.decode(), plan(path, "40MB"))


class BadFiles(Case):
    def refused(self, path, contains, code=FORMAT):
        self.fails(code, "quantize", "--plan", path, "--fit", "40MB", contains=contains)

    def test_members(self):
        good = json.loads((EXAMPLES / "smollm2-135m.json").read_text())
        for name in good:
            if name == "note":
                continue
            self.refused(self.shapes(**{name: None}), f"{name} is missing")
            for wrong in ([], {}, -1, 1.5, 1 << 62 if name == "tokenizer_bytes" else 1 << 32):
                if isinstance(good[name], str) or not isinstance(wrong, int) or wrong < 0 or \
                        name != "tokenizer_bytes":
                    self.refused(self.shapes(**{name: wrong}), f"{name} is something else")
            kind = True if not isinstance(good[name], bool) else 1
            self.refused(self.shapes(**{name: kind}), f"{name} is something else")
        self.refused(self.shapes(tokenizer_bytes=1 << 62), "tokenizer_bytes")
        self.refused(self.shapes(layer=30), "no member 'layer'")

    def test_numbers(self):
        for changes, words in (({"layers": 0}, "layers is 0"), ({"kv_heads": 2}, "kv_heads"),
                               ({"dim": 1 << 20}, "dim"), ({"vocab": 0}, "vocab"),
                               ({"heads": 65536, "kv_heads": 1, "head_dim": 65536}, "too wide")):
            self.refused(self.shapes(**changes), words)
        self.refused(self.shapes(architecture="mamba"), "mamba", UNSUPPORTED)

    def test_texts(self):
        for text in ("", "{", "[]", "3", '{"name": "a", "name": "b"}', "\0", "{}x", "\xff" * 9):
            self.refused(self.write(text), "shapes.json")
        whole = self.shapes().read_text()
        for cut in range(1, len(whole), 29):
            self.refused(self.write(whole[:cut]), "shapes.json")

    def test_missing(self):
        self.refused(OUT / "none.json", "none.json", IO)
        self.refused(OUT, str(OUT), IO)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
