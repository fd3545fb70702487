#!/usr/bin/env python3
"""Adapters from outside: what `edgellm quantize --lora` makes of PEFT's folders and of GGUF adapters
gives, in exact mode, the logits of the merged model (tests/data/lora_*, by
tools/conformance/lora.py); the same bits with any threads, batch and kernel; and what is wrong with
an adapter is said.

    python3 tests/test_lora.py EDGELLM DUMP_LOGITS OUT_DIR

Standard library only.
"""
import array
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import unittest

import ws_client

DATA = pathlib.Path(__file__).resolve().parent / "data"
EDGELLM, DUMP = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
USAGE, FORMAT, UNSUPPORTED = 2, 4, 5
NAMES = ("llama3", "qwen2")
NEAR = 1e-3  # of logits, to those of the merged model


def edgellm(*arguments):
    return subprocess.run([EDGELLM, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                          timeout=120)


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


class Served(unittest.TestCase):
    """One server with two adapters: each request has its own scales, with the bits that `edgellm
    run` gives with them, whoever was in the slot before or shares the pass."""
    SETS = (((0, 1), (1, 0.5)), (), ((0, -0.75),), ((1, 2),), ((1, 0.5), (0, 1)))

    @classmethod
    def setUpClass(cls):
        cls.adapters = [adapter("llama3", "first"), adapter("llama3", "second")]
        cls.process, cls.port = cls.start("--lora", cls.adapters[0], "--lora", f"{cls.adapters[1]}=0.25")

    @staticmethod
    def start(*arguments):
        command = [EDGELLM, "serve", model("llama3"), "--port", "0", "--calibrate", "20", "--sessions", "3",
                   "--queue", "16", *arguments]
        process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        line = process.stdout.readline()
        found = re.search(r" at http://[^ ]*:(\d+) ", line)
        if not found and "libexec" in (said := process.communicate(timeout=60)[1]):
            raise unittest.SkipTest(said)  # built without the server
        return process, int(found.group(1))

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.communicate(timeout=60)

    def ask(self, path, body=None, port=None):
        client = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=60)
        client.request("POST" if body is not None else "GET", path,
                       json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        reply = client.getresponse()
        content = json.loads(reply.read())
        client.close()
        return reply.status, content

    def right(self, scales):
        named = [f"--lora={self.adapters[i]}={scale}" for i, scale in sorted(scales)]
        got = edgellm("run", model("llama3"), "--raw", "-p", "the cat", "-n", 12, "-t", 0, "--hash",
                      "--ignore-eos", "-q", *named)
        self.assertEqual(got.returncode, 0, got.stderr)
        return got.stderr.split("hash ")[1].split()[0]

    def hash_of(self, **more):
        status, reply = self.ask("/v1/completions", {
            "prompt": "the cat", "max_tokens": 12, "temperature": 0, "ignore_eos": True, "logits_hash": True,
            **more})
        self.assertEqual(status, 200, reply)
        return [choice["logits_hash"] for choice in reply["choices"]]

    def test_each_request_has_its_own(self):
        right = [self.right(scales) for scales in self.SETS]
        self.assertEqual(len(set(right)), len(self.SETS) - 1)  # the last is the first in another order
        asked = [[{"id": i, "scale": scale} for i, scale in scales] for scales in self.SETS]
        for _ in range(2):  # one after the other: slots hold the same prompt of others
            for lora, wanted in zip(asked, right):
                self.assertEqual(self.hash_of(lora=lora), [wanted])
        with concurrent.futures.ThreadPoolExecutor(len(asked) * 2) as pool:  # and in shared passes
            got = list(pool.map(lambda lora: self.hash_of(lora=lora), asked * 2))
        self.assertEqual(got, [[wanted] for wanted in right * 2])
        self.assertEqual(self.hash_of(lora=asked[2], n=3), [right[2]] * 3)

    def test_who_does_not_say_has_those_of_the_start(self):
        wanted = [self.right(((0, 1), (1, 0.25)))]
        self.assertEqual(self.hash_of(), wanted)
        self.assertEqual(self.hash_of(lora=None), wanted)

    def test_what_there_is(self):
        self.assertEqual(self.ask("/lora-adapters"), (200, [
            {"id": 0, "path": "llama3_first.tma", "scale": 1}, {"id": 1, "path": "llama3_second.tma", "scale": 0.25}]))

    def test_what_is_refused(self):
        for wrong, words in ((7, "list"), ({}, "list"), ([7], "id"), ([{"id": 0}], "scale"), ([{"scale": 1}], "id"),
                             ([{"id": -1, "scale": 1}], "id"), ([{"id": 8, "scale": 1}], "id"),
                             ([{"id": 0.5, "scale": 1}], "id"), ([{"id": 0, "scale": "1"}], "scale"),
                             ([{"id": 0, "scale": 101}], "scale"), ([{"id": 0, "scale": -1e300}], "scale"),
                             ([{"id": 2, "scale": 1}], "0 to 1"),
                             ([{"id": 1, "scale": 1}, {"id": 1, "scale": 1}], "twice")):
            with self.subTest(wrong=wrong):
                status, reply = self.ask("/v1/completions", {"prompt": "x", "lora": wrong})
                self.assertEqual((status, reply["error"]["param"]), (400, "lora"))
                self.assertIn(words, reply["error"]["message"])
                status, reply = self.ask("/api/generate", {"model": "llama3", "prompt": "x", "raw": True,
                                                           "options": {"lora": wrong}})
                self.assertEqual(status, 400)
                self.assertIn(words, reply["error"])

    def test_ollama(self):
        def text(**more):
            status, reply = self.ask("/api/generate", {
                "model": "llama3", "prompt": "the cat", "raw": True, "stream": False,
                **more, "options": {"num_predict": 12, "temperature": 0, "ignore_eos": True, **more.get("options", {})}})
            self.assertEqual(status, 200, reply)
            return reply["response"]
        lora = [{"id": 1, "scale": 2}]
        status, wanted = self.ask("/v1/completions", {"prompt": "the cat", "max_tokens": 12, "temperature": 0,
                                                      "ignore_eos": True, "lora": lora})
        self.assertEqual(status, 200, wanted)
        self.assertEqual(text(lora=lora), wanted["choices"][0]["text"])
        self.assertEqual(text(options={"lora": lora}), wanted["choices"][0]["text"])

    def test_websocket(self):
        web_socket = ws_client.connect(self.port)
        for i, scales in enumerate(self.SETS):
            answer = web_socket.ask(id=str(i), prompt="the cat", max_tokens=12, temperature=0, ignore_eos=True,
                                    logits_hash=True, lora=[{"id": n, "scale": scale} for n, scale in scales])
            self.assertEqual(answer["last"].get("logits_hash"), self.right(scales), answer)
        answer = web_socket.ask(id="x", prompt="the cat", lora=[{"id": 2, "scale": 1}])
        self.assertEqual(answer["last"]["error"]["param"], "lora")
        web_socket.close()

    def test_embeddings(self):
        """As from a server that was started with these scales."""
        inputs = ["the cat", "a dog on a mat"]

        def embed(port, **more):
            status, reply = self.ask("/v1/embeddings", {"input": inputs, **more}, port)
            self.assertEqual(status, 200, reply)
            return [one["embedding"] for one in reply["data"]]
        process, port = self.start(f"--lora={self.adapters[1]}=2")
        try:
            wanted = embed(port)
        finally:
            process.terminate()
            process.communicate(timeout=60)
        lora = [{"id": 1, "scale": 2}]
        self.assertNotEqual(embed(None), wanted)
        self.assertEqual(embed(None, lora=lora), wanted)
        for more in ({"lora": lora}, {"options": {"lora": lora}}):
            status, reply = self.ask("/api/embed", {"model": "llama3", "input": inputs, **more})
            self.assertEqual((status, reply.get("embeddings")), (200, wanted))
        status, reply = self.ask("/v1/embeddings", {"input": "x", "lora": [{"id": 2, "scale": 1}]})
        self.assertEqual((status, reply["error"]["param"]), (400, "lora"))

    def test_without_adapters(self):
        process, port = self.start()
        try:
            self.assertEqual(self.ask("/lora-adapters", port=port), (200, []))
            status, reply = self.ask("/v1/completions", {"prompt": "x", "lora": [{"id": 0, "scale": 1}]}, port)
            self.assertEqual((status, reply["error"]["param"]), (400, "lora"))
            self.assertIn("--lora", reply["error"]["message"])
            self.assertEqual(self.ask("/v1/completions", {"prompt": "x", "lora": [], "max_tokens": 1}, port)[0], 200)
        finally:
            process.terminate()
            process.communicate(timeout=60)

    def test_another_model_keeps_them_or_is_refused(self):
        """SIGHUP, when the file is one that the adapters are not for: all stays as it was."""
        name = model("llama3")
        kept = name.with_suffix(".kept")
        right = self.hash_of()
        name.rename(kept)
        try:
            shutil.copy(model("qwen2"), name)
            self.process.send_signal(signal.SIGHUP)
            line = self.process.stderr.readline()
        finally:
            kept.replace(name)
        self.assertIn("the model stays as it was", line)
        self.assertIn("llama3_first.tma", line)
        self.assertEqual(self.hash_of(), right)


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
