#!/usr/bin/env python3
"""Embeddings of `edgellm serve`: held to transformers, equal in both interfaces, bounded.

    python3 tests/test_serve_embeddings.py EDGELLM MAKE_TINY OUT_DIR

transformers' vectors are those of tests/data/embeddings.json (tools/conformance/embeddings.py). Standard
library only; how a server is started and asked is test_serve.py's.
"""
import base64
import json
import math
import pathlib
import struct
import subprocess
import unittest

import test_serve as serve
import test_serve_around as around
from test_serve import LONG, TEXT

DATA = pathlib.Path(__file__).resolve().parent / "data"
EMBED, OLLAMA = "/v1/embeddings", "/api/embed"
WORDS = ["the fox", "\u00fcber", "a", "the quick brown fox jumps over the lazy dog", "<|im_end|>", "1 2 3 "]
setUpModule = serve.setUpModule


def bits(vector):
    return struct.pack(f"<{len(vector)}f", *vector)


class Case(serve.Case):
    def vectors(self, texts, server=None, **body):
        answer = (server or self.server).answer(EMBED, input=texts, **body)
        self.assertEqual([d["index"] for d in answer["data"]], list(range(len(answer["data"]))))
        return [d["embedding"] for d in answer["data"]]


class Transformers(Case):
    def test_the_same(self):
        """In exact mode, whose only difference is the order of sums; int8 is near."""
        for name, rows in json.loads((DATA / "embeddings.json").read_text()).items():
            path = serve.OUT / f"{name}.tm2.bin"
            subprocess.run([serve.EDGELLM, "quantize", str(DATA / f"conformance_{name}.gguf"), "-o",
                            str(path), "-q"], check=True, timeout=serve.WAIT)
            for options, most in ((("--exact",), 2e-5), ((), 0.1)):
                server = self.start(*options, model=str(path))
                texts = [row["text"] for row in rows]
                answer = server.answer(EMBED, input=texts)
                self.assertEqual(answer["usage"]["prompt_tokens"], sum(row["tokens"] for row in rows))
                for row, got in zip(rows, answer["data"]):
                    worst = max(abs(a - b) for a, b in zip(row["embedding"], got["embedding"]))
                    self.assertEqual(len(got["embedding"]), len(row["embedding"]))
                    self.assertLess(worst, most, (name, row["text"], options))
                self.ends_well(server)


