#!/usr/bin/env python3
"""What other servers know and `edgellm serve` does not: fields that would change an answer are refused by name, those
that would not are ignored and said to be in docs/SERVER.md; routes say what does it here.

    python3 tests/test_serve_fields.py EDGELLM MAKE_TINY OUT_DIR

Standard library only; how a server is started and asked is test_serve.py's. `make test-clients` holds the same to the
fields that OpenAI's and Ollama's own packages have.
"""
import pathlib
import re
import sys
import unittest

import test_serve as serve
from test_serve import CHAT, TEXT, Case, user

DOCUMENT = (pathlib.Path(__file__).parents[1] / "docs/SERVER.md").read_text()
GENERATE, OLLAMA_CHAT = "/api/generate", "/api/chat"
setUpModule = serve.setUpModule


def named(begin, end):
    """What stands in backticks in that part of the document."""
    return set(re.findall(r"`(\w+)`", DOCUMENT.partition(begin)[2].partition(end)[0]))


REFUSED = named("- **Not served**", "- **Ignored**") - {"logprobs", "deadline_ms"}
IGNORED = named("- **Ignored**", "`finish_reason` is")
OLLAMA_REFUSED = named("null is as not given. `think`", "an error if they") | {"think"}
OLLAMA_IGNORED = named("Other fields and options are ignored:", "Routes that load")
WILD = [{"x": 1}, ["x"], "x", 5, True]  # what asks for something, of every type


class Fields(Case):
    BASE = {TEXT: {"prompt": "the fox", "max_tokens": 5, "temperature": 0},
            CHAT: {"messages": user("the fox"), "max_tokens": 5, "temperature": 0},
            GENERATE: {"model": "tiny", "prompt": "the fox", "stream": False, "options": {"num_predict": 5, "seed": 1}},
            OLLAMA_CHAT: {"model": "tiny", "messages": user("the fox"), "stream": False,
                          "options": {"num_predict": 5, "seed": 1}}}

    def words(self, path, **more):
        answer = self.server.answer(path, **{**self.BASE[path], **more})
        return answer.get("choices") or answer.get("message") or answer["response"]

    def served(self, schema):
        return self.server.ask("/openapi.json")[2]["components"]["schemas"][schema]["properties"]

    def test_the_document_names_them(self):
        self.assertLessEqual({"functions", "echo", "samplers", "modalities"}, REFUSED)
        self.assertLessEqual({"user", "metadata", "reasoning_effort", "id_slot", "xtc_threshold"}, IGNORED)
        self.assertLessEqual({"think", "suffix", "images", "context", "template"}, OLLAMA_REFUSED)
        self.assertLessEqual({"truncate", "num_gpu", "tfs_z", "penalize_newline"}, OLLAMA_IGNORED)
        known = set(self.served("ChatRequest")) | set(self.served("CompletionRequest"))
        self.assertLessEqual(REFUSED, known)
        self.assertFalse(IGNORED & known)
        known = set(self.served("OllamaChatRequest")) | set(self.served("OllamaGenerateRequest"))
        self.assertFalse(OLLAMA_IGNORED & (known | set(self.served("OllamaOptions"))))

    def test_refused(self):
        for path, schema in ((TEXT, "CompletionRequest"), (CHAT, "ChatRequest")):
            for name in REFUSED & set(self.served(schema)):
                for value in WILD[:-1] + [2 if name == "best_of" else True]:
                    self.is_error(self.server.ask(path, {**self.BASE[path], name: value}), 400, name, name)

    def test_nothing_asked_for(self):
        for path, schema in ((TEXT, "CompletionRequest"), (CHAT, "ChatRequest")):
            right = self.words(path)
            for name in REFUSED & set(self.served(schema)):
                for value in (None,) if name == "best_of" else (None, False, 0, -1, "", [], {}):
                    self.assertEqual(self.words(path, **{name: value}), right, name)
        self.assertEqual(self.words(CHAT, modalities=["text"]), self.words(CHAT))

    def test_ignored(self):
        for path in (TEXT, CHAT):
            right = self.words(path)
            for value in WILD:
                self.assertEqual(self.words(path, **dict.fromkeys(IGNORED, value)), right)

    def test_as_many_as_llama_cpp_says(self):
        for path in (TEXT, CHAT):
            base = {k: v for k, v in self.BASE[path].items() if k != "max_tokens"}
            answer = self.server.answer(path, **base, n_predict=3)
            self.assertEqual(answer["usage"]["completion_tokens"], 3)
            everything = self.server.answer(path, **base, ignore_eos=True)
            self.assertEqual(self.server.answer(path, **base, ignore_eos=True, n_predict=-1)["choices"],
                             everything["choices"])
            self.is_error(self.server.ask(path, {**base, "n_predict": 0}), 400, "n_predict", "from 1 to")

    def test_ollama(self):
        for path in (GENERATE, OLLAMA_CHAT):
            right = self.words(path)
            for value in WILD:
                both = dict.fromkeys(OLLAMA_IGNORED, value)
                self.assertEqual(self.words(path, **both, options={**both, **self.BASE[path]["options"]}), right)
        for name in OLLAMA_REFUSED:
            for path in (GENERATE,) if name != "think" else (GENERATE, OLLAMA_CHAT):
                status, _, body = self.server.ask(path, {**self.BASE[path], name: "x"})
                self.assertEqual((status, body.get("param")), (400, name), body)
                self.assertIn(name, body["error"])

    def test_rates(self):
        """By what the same answer says of times and tokens; a choice's first token is its prompt's."""
        for n in (1, 3):
            times = self.server.answer(TEXT, prompt="the fox", max_tokens=20, ignore_eos=True, n=n)["timings"]
            for name, tokens in (("prompt", times["prompt_n"]), ("predicted", times["predicted_n"] - n)):
                ms = times[name + "_ms"]
                self.assertAlmostEqual(times[name + "_per_token_ms"], ms / tokens, delta=0.001)
                self.assertAlmostEqual(times[name + "_per_second"] * ms / 1e3 / tokens, 1,
                                       delta=0.001 + 0.001 / ms)  # told to a microsecond
        times = self.server.answer(TEXT, prompt="the fox", max_tokens=1)["timings"]
        self.assertEqual((times["predicted_per_token_ms"], times["predicted_per_second"]), (None, None))


