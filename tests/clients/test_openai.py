#!/usr/bin/env python3
"""`edgellm serve` asked by OpenAI's own Python package, as its users ask.

    python3 tests/clients/test_openai.py EDGELLM MAKE_TINY OUT_DIR

Needs the package openai: `make test-clients`.
"""
import json
import pathlib
import re
import subprocess
import sys
import unittest

import openai
import served
from openai.types import completion_create_params as text_params
from openai.types import embedding_create_params as embedding_params
from openai.types.chat import ChatCompletionTokenLogprob
from openai.types.chat import completion_create_params as chat_params
from served import KEY, MESSAGES, TOOLS, run



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

    def test_every_field(self):
        """Each that the package knows is served, refused, or said to be ignored."""
        api = openai.DefaultHttpxClient().get(self.server.url + "/openapi.json").json()["components"]["schemas"]
        document = (pathlib.Path(__file__).parents[2] / "docs/SERVER.md").read_text()
        ignored = set(re.findall(r"`(\w+)`", document.partition("- **Ignored**")[2].partition("`finish_reason` is")[0]))
        for kind, schema in ((chat_params.CompletionCreateParamsBase, "ChatRequest"),
                             (text_params.CompletionCreateParamsBase, "CompletionRequest"),
                             (embedding_params.EmbeddingCreateParams, "EmbeddingRequest")):
            self.assertGreater(len(kind.__annotations__), 4)
            self.assertEqual(set(kind.__annotations__) - set(api[schema]["properties"]) - ignored, set(), schema)

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["tiny"])
        self.assertEqual(self.client.models.retrieve("tiny"), next(iter(self.client.models.list())))
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("gpt-4")

    def test_chat(self):
        answer = self.client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_completion_tokens=20, temperature=0, user="me")
        choice = answer.choices[0]
        self.assertEqual((choice.message.role, choice.message.content, choice.finish_reason),
                         ("assistant", self.right["text"], "length"))
        self.assertEqual(answer.usage.completion_tokens, 20)
        self.assertEqual(answer.usage.total_tokens, self.right["prompt_tokens"] + 20)
        self.assertTrue(answer.system_fingerprint.startswith("edgellm-"))
        again = self.client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_completion_tokens=20, temperature=0)
        self.assertEqual(again.choices[0].message.content, choice.message.content)
        self.assertEqual(again.usage.prompt_tokens_details.cached_tokens, again.usage.prompt_tokens - 1)

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
        same.usage.prompt_tokens_details = None  # of what a session held: batches do not tell
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

    def test_logprobs(self):
        asked = {"model": "tiny", "messages": MESSAGES, "max_tokens": 20, "temperature": 0,
                 "logprobs": True, "top_logprobs": 4}
        answer = self.client.chat.completions.create(**asked).choices[0]
        content = answer.logprobs.content
        self.assertEqual(b"".join(bytes(entry.bytes) for entry in content).decode(errors="replace"),
                         answer.message.content)
        for entry in content:
            self.assertIsInstance(entry, ChatCompletionTokenLogprob)
            self.assertEqual(len(entry.top_logprobs), 4)
            self.assertLessEqual(entry.logprob, 0)
        stream = list(self.client.chat.completions.create(**asked, stream=True))
        self.assertEqual([entry for chunk in stream for choice in chunk.choices if choice.logprobs
                          for entry in choice.logprobs.content], content)
        asked = {"model": "tiny", "prompt": "the fox", "max_tokens": 20, "temperature": 0, "logprobs": 3}
        told = self.client.completions.create(**asked).choices[0].logprobs
        self.assertEqual((len(told.tokens), len(told.token_logprobs), told.text_offset[0]),
                         (20, 20, len("the fox")))
        for token, logprob, top in zip(told.tokens, told.token_logprobs, told.top_logprobs):
            self.assertEqual(top[token], logprob)
        stream = list(self.client.completions.create(**asked, stream=True))
        self.assertEqual([token for chunk in stream for choice in chunk.choices if choice.logprobs
                          for token in choice.logprobs.tokens], told.tokens)

    def test_choices(self):
        asked = {"model": "tiny", "messages": MESSAGES, "max_tokens": 12, "temperature": 2, "seed": 5}
        answer = self.client.chat.completions.create(**asked, n=3)
        texts = [choice.message.content for choice in answer.choices]
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        for i, text in enumerate(texts):
            alone = self.client.chat.completions.create(**{**asked, "seed": 5 + i})
            self.assertEqual(alone.choices[0].message.content, text)
        streamed = ["", "", ""]
        for chunk in self.client.chat.completions.create(**asked, n=3, stream=True):
            for choice in chunk.choices:
                streamed[choice.index] += choice.delta.content or ""
        self.assertEqual(streamed, texts)

    def test_logit_bias(self):
        answer = self.client.completions.create(model="tiny", prompt="fox", max_tokens=6, logprobs=1,
                                                logit_bias={"123": 100})
        self.assertEqual(len(set(answer.choices[0].logprobs.tokens)), 1)

    def test_embeddings(self):
        """The package asks for base64 unless told otherwise."""
        texts = ["the fox", "a dog"]
        coded = self.client.embeddings.create(model="tiny", input=texts)
        plain = self.client.embeddings.create(model="tiny", input=texts, encoding_format="float")
        self.assertEqual([len(d.embedding) for d in coded.data], [64, 64])
        for one, other in zip(coded.data, plain.data):
            self.assertEqual([f"{x:.9g}" for x in one.embedding], [f"{x:.9g}" for x in other.embedding])
        self.assertEqual(coded.usage.prompt_tokens, coded.usage.total_tokens)
        self.assertNotEqual(plain.data[0].embedding, plain.data[1].embedding)

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
            chat.create(model="tiny", messages=MESSAGES, n=9)
        self.assertEqual((caught.exception.param, caught.exception.type),
                         ("n", "invalid_request_error"))
        tool = {"type": "function", "function": {"name": "two words", "parameters": {}}}
        with self.assertRaises(openai.BadRequestError) as caught:
            chat.create(model="tiny", messages=MESSAGES, tools=[tool])
        self.assertEqual(caught.exception.param, "tools[0].function.name")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.completions.create(model="tiny", prompt="x " * 1000)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.embeddings.create(model="tiny", input="x", dimensions=5)
        self.assertEqual(caught.exception.param, "dimensions")
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=self.url, api_key="wrong", max_retries=0).models.list()
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            self.client.completions.create(model="tiny", prompt="the fox " * 20, max_tokens=150,
                                           extra_body={"deadline_ms": 1})
        self.assertGreater(caught.exception.body["forecast"]["answer_ms"], 0)