class Embeddings(Case):
    options = ("--sessions", "3", "--queue", "9")

    def test_form(self):
        answer = self.server.answer(EMBED, input="the fox", model="any", user="me")
        self.assertEqual(list(answer), ["object", "data", "model", "usage"])
        self.assertEqual((answer["object"], answer["model"]), ("list", "tiny"))
        one, = answer["data"]
        self.assertEqual((one["object"], one["index"], len(one["embedding"])), ("embedding", 0, 64))
        tokens = self.server.answer(TEXT, prompt="the fox", max_tokens=1)["usage"]["prompt_tokens"]
        self.assertEqual(answer["usage"], {"prompt_tokens": tokens, "total_tokens": tokens})
        self.assertAlmostEqual(math.fsum(x * x for x in one["embedding"]), 1, places=5)

    def test_each_as_alone(self):
        alone = [self.vectors(word)[0] for word in WORDS]
        self.assertEqual(len({tuple(vector) for vector in alone}), len(WORDS))
        self.assertEqual(self.vectors(WORDS), alone)
        self.assertEqual(self.vectors(WORDS[:1]), alone[:1])
        self.assertEqual(self.vectors(WORDS * 2), alone * 2)  # as many as there are places
        server = self.start("--sessions", 1, "-b", 1, "-j", 1)
        self.assertEqual(self.vectors(WORDS, server), alone)
        self.ends_well(server)

    def test_as_the_command(self):
        """`edgellm embed`, bit for bit."""
        done = subprocess.run([serve.EDGELLM, "embed", serve.TINY, "--json"], check=True, timeout=serve.WAIT,
                              input="\n".join(WORDS).encode(), capture_output=True)
        got = [one["embedding"] for one in json.loads(done.stdout)["embeddings"]]
        self.assertEqual([bits(row) for row in got], [bits(row) for row in self.vectors(WORDS)])

    def test_base64(self):
        for words in (WORDS[0], WORDS):
            floats = self.vectors(words, encoding_format="float")
            coded = self.vectors(words, encoding_format="base64", dimensions=64)
            self.assertEqual([base64.b64decode(text, validate=True) for text in coded],
                             [bits(vector) for vector in floats])

    def test_ollama(self):
        for words in (WORDS[0], WORDS):
            answer = self.server.answer(OLLAMA, model="tiny", input=words, truncate=True)
            self.assertEqual(answer["embeddings"], self.vectors(words))
            self.assertEqual(answer["model"], "tiny")
            usage = self.server.answer(EMBED, input=words)["usage"]
            self.assertEqual(answer["prompt_eval_count"], usage["prompt_tokens"])
            self.assertGreater(answer["total_duration"], answer["load_duration"])

    def test_errors(self):
        for body, param in (({}, "input"), ({"input": ""}, "input"), ({"input": []}, "input"),
                            ({"input": ["a", ""]}, "input"), ({"input": [1, 2]}, "input"),
                            ({"input": 5}, "input"), ({"input": None}, "input"), ({"input": [["a"]]}, "input"),
                            ({"input": ["a"] * 65}, "input"), ({"input": ["a"] * 13}, "input"),
                            ({"input": "x " * 300}, "input"), ({"input": ["a", "x " * 300]}, "input"),
                            ({"input": "a", "dimensions": 32}, "dimensions"),
                            ({"input": "a", "dimensions": 0}, "dimensions"),
                            ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
                            ({"input": "a", "encoding_format": 5}, "encoding_format"),
                            ({"input": "a", "deadline_ms": 0}, "deadline_ms")):
            self.is_error(self.server.ask(EMBED, body), 400, param)
        for body, status in (({"input": "a"}, 400), ({"model": "tiny"}, 400), ({"model": "x", "input": "a"}, 404),
                             ({"model": "tiny", "input": "a", "dimensions": 5}, 400),
                             ({"model": "tiny", "input": "a", "options": {"num_ctx": 9999}}, 400)):
            self.assertEqual(self.server.ask(OLLAMA, body)[0], status, body)
        self.assertEqual(self.server.ask(EMBED, {"input": "x " * 300})[2]["error"]["code"],
                         "context_length_exceeded")
        self.still_works()

    def test_between_answers(self):
        """Neither changes the other."""
        right = self.vectors(WORDS[3])
        text = {"prompt": "the quick brown fox", "max_tokens": 60, "seed": 2}
        answer = self.server.answer(TEXT, **text)["choices"]
        with serve.concurrent.futures.ThreadPoolExecutor(8) as pool:
            texts = [pool.submit(lambda: self.server.answer(TEXT, **text)["choices"]) for _ in range(4)]
            vectors = [pool.submit(lambda: self.vectors(WORDS[3])) for _ in range(4)]
            self.assertEqual([t.result() for t in texts], [answer] * 4)
            self.assertEqual([v.result() for v in vectors], [right] * 4)

    def test_counted(self):
        before = around.Metrics(self.server)
        usage = self.server.answer(EMBED, input=WORDS)["usage"]
        after = around.Metrics(self.server)
        for name, more in (("prompt_tokens_total", usage["prompt_tokens"]), ("answer_tokens_total", 0)):
            self.assertEqual(after.one(name) - before.one(name), more, name)
        self.assertEqual(after.requests(EMBED, 200) - before.requests(EMBED, 200), 1)


class Busy(Case):
    model, options = LONG, ("-c", "20000", "--sessions", "1", "--queue", "1")

    def test_bounds(self):
        stream = self.server.stream(TEXT, prompt="fox", ignore_eos=True)
        next(stream.events())
        self.is_error(self.server.ask(EMBED, {"input": ["a", "b"]}), 429)
        self.is_error(self.server.ask(EMBED, {"input": ["a"] * 3}), 400, "input", "2 places")
        stream.hang_up()
        reply = self.server.ask(EMBED, {"input": "the fox " * 2000, "deadline_ms": 1})
        if reply[0] == 429:  # who left is noticed soon
            around.Case.until(self, self.server, lambda m: m.one("sessions_taken") == 0)
            reply = self.server.ask(EMBED, {"input": "the fox " * 2000, "deadline_ms": 1})
        self.is_error(reply, 422, "deadline_ms", kind="deadline_error")
        told = self.server.answer(EMBED, input=["a", "b"], deadline_ms=3600000)
        self.assertEqual((told["deadline"]["deadline_ms"], told["deadline"]["ended_by_deadline"]),
                         (3600000, False))


if __name__ == "__main__":
    unittest.main(argv=serve.sys.argv[:1], verbosity=2)
