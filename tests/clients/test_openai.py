#!/usr/bin/env python3
"""`edgellm serve` asked by OpenAI's own Python package, as its users ask.

    python3 tests/clients/test_openai.py EDGELLM MAKE_TINY OUT_DIR

Needs the package openai: `make test-clients`.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

import openai

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TINY = str(OUT / "tiny.tm2.bin")
KEY = "a-key"
os.environ["EDGELLM_CACHE"] = "none"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "the fox"}]


def run(*options):
    """What `edgellm run` answers."""
    done = subprocess.run([EDGELLM, "run", TINY, *map(str, options), "--json"], check=True,
                          capture_output=True, timeout=60)
    return json.loads(done.stdout)


class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir(parents=True)
        gguf = str(OUT / "tiny.gguf")
        subprocess.run([MAKE_TINY, gguf], check=True, timeout=60)
        subprocess.run([EDGELLM, "quantize", gguf, "-o", TINY, "-q"], check=True, timeout=60)
        cls.process = subprocess.Popen(
            [EDGELLM, "serve", TINY, "--port", "0", "--calibrate", "20"], stdout=subprocess.PIPE,
            env={**os.environ, "EDGELLM_API_KEY": KEY})
        line = cls.process.stdout.readline().decode()
        cls.url = line.split(" at ")[1].split(" ")[0] + "/v1"
        cls.client = openai.OpenAI(base_url=cls.url, api_key=KEY, max_retries=0)
        cls.right = run("--system", "Be brief.", "-p", "the fox", "-n", 20, "-t", 0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.process.terminate()
        cls.process.communicate(timeout=60)
        assert cls.process.returncode == 0

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["tiny"])

    def test_chat(self):
        answer = self.client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_completion_tokens=20, temperature=0, user="me")
        choice = answer.choices[0]
        self.assertEqual((choice.message.role, choice.message.content, choice.finish_reason),
                         ("assistant", self.right["text"], "length"))
        self.assertEqual(answer.usage.completion_tokens, 20)
        self.assertEqual(answer.usage.total_tokens, self.right["prompt_tokens"] + 20)
        self.assertTrue(answer.system_fingerprint.startswith("edgellm-"))

    def test_chat_stream(self):
        stream = self.client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_tokens=20, temperature=0, stream=True,
            stream_options={"include_usage": True})
        chunks = list(stream)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, self.right["text"])
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual(chunks[-2].choices[0].finish_reason, "length")
        self.assertEqual(chunks[-1].usage.completion_tokens, 20)

    def test_completion(self):
        right = run("--raw", "-p", "the fox", "-n", 12, "-s", 3)["text"]
        asked = {"model": "tiny", "prompt": "the fox", "max_tokens": 12, "seed": 3}
        self.assertEqual(self.client.completions.create(**asked).choices[0].text, right)
        stream = self.client.completions.create(**asked, stream=True)
        self.assertEqual("".join(c.choices[0].text for c in stream), right)

    def test_left_early(self):
        stream = self.client.chat.completions.create(model="tiny", messages=MESSAGES, stream=True)
        next(iter(stream))
        stream.close()
        self.test_models()

    def test_extensions(self):
        answer = self.client.completions.create(
            model="tiny", prompt="fox", max_tokens=3, extra_body={"deadline_ms": 3600000,
                                                                  "ignore_eos": True})
        self.assertEqual(answer.model_extra["deadline"]["deadline_ms"], 3600000)
        self.assertEqual(answer.model_extra["timings"]["predicted_n"], 3)

    def test_errors(self):
        chat = self.client.chat.completions
        with self.assertRaises(openai.BadRequestError) as caught:
            chat.create(model="tiny", messages=MESSAGES, n=2)
        self.assertEqual((caught.exception.param, caught.exception.type),
                         ("n", "invalid_request_error"))
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        with self.assertRaises(openai.BadRequestError) as caught:
            chat.create(model="tiny", messages=MESSAGES, tools=[tool])
        self.assertEqual(caught.exception.param, "tools")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.completions.create(model="tiny", prompt="x " * 1000)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.NotFoundError):
            self.client.embeddings.create(model="tiny", input="x")
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=self.url, api_key="wrong", max_retries=0).models.list()
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            self.client.completions.create(model="tiny", prompt="the fox " * 20, max_tokens=150,
                                           extra_body={"deadline_ms": 1})
        self.assertGreater(caught.exception.body["forecast"]["answer_ms"], 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
