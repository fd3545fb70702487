#!/usr/bin/env python3
"""`edgellm serve`: answers that go on when the context is full, in every interface, and who goes first.

    python3 tests/test_serve_shift.py EDGELLM MAKE_TINY OUT_DIR

That what follows a shift is what would follow the tokens that stay is test_shift.c's; here it is what
`edgellm run --shift` answers. Standard library only; how a server is started and asked is test_serve.py's.
"""
import json
import unittest

import test_serve as serve
import ws_client
from test_serve import CHAT, LONG, TEXT, WAIT, run, text_of, user
from test_serve_ollama import CHAT as OLLAMA_CHAT, GENERATE, Lines

setUpModule = serve.setUpModule
CONTEXT, MOST = 64, 300
FOX = {"prompt": "the quick brown fox", "ignore_eos": True}
FORM = {"type": "object", "additionalProperties": False, "required": ["on"],
        "properties": {"on": {"type": "boolean"}}}


def shifts(prompt, answer, keep, context=CONTEXT):
    """How often a context is full before the last of an answer's tokens is known."""
    position, n = prompt, 0
    for _ in range(answer - 1):
        if position == context:
            position = keep + (context - keep + 1) // 2
            n += 1
        position += 1
    return n


class Shift(serve.Case):
    options = ("-c", CONTEXT, "--max-answer", MOST, "--sessions", "2")

    def right(self, n, *options, prompt="the quick brown fox", raw=("--raw",)):
        return run(prompt, *raw, "-c", CONTEXT, "-n", n, "--ignore-eos", "--shift", *options)

    def test_as_run(self):
        for seed, keep in ((1, 4), (2, 0), (3, 17), (4, CONTEXT // 2)):
            right = self.right(200, "-s", seed, "--keep", keep)
            body = {**FOX, "max_tokens": 200, "seed": seed, "shift": True}
            if keep <= right["prompt_tokens"]:
                answer = self.server.answer(TEXT, n_keep=keep, **body)
                self.assertEqual(answer["choices"][0]["text"], right["text"])
                self.assertEqual(text_of(self.server.stream(TEXT, n_keep=keep, **body).all()),
                                 right["text"])
                self.assertEqual(answer["usage"]["completion_tokens"], 200)
                self.assertEqual(answer["timings"]["shift_n"], right["shifts"])
            self.assertEqual(right["shifts"], shifts(right["prompt_tokens"], 200, keep))
            self.assertGreater(right["shifts"], 3)

    def test_what_stays(self):
        """4 if nothing is said; -1: all of the prompt."""
        n = self.right(1)["prompt_tokens"]
        self.assertGreater(n, 4)
        texts = {}
        for keep in (0, 4, -1, n, 10000, None):
            answer = self.server.answer(TEXT, **FOX, shift=True, max_tokens=250, temperature=0, n_keep=keep)
            texts[keep] = answer["choices"][0]["text"]
        self.assertEqual(texts[None], texts[4])
        self.assertEqual(texts[4], self.right(250, "-t", 0)["text"])
        self.assertEqual(texts[-1], texts[n])
        self.assertEqual(texts[-1], texts[10000])
        self.assertEqual(texts[n], self.right(250, "-t", 0, "--keep", n)["text"])

    def test_every_interface(self):
        options = {"seed": 7, "ignore_eos": True}
        raw = self.right(150, "-s", 7)["text"]
        chat = self.right(150, "-s", 7, prompt="fox", raw=())["text"]
        ollama = {"num_predict": 150, "shift": True, "num_keep": 4, **options}
        for more in ({"options": ollama}, {"shift": True, "options": {**ollama, "shift": False}}):
            got = self.server.answer(GENERATE, model="tiny", stream=False, raw=True,
                                     prompt=FOX["prompt"], **more)
            if more["options"]["shift"]:
                self.assertEqual((got["response"], got["eval_count"]), (raw, 150))
                self.assertGreater(got["shift_count"], 1)
        lines = Lines(self.server, OLLAMA_CHAT, {"model": "tiny", "messages": user("fox"),
                                                 "shift": True, "options": {**options, "num_predict": 150}})
        self.assertEqual("".join(line["message"]["content"] for line in lines.all()), chat)
        body = {"messages": user("fox"), "shift": True, "max_tokens": 150, **options}
        answer = self.server.answer(CHAT, **body)
        self.assertEqual(answer["choices"][0]["message"]["content"], chat)
        client = ws_client.connect(self.server.port, timeout=WAIT)
        told = client.ask(id="r", logprobs=True, **body)
        self.assertEqual(ws_client.text_of(told), chat)
        self.assertEqual(len(told["tokens"]), 150)
        self.assertGreater(told["last"]["timings"]["shift_n"], 1)
        client.close()

    def test_with_logprobs_and_choices(self):
        body = {**FOX, "shift": True, "max_tokens": 100, "logprobs": 2, "n": 2, "seed": 1}
        answer = self.server.answer(TEXT, **body)
        for i, choice in enumerate(answer["choices"]):
            self.assertEqual(len(choice["logprobs"]["tokens"]), 100)
            self.assertEqual(choice["text"], self.right(100, "-s", 1 + i)["text"])

    def test_how_long(self):
        n = self.right(1)["prompt_tokens"]
        for most, tokens in ((None, MOST), (100000, MOST), (200, 200)):
            usage = self.server.answer(TEXT, **FOX, shift=True, max_tokens=most)["usage"]
            self.assertEqual(usage["completion_tokens"], tokens)
        usage = self.server.answer(TEXT, **FOX, shift=False)["usage"]
        self.assertEqual(usage["completion_tokens"], CONTEXT - n + 1)
        small = self.start("-c", CONTEXT)
        usage = small.answer(TEXT, **FOX, shift=True)["usage"]
        self.assertEqual(usage["completion_tokens"], CONTEXT)
        self.ends_well(small)

    def test_short_answers_are_the_same(self):
        for more in ({}, {"shift": True}):
            answer = self.server.answer(TEXT, **FOX, max_tokens=20, seed=3, **more)
            self.assertEqual(answer["choices"][0]["text"],
                             run("the quick brown fox", "--raw", "-n", 20, "-s", 3, "--ignore-eos")["text"])
            self.assertEqual(answer["timings"].get("shift_n"), 0 if more else None)

    def test_a_prompt_that_is_too_long(self):
        for path, body in ((TEXT, {"prompt": "fox " * 100}), (CHAT, {"messages": user("fox " * 100)})):
            reply = self.server.ask(path, {**body, "shift": True})
            self.assertEqual(reply[2]["error"]["code"], "context_length_exceeded")
            self.is_error(reply, 400, "prompt" if path == TEXT else "messages")

    def test_what_keeps_to_a_form_ends(self):
        answer = self.server.answer(TEXT, prompt="fox", shift=True, json_schema=FORM, temperature=2)
        self.assertEqual(answer["choices"][0]["finish_reason"], "stop")
        self.assertEqual(list(json.loads(answer["choices"][0]["text"])), ["on"])
        self.assertLessEqual(answer["usage"]["total_tokens"], CONTEXT + 1)

    def forecast(self, **body):
        """Of an answer that is refused; where that is said before the time is over."""
        for i in range(200):
            status, _, answer = self.server.ask(TEXT, {**body, "deadline_ms": 1 + i % 4})
            if status == 422 and "forecast" in answer["error"]:
                return answer["error"]["forecast"]["answer_ms"]
        return self.fail("it is never refused with a forecast")

    def test_deadlines_count_it(self):
        body = {**FOX, "shift": True, "n_keep": 0}
        self.assertGreater(self.forecast(**body, max_tokens=MOST),
                           2 * self.forecast(**body, max_tokens=100))
        answer = self.server.answer(TEXT, **body, max_tokens=250, deadline_ms=WAIT * 1000)
        self.assertEqual(answer["usage"]["completion_tokens"], 250)
        self.assertFalse(answer["deadline"]["ended_by_deadline"])

    def test_errors(self):
        for more, param in (({"shift": 1}, "shift"), ({"n_keep": -2}, "n_keep"), ({"n_keep": 1.5}, "n_keep"),
                            ({"n_keep": "all"}, "n_keep"), ({"priority": 101}, "priority"),
                            ({"priority": -101}, "priority"), ({"priority": 0.5}, "priority"),
                            ({"priority": "high"}, "priority"), ({"priority": True}, "priority")):
            self.is_error(self.server.ask(TEXT, {"prompt": "x", **more}), 400, param)
        self.still_works()


class Priority(serve.Case):
    model, options = LONG, ("-c", "4096", "--sessions", "1")

    def order(self, client, names):
        """In which requests end."""
        ended = []
        while len(ended) < len(names):
            message = client.receive()
            if message["type"] in ("done", "error") and message["id"] in names:
                self.assertEqual(message["type"], "done", message)
                ended.append(message["id"])
        return "".join(ended)

    def test_who_waits(self):
        """For a session: the higher priority, of equal ones the earlier deadline, and who came first."""
        client = ws_client.connect(self.server.port, timeout=WAIT)
        minute = 60000 * WAIT
        rows = (("a", {}), ("b", {"priority": 5}), ("c", {"priority": 5, "deadline_ms": minute}),
                ("d", {"priority": -1, "deadline_ms": minute // 2}), ("e", {"deadline_ms": minute}),
                ("f", {"priority": 6}), ("g", {"priority": 5}))
        for _ in range(10):
            client.send(type="request", id="long", prompt="fox", ignore_eos=True, seed=1)
            while client.receive()["type"] != "token":
                pass
            client.send_all([{"type": "request", "id": name, "prompt": "fox", "max_tokens": 400,
                              "ignore_eos": True, **more}
                             for name, more in rows] + [{"type": "cancel", "id": "long"}])
            waited, reason = {}, None
            while len(waited) < len(rows) or not reason:
                message = client.receive()
                if message["type"] == "done" and message["id"] == "long":
                    reason = message["finish_reason"]
                elif message["type"] == "done":
                    waited[message["id"]] = message["timings"]["queue_ms"]
                self.assertNotEqual(message["type"], "error", message)
            order = "".join(sorted(waited, key=waited.get))  # they came together
            if reason == "cancelled":  # it was there as long as they waited
                break
        self.assertEqual((order, reason), ("fcbgead", "cancelled"))
        client.close()

    def first(self, server, i, *more):
        """Who of two that come at once is answered first: after 3000 tokens of prompt, which no slot holds, or
        after a few."""
        client = ws_client.connect(server.port, timeout=WAIT)
        bodies = [{"id": "a", "prompt": chr(97 + i) + " a b c d e" * 300}, {"id": "b", "prompt": "fox"}]
        client.send_all([{"type": "request", "max_tokens": 1, **body, **extra}
                         for body, extra in zip(bodies, more)])
        order = self.order(client, "ab")
        client.close()
        return order

    def test_a_long_prompt_lets_others_by(self):
        server = self.start("-c", "4096", "--sessions", "2", model=LONG)
        urgent = [self.first(server, i, {}, {"priority": 1}) for i in range(10)]
        self.assertIn("ba", urgent)  # b may have come too late, on a busy machine: but not each time
        promised = [self.first(server, i, {"deadline_ms": 86400000}, {"priority": 1}) for i in range(10, 20)]
        self.assertIn("ba", promised)
        self.ends_well(server)

    def test_everywhere(self):
        right = self.server.answer(TEXT, prompt="fox", max_tokens=5, seed=1)["choices"]
        got = self.server.answer(TEXT, prompt="fox", max_tokens=5, seed=1, priority=-7)["choices"]
        self.assertEqual(got, right)
        for path, body in ((CHAT, {"messages": user("fox"), "priority": 100}),
                           (GENERATE, {"model": "long", "prompt": "fox", "priority": 3}),
                           (GENERATE, {"model": "long", "prompt": "fox", "options": {"priority": 3}}),
                           (OLLAMA_CHAT, {"model": "long", "messages": user("x"), "options": {"priority": -3}}),
                           ("/v1/embeddings", {"input": "fox", "priority": 1}),
                           ("/api/embed", {"model": "long", "input": "fox", "priority": 1})):
            few = {"max_tokens": 2} if path == CHAT else {"stream": False}
            status, _, answer = self.server.ask(path, {**few, **body} if "embed" not in path else body)
            self.assertEqual(status, 200, answer)


if __name__ == "__main__":
    unittest.main(argv=serve.sys.argv[:1], verbosity=2)
