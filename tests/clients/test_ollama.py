#!/usr/bin/env python3
"""`edgellm serve` asked by Ollama's own Python package, as Home Assistant and others ask.

    python3 tests/clients/test_ollama.py EDGELLM MAKE_TINY OUT_DIR

Needs the package ollama: `make test-clients`.
"""
import asyncio
import json
import os
import pathlib
import re
import sys
import unittest
import urllib.request

import ollama
import served
from served import HEADERS, MESSAGES, TINY, TOOLS, run


GREEDY = {"num_predict": 20, "temperature": 0}


class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = served.Server()
        cls.url, cls.headers = cls.server.url, HEADERS
        cls.client = ollama.Client(host=cls.url, headers=cls.headers)
        cls.right = run("--system", "Be brief.", "-p", "the fox", "-n", 20, "-t", 0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.end()

    def test_every_field(self):
        """Each that the package knows is served, refused, or said to be ignored."""
        with urllib.request.urlopen(self.url + "/openapi.json") as reply:
            api = json.load(reply)["components"]["schemas"]
        document = (pathlib.Path(__file__).parents[2] / "docs/SERVER.md").read_text()
        ignored = set(re.findall(r"`(\w+)`", document.partition("fields and options are ignored:")[2]
                                 .partition("Routes that load")[0]))
        for kind in ("GenerateRequest", "ChatRequest", "EmbedRequest", "ShowRequest"):
            known = set(api["Ollama" + kind]["properties"])
            self.assertEqual(set(getattr(ollama._types, kind).model_fields) - known - ignored, set(), kind)
        known = set(api["OllamaOptions"]["properties"])
        self.assertEqual(set(ollama.Options.model_fields) - known - ignored, set())

    def check_end(self, answer):
        self.assertEqual((answer.done, answer.done_reason, answer.eval_count,
                          answer.prompt_eval_count),
                         (True, "length", 20, self.right["prompt_tokens"]))
        self.assertGreater(answer.total_duration, answer.eval_duration)

    def test_models(self):
        model, = self.client.list().models
        self.assertEqual((model.model, model.size, model.details.family),
                         ("tiny:latest", os.path.getsize(TINY), "llama"))
        self.assertEqual(int(model.modified_at.timestamp()), int(os.path.getmtime(TINY)))
        running, = self.client.ps().models
        self.assertEqual((running.model, running.digest, running.context_length),
                         ("tiny:latest", model.digest, 256))
        shown = self.client.show("tiny:latest")
        self.assertEqual((shown.capabilities, shown.modelinfo["llama.context_length"]),
                         (["completion", "tools"], 256))

    def test_chat(self):
        answer = self.client.chat("tiny", MESSAGES, options=GREEDY, think=False, keep_alive="-1s")
        self.assertEqual((answer.message.role, answer.message.content),
                         ("assistant", self.right["text"]))
        self.check_end(answer)

    def test_chat_stream(self):
        parts = list(self.client.chat("tiny", MESSAGES, options=GREEDY, stream=True))
        self.assertEqual("".join(part.message.content for part in parts), self.right["text"])
        self.check_end(parts[-1])

    def test_logprobs(self):
        """In the package's own classes, whole and streamed."""
        answer = self.client.chat("tiny", MESSAGES, options=GREEDY, logprobs=True, top_logprobs=3)
        self.assertEqual(len(answer.logprobs), 20)
        for one in answer.logprobs:
            self.assertEqual([top.token for top in one.top_logprobs].count(one.token), 1)
            self.assertEqual(max(top.logprob for top in one.top_logprobs), one.top_logprobs[0].logprob)
        parts = list(self.client.chat("tiny", MESSAGES, options=GREEDY, logprobs=True, top_logprobs=3, stream=True))
        self.assertEqual([one for part in parts for one in part.logprobs or []], list(answer.logprobs))
        asked = {"model": "tiny", "prompt": "the fox", "system": "Be brief.", "options": GREEDY}
        self.assertEqual([one.logprob for one in self.client.generate(**asked, logprobs=True).logprobs],
                         [one.logprob for one in answer.logprobs])
        self.assertIsNone(self.client.generate(**asked).logprobs)

    def test_generate(self):
        asked = {"model": "tiny", "prompt": "the fox", "system": "Be brief."}
        answer = self.client.generate(**asked, options=ollama.Options(**GREEDY))
        self.assertEqual(answer.response, self.right["text"])
        self.check_end(answer)
        parts = list(self.client.generate(**asked, options=GREEDY, stream=True))
        self.assertEqual("".join(part.response for part in parts), self.right["text"])
        right = run("--raw", "-p", "the fox", "-n", 12, "-s", 3)["text"]
        raw = self.client.generate("tiny", "the fox", raw=True, options={"num_predict": 12, "seed": 3})
        self.assertEqual(raw.response, right)

    def test_asynchronous(self):
        """As Home Assistant has it: a stream of a client that does not block."""
        async def text():
            client = ollama.AsyncClient(host=self.url, headers=self.headers)
            stream = await client.chat(model="tiny", messages=MESSAGES, tools=None, stream=True,
                                       keep_alive="5s", think=False,
                                       options={"num_ctx": 256, **GREEDY})
            parts = [part async for part in stream]
            await client.close()
            return "".join(part.message.content for part in parts)
        self.assertEqual(asyncio.run(text()), self.right["text"])

    def test_load(self):
        self.assertEqual(self.client.generate("tiny").done_reason, "load")
        self.assertEqual(self.client.chat("tiny", keep_alive=0).done_reason, "load")

    def test_left_early(self):
        stream = self.client.chat("tiny", MESSAGES, stream=True)
        next(iter(stream))
        stream.close()
        self.test_models()

    def fails(self, status, words, call, *arguments, **options):
        with self.assertRaises(ollama.ResponseError) as caught:
            answer = call(*arguments, **options)
            list(answer)
        self.assertEqual(caught.exception.status_code, status)
        self.assertIn(words, caught.exception.error)

    def test_format(self):
        lamp = {"type": "object", "required": ["on"], "properties": {"on": {"type": "boolean"}}}
        hot = {"temperature": 2, "num_predict": 60}
        for seed in range(3):
            answer = self.client.chat("tiny", MESSAGES, format=lamp, options={**hot, "seed": seed})
            self.assertIsInstance(json.loads(answer.message.content)["on"], bool)
            answer = self.client.chat("tiny", MESSAGES, format="json", options={**hot, "seed": seed})
            self.assertIsInstance(json.loads(answer.message.content), dict)

    def test_errors(self):
        self.fails(404, "'other' not found", self.client.chat, "other", MESSAGES)
        self.fails(404, "'other' not found", self.client.show, "other")
        for stream in (False, True):
            self.fails(400, "#/multipleOf", self.client.chat, "tiny", MESSAGES,
                       format={"type": "integer", "multipleOf": 3}, stream=stream)
            self.fails(400, "tokens", self.client.generate, "tiny", "x " * 1000, stream=stream)
            self.fails(422, "deadline", self.client.generate, "tiny", "the fox " * 9, stream=stream,
                       options={"deadline_ms": 1, "num_predict": 150})
        self.fails(400, "'num_ctx'", self.client.chat, "tiny", MESSAGES,
                   options={"num_ctx": 8192})
        tool = {"type": "function", "function": {"name": "two words", "parameters": {}}}
        self.fails(400, "'name'", self.client.chat, "tiny", MESSAGES, tools=[tool])
        with ollama.Client(host=self.url) as stranger:
            self.fails(401, "key", stranger.list)


class Tools(unittest.TestCase):
    """A conversation with tools as Home Assistant holds it: each round is a stream of a client that
    does not block, calls are in message.tool_calls, results are messages without a name."""
    @classmethod
    def setUpClass(cls):
        cls.server = served.Server("-c", "8192", kind=("long",))

    @classmethod
    def tearDownClass(cls):
        cls.server.end()

    async def round(self, messages, **options):
        """Text and calls of an answer."""
        client = ollama.AsyncClient(host=self.server.url, headers=HEADERS)
        stream = await client.chat(model="tiny", messages=list(messages), tools=TOOLS, stream=True,
                                   keep_alive="60s", think=False, format=None,
                                   options={"num_ctx": 8192, "temperature": 2, "repeat_penalty": 1,
                                            "num_predict": 400, **options})
        text, calls = "", []
        async for response in stream:
            message = response["message"]
            if (found := message.get("tool_calls")) is not None:
                calls += [(call["function"]["name"], call["function"]["arguments"]) for call in found]
            if (content := message.get("content")) is not None:
                text += content
        self.assertTrue(response["done"])
        self.assertIn(response["done_reason"], ("stop", "length"))
        await client.close()
        return text, calls

    def messages_of(self, text, calls):
        """The answer, and what its calls gave."""
        call = ollama.Message.ToolCall
        text = text and text.replace("\0", "")  # random weights write it, and JSON's reader does not
        said = ollama.Message(role="assistant", content=text, tool_calls=[
            call(function=call.Function(name=name, arguments=arguments))
            for name, arguments in calls] or None)
        return [said] + [ollama.Message(role="tool", content=json.dumps({"data": {"n": n}, "error": None}))
                         for n in range(len(calls))]

    def check(self, calls):
        for name, arguments in calls:
            served.check_call(self, name, arguments)

    def test_rounds(self):
        async def talk(seed):
            messages = [ollama.Message(**message) for message in MESSAGES]
            text, calls = await self.round(messages, seed=seed, tool_choice="required")
            self.assertEqual(text, "")
            self.assertTrue(calls)
            self.check(calls)
            messages += self.messages_of(None, calls)
            text, calls = await self.round(messages, seed=seed)
            self.check(calls)
            self.assertTrue(text or calls)
            messages += self.messages_of(text, calls) + [ollama.Message(role="user", content="And?")]
            text, calls = await self.round(messages, seed=seed, tool_choice="required",
                                           parallel_tool_calls=False)
            self.assertEqual((text, len(calls)), ("", 1))
            self.check(calls)
        for seed in range(4):
            asyncio.run(talk(seed))

    def test_functions_of_python(self):
        """The package makes the schema itself."""
        def set_level(room: str, level: int) -> str:
            """Sets how bright it is.

            Args:
                room: Where.
                level: In percent.
            """
            return f"{room} {level}"
        with ollama.Client(host=self.server.url, headers=HEADERS) as client:
            for stream in (False, True):
                answers = client.chat("tiny", MESSAGES, tools=[set_level], stream=stream,
                                      options={"tool_choice": "required", "num_predict": 300, "seed": 3,
                                               "parallel_tool_calls": False})
                answers = list(answers) if stream else [answers]
                calls = [call for answer in answers for call in answer.message.tool_calls or ()]
                self.assertEqual(len(calls), 1)
                self.assertEqual(calls[0].function.name, "set_level")
                set_level(**calls[0].function.arguments)
                self.assertIsInstance(calls[0].function.arguments["level"], int)

    def test_format_beside_them(self):
        with ollama.Client(host=self.server.url, headers=HEADERS) as client:
            answer = client.chat("tiny", MESSAGES, tools=TOOLS, format=served.ROOMS,
                                 options={"num_predict": 300, "temperature": 2, "seed": 1})
        if not answer.message.tool_calls:
            self.assertEqual(set(json.loads(answer.message.content)), {"room", "on"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
