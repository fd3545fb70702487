#!/usr/bin/env python3
"""`edgellm serve` where answers may, or must, call tools, by OpenAI's interface and by Ollama's.

    python3 tests/test_serve_tools.py EDGELLM MAKE_TINY OUT_DIR

The models have random weights: that a call is one is the grammar's doing alone. Standard library only;
how a server is started and asked is test_serve.py's.
"""
import json
import os
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_serve as serve  # noqa: E402
import ws_client  # noqa: E402
from test_serve import CHAT, LONG, TEXT, ask, user  # noqa: E402
from test_serve_ollama import CHAT as OLLAMA, Lines  # noqa: E402

LLAMA3 = str(serve.OUT / "llama3.tm2.bin")
LAMP = {"type": "function", "function": {
    "name": "switch_lamp", "description": "Switches a lamp.", "parameters": {
        "type": "object", "required": ["room", "on"],
        "properties": {"room": {"enum": ["kitchen", "hall"]}, "on": {"type": "boolean"},
                       "level": {"type": "integer", "minimum": 0, "maximum": 100}}}}}
TIME = {"type": "function", "function": {"name": "get_time"}}
TOOLS = [LAMP, TIME]
HOT = {"temperature": 2, "repeat_penalty": 1}


def named(name):
    return {"type": "function", "function": {"name": name}}


def setUpModule():
    serve.setUpModule()
    gguf = LLAMA3.replace(".tm2.bin", ".gguf")
    subprocess.run([serve.MAKE_TINY, gguf, "llama3"], check=True, timeout=60)
    subprocess.run([serve.EDGELLM, "quantize", gguf, "-o", LLAMA3, "-q"], check=True, timeout=60)


def is_right(name, arguments):
    if name == "get_time":
        return arguments == {}
    return (name == "switch_lamp" and set(arguments) - {"level"} == {"room", "on"} and
            arguments["room"] in ("kitchen", "hall") and isinstance(arguments["on"], bool) and
            arguments.get("level", 5) in range(101))


class Case(serve.Case):
    model, options = LONG, ("-c", "4096", "--sessions", "2")

    def body(self, **more):
        return {"messages": user("fox"), "tools": TOOLS, "tool_choice": "required", **HOT, **more}

    def calls_of(self, message):
        """Names and arguments, which are what they should be."""
        calls = [(call["function"]["name"], json.loads(call["function"]["arguments"]))
                 for call in message["tool_calls"]]
        for call in calls:
            self.assertTrue(is_right(*call), calls)
        for call in message["tool_calls"]:
            self.assertEqual(set(call), {"id", "type", "function"})
            self.assertEqual((call["type"], set(call["function"])), ("function", {"name", "arguments"}))
            self.assertRegex(call["id"], r"\Acall_[0-9a-f]{18}\Z")
        self.assertEqual(len({call["id"] for call in message["tool_calls"]}), len(calls))
        return calls

    def whole(self, server=None, **more):
        answer = (server or self.server).answer(CHAT, **self.body(**more))
        choice, = answer["choices"]
        self.assertEqual(choice["finish_reason"], "tool_calls")
        self.assertIsNone(choice["message"]["content"])
        return self.calls_of(choice["message"])

    def streamed(self, server=None, **more):
        """Put together as clients do it."""
        chunks = (server or self.server).stream(CHAT, **self.body(stream=True, **more)).all()
        choices = [chunk["choices"][0] for chunk in chunks]
        self.assertEqual(choices[0]["delta"], {"role": "assistant", "content": None})
        self.assertEqual(choices[-1]["delta"], {})
        self.assertEqual([choice["finish_reason"] for choice in choices],
                         [None] * (len(choices) - 1) + ["tool_calls"])
        calls = []
        for choice in choices[1:-1]:
            part, = choice["delta"]["tool_calls"]
            if "id" in part:
                self.assertEqual((part.pop("index"), part["function"]["arguments"]), (len(calls), ""))
                calls.append(part)
            else:
                self.assertEqual((set(part), part["index"]), ({"index", "function"}, len(calls) - 1))
                calls[-1]["function"]["arguments"] += part["function"]["arguments"]
        return self.calls_of({"tool_calls": calls})

    def ollama(self, stream=False, tools=TOOLS, **options):
        body = {"model": "long", "messages": user("fox"), "tools": tools, "stream": stream,
                "options": {**HOT, **options}}
        return Lines(self.server, OLLAMA, body).all() if stream else self.server.answer(OLLAMA, **body)