class Routes(Case):
    def flat(self, reply, words):
        status, headers, body = reply
        self.assertEqual((status, headers["content-type"], set(body)), (404, "application/json", {"error"}))
        self.assertIn(words, body["error"])

    def test_ollama(self):
        for method, path, words in (
                ("POST", "/api/create", "edgellm quantize"), ("POST", "/api/pull", "edgellm pull"),
                ("POST", "/api/push", "one model"), ("POST", "/api/copy", "one model"),
                ("DELETE", "/api/delete", "edgellm rm"), ("POST", "/api/blobs/sha256:1234", "edgellm quantize"),
                ("POST", "/api/embeddings", "/api/embed"), ("GET", "/api/nothing", "there is no /api/nothing")):
            self.flat(self.server.ask(path, b'{"model": "tiny"}' if method != "GET" else None, method=method), words)
        self.still_works()

    def test_blobs(self):
        """Their bytes are no JSON, and many."""
        self.flat(self.server.ask("/api/blobs/sha256:1234", b"\0\xff" * 200_000,
                                  {"Content-Type": "application/octet-stream"}), "edgellm quantize")
        self.still_works()

    def test_openai(self):
        for path, words in (("/v1/responses", "/v1/chat/completions"), ("/v1/models/", "GET /v1/models"),
                            ("/v1/files", "edgellm batch"), ("/v1/audio/speech", "text"),
                            ("/v1/images/generations", "text"), ("/v1/what", "/openapi.json"),
                            ("/v1/filesystem", "there is no"), ("/completion", "/v1/completions"),
                            ("/infill", "not filled in")):
            self.is_error(self.server.ask(path, {"a": 1}), 404, None, words)
            self.is_error(self.server.ask(path), 404, None, words)
        self.still_works()


if __name__ == "__main__":
    sys.argv[1:] = sys.argv[4:]
    unittest.main()