class Tools(unittest.TestCase):
    """Calls as the package and its helpers read them, and what they gave in the next round."""
    @classmethod
    def setUpClass(cls):
        cls.server = served.Server("-c", "4096", kind=("long",))
        cls.chat = openai.OpenAI(base_url=cls.server.url + "/v1", api_key=KEY,
                                 max_retries=0).chat.completions

    @classmethod
    def tearDownClass(cls):
        cls.server.end()

    def options(self, seed):
        return {"model": "tiny", "tools": TOOLS, "temperature": 2, "seed": seed, "max_tokens": 400,
                "extra_body": {"repeat_penalty": 1}}

    def test_rounds(self):
        for seed in range(4):
            answer = self.chat.create(messages=MESSAGES, tool_choice="required", **self.options(seed))
            choice = answer.choices[0]
            self.assertEqual((choice.finish_reason, choice.message.content), ("tool_calls", None))
            messages = [*MESSAGES, choice.message]
            for call in choice.message.tool_calls:
                served.check_call(self, call.function.name, json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "done"})
            answer = self.chat.create(messages=messages, tool_choice="auto", **self.options(seed))
            self.assertTrue(answer.choices[0].message.content or answer.choices[0].message.tool_calls)

    def test_stream_is_accumulated(self):
        for seed in range(4):
            whole = self.chat.create(messages=MESSAGES, tool_choice="required", **self.options(seed))
            with self.chat.stream(messages=MESSAGES, tool_choice="required",
                                  **self.options(seed)) as stream:
                events = list(stream)
                final = stream.get_final_completion().choices[0]
            self.assertEqual((final.finish_reason, final.message.content), ("tool_calls", None))
            got, right = ([(call.function.name, call.function.arguments)
                           for call in message.tool_calls]
                          for message in (final.message, whole.choices[0].message))
            self.assertEqual(got, right)
            done = [event for event in events
                    if event.type == "tool_calls.function.arguments.done"]
            self.assertEqual([(event.name, event.arguments) for event in done], right)
            deltas = "".join(event.arguments_delta for event in events
                             if event.type == "tool_calls.function.arguments.delta")
            self.assertEqual(deltas, "".join(arguments for _, arguments in right))

    def test_one(self):
        choice = {"type": "function", "function": {"name": "get_time"}}
        answer = self.chat.create(messages=MESSAGES, tool_choice=choice, parallel_tool_calls=False,
                                  **self.options(1))
        call, = answer.choices[0].message.tool_calls
        self.assertEqual((call.function.name, call.function.arguments, call.type),
                         ("get_time", "{}", "function"))

    def test_place_of_an_error(self):
        tool = {"type": "function", "function": {"name": "f", "parameters": {
            "type": "object", "properties": {"x": {"type": "integer", "multipleOf": 3}}}}}
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat.create(model="tiny", messages=MESSAGES, tools=[*TOOLS, tool])
        self.assertEqual(caught.exception.param,
                         "tools[2].function.parameters.properties.x.multipleOf")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
