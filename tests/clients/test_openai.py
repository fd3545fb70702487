#!/usr/bin/env python3
"""`edgellm serve` asked by OpenAI's own Python package, as its users ask.

    python3 tests/clients/test_openai.py EDGELLM MAKE_TINY OUT_DIR

Needs the package openai: `make test-clients`.
"""
import json
import subprocess
import sys
import unittest

import openai
import served
from served import KEY, MESSAGES, run



class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = served.Server()
        cls.url = cls.server.url + "/v1"
        cls.client = openai.OpenAI(base_url=cls.url, api_key=KEY, max_retries=0)
        cls.right = run("--system", "Be brief.", "-p", "the fox", "-n", 20, "-t", 0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.end()

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

    def test_batch(self):
        """What is read line by line of a file that `edgellm batch` wrote is what the package knows."""
        source, target = served.OUT / "in.jsonl", served.OUT / "out.jsonl"
        asked = {"/v1/chat/completions": {"messages": MESSAGES}, "/v1/completions": {"prompt": "the fox"}}
        source.write_text("".join(json.dumps(
            {"custom_id": url, "method": "POST", "url": url,
             "body": {"model": "tiny", "max_tokens": 20, "temperature": 0, **body}}) + "\n"
            for url, body in asked.items()))
        subprocess.run([served.EDGELLM, "batch", served.TINY, source, "-o", target, "-q"], check=True,
                       timeout=60)
        answers = {a["custom_id"]: a["response"] for a in map(json.loads, target.open())}
        self.assertEqual({a["status_code"] for a in answers.values()}, {200})
        chat = openai.types.chat.ChatCompletion.model_validate(
            answers["/v1/chat/completions"]["body"], strict=True)
        self.assertEqual(chat.choices[0].message.content, self.right["text"])
        text = openai.types.Completion.model_validate(answers["/v1/completions"]["body"], strict=True)
        same = self.client.completions.create(model="tiny", prompt="the fox", max_tokens=20, temperature=0)
        self.assertEqual((text.choices[0].text, text.usage), (same.choices[0].text, same.usage))

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

    def test_response_format(self):
        lamp = {"type": "object", "required": ["on"], "properties": {"on": {"type": "boolean"}},
                "additionalProperties": False}
        form = {"type": "json_schema", "json_schema": {"name": "lamp", "strict": True, "schema": lamp}}
        for seed in range(3):
            answer = self.client.chat.completions.create(
                model="tiny", messages=MESSAGES, response_format=form, temperature=2, seed=seed)
            self.assertIsInstance(json.loads(answer.choices[0].message.content)["on"], bool)

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