# ---- by the WebSocket ---------------------------------------------------------------------------

class Streams(Case):
    def ask(self, server=None, **more):
        client = ws_client.connect((server or self.server).port, timeout=serve.WAIT)
        answer = client.ask(id="r", **self.body(**more))
        client.close()
        return answer, client.parts

    def test_calls_are_those_of_http(self):
        for seed in range(6):
            for more in ({}, {"tool_choice": {"type": "function", "function": {"name": "get_time"}}},
                         {"parallel_tool_calls": False}):
                right = self.whole(seed=seed, **more)
                answer, _ = self.ask(seed=seed, **more)
                done = answer["last"]
                self.assertEqual((done["type"], done["finish_reason"]), ("done", "tool_calls"), done)
                self.assertEqual(self.calls_of(done), right)
                self.assertEqual("".join(t["text"] for t in answer["tokens"]), "")
                self.assertEqual(len(answer["tokens"]), done["usage"]["completion_tokens"])

    def test_auto_and_none(self):
        for seed in range(4):
            body = {"seed": seed, "max_tokens": 30}
            right = self.server.answer(CHAT, **self.body(tool_choice="auto", **body))["choices"][0]
            answer, _ = self.ask(tool_choice="auto", **body)
            self.assertEqual(ws_client.text_of(answer), right["message"]["content"])
            self.assertEqual(answer["last"]["finish_reason"], right["finish_reason"])
            answer, _ = self.ask(tool_choice="none", **body)
            right = self.server.answer(CHAT, **self.body(tool_choice="none", **body))["choices"][0]
            self.assertEqual(ws_client.text_of(answer), right["message"]["content"])
            self.assertNotIn("tool_calls", answer["last"])

    def test_a_long_call_comes_in_parts(self):
        """A message in several frames, between which nothing else is sent."""
        words = ['"' * 20] * 60  # each is twice as long in JSON, and again in JSON of that
        schema = {"type": "object", "required": ["words"], "properties": {"words": {
            "type": "array", "items": {"enum": words[:1]}, "minItems": 60, "maxItems": 60}}}
        tool = {"type": "function", "function": {"name": "say", "parameters": schema}}
        client = ws_client.connect(self.server.port, timeout=serve.WAIT)
        client.send(type="request", id="a", **self.body(tools=[tool], parallel_tool_calls=False))
        client.send(type="request", id="b", prompt="fox", ignore_eos=True)
        ended = {}
        while len(ended) < 2:
            message = client.receive()
            if message["type"] in ("done", "error"):
                ended[message["id"]] = message
        call, = ended["a"]["tool_calls"]
        self.assertEqual(json.loads(call["function"]["arguments"]), {"words": words})
        self.assertGreater(client.parts, 0)
        client.close()

    def test_a_lost_connection(self):
        """The end is told again, with its calls."""
        client = ws_client.connect(self.server.port, timeout=serve.WAIT)
        first = client.ask(id="r", **self.body(seed=2))
        client.close()
        client = ws_client.connect(self.server.port, timeout=serve.WAIT)
        for at in (0, len(first["tokens"]) // 2, len(first["tokens"])):
            client.send(type="resume", resume=first["accepted"]["resume"], **{"from": at})
            again = client.follow("r")
            self.assertEqual(again["tokens"], first["tokens"][at:])
            self.assertEqual(again["last"]["tool_calls"], first["last"]["tool_calls"])
        client.close()

    def test_the_next_round(self):
        call = self.ask(seed=1)[0]["last"]["tool_calls"][0]
        talk = [*user("fox"), {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": "done"}]
        right = self.server.answer(CHAT, messages=talk, tools=TOOLS, tool_choice="none", max_tokens=20, seed=4)
        answer, _ = self.ask(messages=talk, tool_choice="none", max_tokens=20, seed=4, temperature=0.8,
                             repeat_penalty=1.1)
        self.assertEqual(ws_client.text_of(answer), right["choices"][0]["message"]["content"])
        self.assertEqual(answer["last"]["usage"]["prompt_tokens"], right["usage"]["prompt_tokens"])


# ---- with other fields --------------------------------------------------------------------------

class WithOthers(Case):
    def both(self, **more):
        """An answer, and the choices of its chunks."""
        body = self.body(max_tokens=300, **more)
        chunks = self.server.stream(CHAT, stream=True, **body).all()
        return (self.server.answer(CHAT, **body),
                [choice for chunk in chunks for choice in chunk["choices"]])

    def test_choices(self):
        """Each calls what it would call alone, and no two calls have one name."""
        answer, chunks = self.both(seed=3, n=3)
        ids = set()
        for i, choice in enumerate(answer["choices"]):
            self.assertEqual((choice["index"], choice["finish_reason"]), (i, "tool_calls"))
            right = self.calls_of(choice["message"])
            self.assertEqual(right, self.whole(seed=3 + i, max_tokens=300))
            ids |= {call["id"] for call in choice["message"]["tool_calls"]}
            own = [chunk for chunk in chunks if chunk["index"] == i]
            self.assertEqual(own[-1]["finish_reason"], "tool_calls")
            parts = [part for chunk in own for part in chunk["delta"].get("tool_calls", [])]
            for number, (name, arguments) in enumerate(right):
                mine = [part["function"] for part in parts if part["index"] == number]
                self.assertEqual(mine[0]["name"], name)
                self.assertEqual(json.loads("".join(part["arguments"] for part in mine)), arguments)
        self.assertEqual(len(answer["choices"]), 3)
        self.assertEqual(len(ids), sum(len(choice["message"]["tool_calls"])
                                       for choice in answer["choices"]))

    def test_logprobs(self):
        """Of each token, those of calls too; they never make a text of none."""
        for tool_choice in ("required", "auto"):
            answer, chunks = self.both(seed=5, tool_choice=tool_choice, logprobs=True, top_logprobs=2)
            choice, = answer["choices"]
            entries = choice["logprobs"]["content"]
            self.assertEqual(len(entries), answer["usage"]["completion_tokens"])
            self.assertEqual([entry for chunk in chunks
                              for entry in (chunk.get("logprobs") or {}).get("content", [])], entries)
            texts = [chunk["delta"]["content"] for chunk in chunks if chunk["delta"].get("content")]
            self.assertEqual("".join(texts) or None, choice["message"]["content"])
            if tool_choice == "required":
                self.calls_of(choice["message"])
                self.assertIn('"arguments": ', "".join(entry["token"] for entry in entries))


# ---- calls that must be -------------------------------------------------------------------------

class Required(Case):
    def test_calls(self):
        found = set()
        for seed in range(8):
            calls = self.whole(seed=seed, max_tokens=300)
            self.assertEqual(self.streamed(seed=seed, max_tokens=300), calls)
            found |= {name for name, _ in calls}
            self.assertLessEqual(len(calls), 16)
        self.assertEqual(found, {"switch_lamp", "get_time"})

    def test_ollama(self):
        """The same calls, their arguments as objects; streamed, each in a line of its own."""
        for seed in range(6):
            options = {"seed": seed, "num_predict": 400, "tool_choice": "required"}
            right = [{"function": {"name": name, "arguments": arguments}}
                     for name, arguments in self.whole(seed=seed, max_tokens=400)]
            answer = self.ollama(**options)
            self.assertEqual(answer["message"],
                             {"role": "assistant", "content": "", "tool_calls": right})
            self.assertEqual((answer["done"], answer["done_reason"]), (True, "stop"))
            *lines, last = self.ollama(stream=True, **options)
            self.assertEqual([line["message"] for line in lines],
                             [{"role": "assistant", "content": "", "tool_calls": [one]}
                              for one in right])
            self.assertEqual((last["message"], last["done_reason"]),
                             ({"role": "assistant", "content": ""}, "stop"))
            self.assertEqual(last["eval_count"], answer["eval_count"])

    def test_how_many(self):
        for seed in range(6):
            self.assertEqual(len(self.whole(seed=seed, parallel_tool_calls=False)), 1)
        several = [len(self.whole(seed=seed, max_tokens=2000)) for seed in range(12)]
        self.assertGreater(max(several), 1)
        line_end, = self.server.answer("/tokenize", content="\n")["tokens"]
        most = self.whole(tools=[TIME], temperature=1, max_tokens=3000, logit_bias={str(line_end): 100})
        self.assertEqual(len(most), 16)  # with which each call goes on to the next

    def test_one(self):
        for name in ("switch_lamp", "get_time"):
            choice = {"type": "function", "function": {"name": name}}
            for seed in range(4):
                calls = self.whole(seed=seed, tool_choice=choice, max_tokens=400)
                self.assertEqual({found for found, _ in calls}, {name})

    def test_in_any_budget(self):
        """Refused before anything is computed, or closed."""
        client, taken, refused = self.server.client(), 0, 0
        for n in range(1, 90, 4):
            status, _, answer = ask(client, CHAT, self.body(max_tokens=n, seed=n))
            refused += status == 400
            if status == 400:
                self.assertRegex(answer["error"]["message"], f" {n} (are|is) allowed: allow more")
                continue
            taken += 1
            choice = answer["choices"][0]
            self.assertEqual(choice["finish_reason"], "tool_calls")
            self.calls_of(choice["message"])
            self.assertLessEqual(answer["usage"]["completion_tokens"], n)
        client.close()
        self.assertTrue(taken > 3 and refused > 3, (taken, refused))

    def test_long_arguments_are_closed(self):
        say = {"type": "function", "function": {"name": "say", "parameters": {
            "type": "object", "properties": {"text": {"type": "string", "minLength": 1}},
            "required": ["text"]}}}
        for seed in range(4):
            answer = self.server.answer(CHAT, **self.body(tools=[say], seed=seed, max_tokens=120))
            choice = answer["choices"][0]
            self.assertEqual(choice["finish_reason"], "tool_calls")
            for call in choice["message"]["tool_calls"]:
                self.assertTrue(json.loads(call["function"]["arguments"])["text"])

    def test_deadline(self):
        answer = self.server.answer(CHAT, **self.body(deadline_ms=60000, max_tokens=200))
        self.assertTrue(self.calls_of(answer["choices"][0]["message"]))
        self.assertEqual(answer["deadline"]["ended_by_deadline"], False)

    def test_stop_texts_are_for_text(self):
        right = self.whole(seed=3, max_tokens=300)
        self.assertEqual(self.whole(seed=3, max_tokens=300, stop=["\n", '"', "{", "a"]), right)

    def test_usage_and_timings(self):
        body = self.body(seed=1, max_tokens=300)
        answer = self.server.answer(CHAT, **body)
        chunks = self.server.stream(CHAT, **body, stream=True,
                                    stream_options={"include_usage": True}).all()
        self.assertEqual(chunks[-1]["usage"], answer["usage"])
        self.assertEqual(chunks[-1]["choices"], [])
        self.assertEqual(answer["timings"]["predicted_n"], answer["usage"]["completion_tokens"])

    def test_format_beside_them(self):
        for form in ({"response_format": {"type": "json_object"}}, {"json_schema": LAMP["function"]
                                                                    ["parameters"]}):
            self.whole(seed=1, max_tokens=300, **form)
            answer = self.server.answer(CHAT, **self.body(seed=1, max_tokens=300, tool_choice="auto",
                                                          **form))
            message = answer["choices"][0]["message"]
            if message["content"] is not None:
                self.assertIsInstance(json.loads(message["content"]), dict)


# ---- calls that may be --------------------------------------------------------------------------

HERMES = ("<|im_start|>system\n%s# Tools\n\nYou may call one or more functions to assist with the user "
          "query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
          "%s\n</tools>\n\nFor each function call, return a json object with function name and arguments "
          "within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, "
          "\"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n")
OPEN = "<|im_start|>assistant\n"


def may_call(body):
    return "tools" in body and body.get("tool_choice") != "none"


def said(role, text):
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


class Auto(Case):
    def same(self, prompt, **body):
        """The answer is that to the prompt, as it is laid out: tools change no bit of free text of
        whole characters, which is not all that random weights write."""
        for seed in range(2):
            options = {"temperature": 1.5, "max_tokens": 40, "seed": seed}
            whole = {"grammar": "root ::= .*"} if may_call(body) else {}
            right = self.server.answer(TEXT, prompt=prompt, **whole, **options)
            answer = self.server.answer(CHAT, **body, **options)
            message = answer["choices"][0]["message"]
            self.assertEqual(message, {"role": "assistant", "content": right["choices"][0]["text"]})
            self.assertEqual(answer["choices"][0]["finish_reason"],
                             right["choices"][0]["finish_reason"])
            for usage in (answer["usage"], right["usage"]):
                del usage["prompt_tokens_details"]  # of what the session held before
            self.assertEqual(answer["usage"], right["usage"])
            chunks = self.server.stream(CHAT, **body, **options, stream=True).all()
            text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
            self.assertEqual(text, message["content"])

    def test_text(self):
        tools = "\n".join(json.dumps(tool) for tool in TOOLS)
        self.same(HERMES % ("", tools) + said("user", "fox") + OPEN, messages=user("fox"), tools=TOOLS)
        self.same(HERMES % ("Be brief.\n\n", tools) + said("user", "fox") + OPEN, tools=TOOLS,
                  messages=[{"role": "system", "content": "Be brief."}, *user("fox")],
                  tool_choice="auto")

    def test_none(self):
        self.same(said("user", "fox") + OPEN, messages=user("fox"), tools=TOOLS, tool_choice="none")

    def test_second_round(self):
        call = {"id": "call_1", "type": "function",
                "function": {"name": "switch_lamp", "arguments": '{"room": "hall", "on": true}'}}
        text = ('<tool_call>\n{"name": "switch_lamp", "arguments": {"room": "hall", "on": true}}\n'
                '</tool_call>')
        result = "<tool_response>\n%s\n</tool_response>"
        messages = [*user("fox"), {"role": "assistant", "content": None, "tool_calls": [call, call]},
                    {"role": "tool", "tool_call_id": "call_1", "content": "on"},
                    {"role": "tool", "tool_call_id": "call_1",
                     "content": [{"type": "text", "text": "o"}, {"type": "text", "text": "ff"}]}]
        laid_out = (said("user", "fox") + said("assistant", f"{text}\n{text}") +
                    said("user", result % "on" + "\n" + result % "off") + OPEN)
        self.same(laid_out, messages=messages)
        self.same(HERMES % ("", json.dumps(TIME)) + laid_out, messages=messages, tools=[TIME])
        messages[1] = {"role": "assistant", "content": "Well.", "tool_calls": [call]}
        self.same(said("user", "fox") + said("assistant", f"Well.\n{text}") +
                  said("user", result % "on") + OPEN, messages=messages[:3])

    def test_ollama(self):
        answer = self.ollama(seed=1, num_predict=30)
        right = self.server.answer(CHAT, **self.body(seed=1, max_tokens=30, tool_choice="auto"))
        self.assertEqual(answer["message"]["content"], right["choices"][0]["message"]["content"])
        lines = self.ollama(stream=True, seed=1, num_predict=30)
        self.assertEqual("".join(line["message"]["content"] for line in lines),
                         answer["message"]["content"])

    def test_too_long_for_the_context(self):
        """The tools count as the prompt does."""
        server = self.start(model=serve.TINY)
        self.is_error(server.ask(CHAT, self.body()), 400, "messages", "256")
        self.ends_well(server)

    def test_errors(self):
        rows = [(CHAT, {"tools": [{}]}, "tools[0].function"),
                (CHAT, {"tools": TOOLS, "tool_choice": "any"}, "tool_choice"),
                (CHAT, {"tools": TOOLS, "grammar": 'root ::= "x"'}, "tools"),
                (CHAT, {"tool_choice": "required"}, "tool_choice"),
                (CHAT, {"tools": TOOLS, "parallel_tool_calls": "no"}, "parallel_tool_calls"),
                (CHAT, {"tools": [named(f"f{i}") for i in range(129)]}, "tools")]
        rows += [(CHAT, {"tools": [named("f"), named(name)]}, "tools[1].function.name")
                 for name in ("f", "", "a b", "a.b", "\u00e9", "f" * 65, 5, None)]
        deep = {"type": "function", "function": {"name": "f", "parameters": {
            "type": "object", "properties": {"x": {"type": "string", "format": "mail"}}}}}
        rows += [(CHAT, {"tools": [TIME, TIME | deep, LAMP]},
                  "tools[1].function.parameters.properties.x.format")]
        client = self.server.client()
        for path, body, param in rows:
            self.is_error(ask(client, path, {"messages": user("fox"), **body}), 400, param)
        status, _, body = ask(client, OLLAMA, {"model": "long", "messages": user("fox"), "tools": [deep]})
        self.assertEqual((status, body["param"]),
                         (400, "tools[0].function.parameters.properties.x.format"))
        client.close()
        self.still_works()

    def test_too_many_ways(self):
        """It is the grammar that is wrong, not the server."""
        tool = {"type": "function", "function": {"name": "f", "parameters": {
            "type": "object", "required": ["a"],
            "properties": {"a": {"type": "string", "pattern": "^" + "a?" * 600 + "$"}}}}}
        self.is_error(self.server.ask(CHAT, self.body(tools=[tool])), 400, None, "512 ways")
        self.is_error(self.server.ask(TEXT, {"prompt": "fox", "grammar": "root ::= " + '"a"? ' * 600}),
                      400, None, "512 ways")
        self.still_works()

    def test_show(self):
        self.assertEqual(self.server.ask("/api/show", {"model": "long"})[2]["capabilities"],
                         ["completion", "tools"])


# ---- Llama 3 ------------------------------------------------------------------------------------

class Llama3(Case):
    model = LLAMA3

    def test_calls(self):
        for seed in range(6):
            calls = self.whole(seed=seed)
            self.assertEqual(len(calls), 1)
            self.assertEqual(self.streamed(seed=seed), calls)

    def test_text(self):
        tools = "".join(json.dumps(tool, indent=4) + "\n\n" for tool in TOOLS)
        head = "<|start_header_id|>%s<|end_header_id|>\n\n"
        prompt = (head % "user" + "Given the following functions, please respond with a JSON for a "
                  "function call with its proper arguments that best answers the given prompt.\n\n"
                  'Respond in the format {"name": function name, "parameters": dictionary of argument '
                  'name and its value}.Do not use variables.\n\n' + tools + "fox<|eot_id|>" +
                  head % "assistant")
        options = {"temperature": 1.5, "max_tokens": 40, "seed": 1}
        right = self.server.answer(TEXT, prompt=prompt, grammar="root ::= .*", **options)
        answer = self.server.answer(CHAT, messages=user(" fox\n"), tools=TOOLS, **options)
        self.assertEqual(answer["choices"][0]["message"]["content"], right["choices"][0]["text"])
        self.assertEqual(answer["usage"], right["usage"])

    def test_format_beside_them(self):
        body = self.body(tool_choice="auto", response_format={"type": "json_object"})
        self.is_error(self.server.ask(CHAT, body), 400, "response_format", "told from a call")
        self.is_error(self.server.ask(CHAT, {**self.body(), "tool_choice": "auto", "messages": [
            {"role": "system", "content": "x"}]}), 400, "messages", "first message of a user")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
