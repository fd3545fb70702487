#!/usr/bin/env python3
"""Adapters from outside: what `edgellm quantize --lora` makes of PEFT's folders and of GGUF adapters
gives, in exact mode, the logits of the merged model (tests/data/lora_*, by
tools/conformance/lora.py); the same bits with any threads, batch and kernel; and what is wrong with
an adapter is said.

    python3 tests/test_lora.py EDGELLM DUMP_LOGITS OUT_DIR

Standard library only.
"""
import array
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import unittest

DATA = pathlib.Path(__file__).resolve().parent / "data"
EDGELLM, DUMP = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
USAGE, FORMAT, UNSUPPORTED = 2, 4, 5
NAMES = ("llama3", "qwen2")
NEAR = 1e-3  # of logits, to those of the merged model


def edgellm(*arguments):
    return subprocess.run([EDGELLM, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


def model(name):
    return OUT / f"{name}.tm2.bin"


def adapter(name, kind):
    return OUT / f"{name}_{kind}.tma"


def source(name, kind):
    return DATA / f"lora_{name}_{kind}{'.gguf' if kind == 'second' else ''}"


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for name in NAMES:
        made = edgellm("quantize", DATA / f"conformance_{name}.gguf", "-o", model(name), "-q")
        assert made.returncode == 0, made.stderr
        for kind in ("first", "second", "root"):
            made = edgellm("quantize", model(name), "--lora", source(name, kind), "-o",
                           adapter(name, kind))
            assert made.returncode == 0, made.stderr


def expected(name):
    """ids, and the logits of the three sets."""
    raw = (DATA / f"lora_{name}.bin").read_bytes()
    count, vocab = struct.unpack_from("<2I", raw)
    ids = struct.unpack_from(f"<{count}I", raw, 8)
    values = array.array("f", raw[8 + 4 * count:])
    return ids, [values[i * count * vocab:(i + 1) * count * vocab] for i in range(3)]


def logits(name, adapters, *options):
    ids = OUT / f"{name}.ids"
    ids.write_text(" ".join(map(str, expected(name)[0])))
    named = [a for path, scale in adapters for a in ("--adapter", f"{path}={scale}")]
    subprocess.run([DUMP, str(model(name)), str(ids), str(OUT / "logits"), *named, *options],
                   check=True, timeout=120)
    return array.array("f", (OUT / "logits").read_bytes())


def sets(name):
    first, second, root = (adapter(name, kind) for kind in ("first", "second", "root"))
    return [[(first, 1)], [(first, 0.5), (second, 1.5)], [(root, 1)]]


def apart(a, b):
    assert len(a) == len(b)
    return max(abs(x - y) for x, y in zip(a, b))


class Logits(unittest.TestCase):
    def test_exact_mode_is_the_merged_model(self):
        for name in NAMES:
            for adapters, wanted in zip(sets(name), expected(name)[1]):
                with self.subTest(name=name, adapters=adapters):
                    self.assertLess(apart(logits(name, adapters, "--exact"), wanted), NEAR)

    def test_an_adapter_matters(self):
        for name in NAMES:
            plain = logits(name, [], "--exact")
            for wanted in expected(name)[1]:
                self.assertGreater(apart(plain, wanted), 100 * NEAR)

    def test_int8_mode_is_near_by(self):
        """Whatever int8 costs, the adapter's part is there: nearer to merged than to the base."""
        for name in NAMES:
            for adapters, wanted in zip(sets(name), expected(name)[1]):
                off = apart(logits(name, adapters), wanted)
                self.assertLess(off, apart(logits(name, [], "--exact"), wanted) / 2)

    def test_the_same_bits_however_it_is_computed(self):
        ways = [("--batch", "5"), ("--decode",), ("--kernel", "scalar"), ("-j", "1")]
        if len(os.sched_getaffinity(0)) > 1:
            ways.append(("-j", "2"))
        for name in NAMES:
            for mode in ((), ("--exact",)):
                wanted = logits(name, sets(name)[1], *mode).tobytes()
                for way in ways:
                    with self.subTest(name=name, way=way, mode=mode):
                        self.assertEqual(logits(name, sets(name)[1], *mode, *way).tobytes(), wanted)


class Sessions(unittest.TestCase):
    def run_hash(self, *arguments):
        got = edgellm("run", model("llama3"), "--raw", "-p", "the cat", "-n", 4, "-t", 0, "--hash",
                      "--ignore-eos", "-q", *arguments)
        self.assertEqual(got.returncode, 0, got.stderr)
        return [line for line in got.stderr.splitlines() if line.startswith("hash")][0], got.stderr

    def test_a_prompt_cache_is_of_its_adapters(self):
        cache = OUT / "prompt.els"
        lora = ("--lora", f"{adapter('llama3', 'first')}=0.5")
        plain, adapted = self.run_hash()[0], self.run_hash(*lora)[0]
        self.assertNotEqual(plain, adapted)
        self.assertEqual(self.run_hash(*lora, f"--prompt-cache={cache}")[0], adapted)
        self.assertEqual(self.run_hash(*lora, f"--prompt-cache={cache}")[0], adapted)
        got, said = self.run_hash(f"--prompt-cache={cache}")
        self.assertEqual(got, plain)
        self.assertIn("other adapters", said)

    def test_the_plan_has_them(self):
        got = edgellm("run", model("llama3"), "--raw", "-p", "a", "-n", 1, "--max-ram", "1K",
                      "--lora", adapter("llama3", "first"))
        weights = model("llama3").stat().st_size
        self.assertEqual(got.returncode, 6)
        said = int(got.stderr.split("weights alone take ")[1].split(")")[0])
        self.assertGreaterEqual(said, weights + adapter("llama3", "first").stat().st_size)


class Refused(unittest.TestCase):
    def assert_refused(self, got, status, *words):
        self.assertEqual(got.returncode, status, got.stderr)
        for word in words:
            self.assertIn(word, got.stderr)

    def convert(self, path, base="llama3"):
        return edgellm("quantize", model(base), "--lora", path, "-o", OUT / "bad.tma")

    def changed(self, edit_config=None, edit_header=None, edit_data=None):
        """A copy of a folder of PEFT's with something else in it."""
        folder = OUT / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source("llama3", "first"), folder)
        config = json.loads((folder / "adapter_config.json").read_text())
        if edit_config:
            edit_config(config)
            (folder / "adapter_config.json").write_text(json.dumps(config))
        raw = (folder / "adapter_model.safetensors").read_bytes()
        size = struct.unpack_from("<Q", raw)[0]
        header, data = json.loads(raw[8:8 + size]), bytearray(raw[8 + size:])
        if edit_data:
            edit_data(data)
        if edit_header:
            data = edit_header(header, data) or data
        text = json.dumps(header).encode()
        (folder / "adapter_model.safetensors").write_bytes(
            struct.pack("<Q", len(text)) + text + data)
        return folder

    def test_of_another_model(self):
        self.assert_refused(self.convert(source("llama3", "second"), "qwen2"), USAGE, "llama", "qwen2")
        got = edgellm("run", model("qwen2"), "-p", "a", "--lora", adapter("llama3", "first"))
        self.assert_refused(got, USAGE, "architecture llama")

    def test_a_number_that_is_none(self):
        def edit(data):
            data[40:44] = struct.pack("<f", float("nan"))
        self.assert_refused(self.convert(self.changed(edit_data=edit)), FORMAT, "finite")

    def test_a_half_that_is_missing(self):
        def edit(header, data):
            last = max((k for k in header if k != "__metadata__"),
                       key=lambda k: header[k]["data_offsets"][1])
            return data[:header.pop(last)["data_offsets"][0]]
        self.assert_refused(self.convert(self.changed(edit_header=edit)), FORMAT, "is missing")

    def test_a_shape_and_a_rank_that_do_not_fit(self):
        def turn(header, data):
            name = next(k for k in header if "lora_A" in k)
            header[name]["shape"].reverse()
        self.assert_refused(self.convert(self.changed(edit_header=turn)), FORMAT, "its rank is 4")
        self.assert_refused(self.convert(self.changed(lambda c: c.update(r=5))), FORMAT, "rank is 5")

    def test_what_cannot_be_adapted(self):
        def rename(header, data):
            name = next(k for k in header if "q_proj.lora_A" in k)
            header[name.replace("q_proj", "qk_proj")] = header.pop(name)
        self.assert_refused(self.convert(self.changed(edit_header=rename)), UNSUPPORTED, "qk_proj")
        for key, value in (("use_dora", True), ("bias", "all"), ("modules_to_save", ["lm_head"]),
                           ("peft_type", "IA3"), ("rank_pattern", {"q_proj": 8})):
            got = self.convert(self.changed(lambda c: c.update({key: value})))
            self.assert_refused(got, UNSUPPORTED, key)

    def test_no_adapter(self):
        self.assert_refused(self.convert(DATA / "conformance_llama3.gguf"), USAGE, "no adapter")
        empty = OUT / "empty"
        empty.mkdir(exist_ok=True)
        self.assert_refused(self.convert(empty), USAGE, "adapter_config.json")

    def test_damaged_files(self):
        """Every byte of the head, and cuts anywhere: an error that names the file, never a crash."""
        raw = adapter("llama3", "first").read_bytes()
        bad = OUT / "damaged.tma"
        places = [*range(0, 128, 9), 128, 140, 400, len(raw) - 1]
        for content in ([raw[:n] for n in (1, 8, 100, 128, 500, len(raw) - 1)] +
                        [raw[:at] + bytes([raw[at] ^ 0x41]) + raw[at + 1:] for at in places]):
            bad.write_bytes(content)
            got = edgellm("run", model("llama3"), "-p", "a", "--lora", bad)
            self.assert_refused(got, FORMAT, "damaged.tma")

    def test_scales(self):
        first = adapter("llama3", "first")
        self.assert_refused(edgellm("run", model("llama3"), "-p", "a", "--lora", f"{first}=0"),
                            USAGE, "scale")
        nine = [a for _ in range(9) for a in ("--lora", first)]
        self.assert_refused(edgellm("run", model("llama3"), "-p", "a", *nine), USAGE, "9 adapters: at most 8")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
