#!/usr/bin/env python3
"""What OpenAI's interface tells of how tokens were chosen, and lets be chosen: log-probabilities, several
choices, biases.

    python3 tests/test_serve_choices.py EDGELLM MAKE_TINY OUT_DIR

Standard library only; how a server is started and asked is test_serve.py's.
"""
import json
import math
import socket
import time
import unittest

import test_serve as serve
import test_serve_around as around
import test_serve_ollama as ollama
import ws_client
from test_serve import CHAT, LONG, TEXT, run, text_of, user

setUpModule = serve.setUpModule
WILD = {"temperature": 100, "top_k": 0, "top_p": 1, "min_p": 0, "repeat_penalty": 1, "ignore_eos": True}
ENDLESS = {"prompt": "fox", "ignore_eos": True}


def bytes_of(entry):
    return bytes(entry["bytes"])


def shown(data):
    """As text; each byte that is no UTF-8 is one U+FFFD."""
    return "".join("\ufffd" if 0xdc80 <= ord(c) <= 0xdcff else c
                   for c in data.decode(errors="surrogateescape"))


def took(usage):
    """But for what was there already, which is as others left it."""
    return {name: n for name, n in usage.items() if name != "prompt_tokens_details"}


class Case(serve.Case):
    def choice(self, path, **body):
        choice, = self.server.answer(path, **body)["choices"]
        return choice

    def is_ranked(self, entries):
        """From the most probable down, each token once; they are a part of a distribution."""
        logprobs = [e["logprob"] for e in entries]
        self.assertEqual(logprobs, sorted(logprobs, reverse=True))
        self.assertEqual(len({bytes_of(e) for e in entries}), len(entries))
        self.assertLessEqual(sum(map(math.exp, logprobs)), 1 + 1e-6)
        self.assertTrue(all(p <= 0 for p in logprobs))


# ---- log-probabilities -------------------------------------------------------------------------

class OfMessages(Case):
    def ask(self, **body):
        return self.choice(CHAT, **{"messages": user("the fox"), "max_tokens": 30, "logprobs": True, **body})

    def test_form(self):
        for n in (0, 1, 5, 20):
            choice = self.ask(top_logprobs=n, temperature=3, seed=n)
            self.assertEqual(list(choice["logprobs"]), ["content", "refusal"])
            for entry in choice["logprobs"]["content"]:
                self.assertEqual(list(entry), ["token", "logprob", "bytes", "top_logprobs"])
                self.assertEqual(len(entry["top_logprobs"]), n)
                self.is_ranked(entry["top_logprobs"])
                for one in (entry, *entry["top_logprobs"]):
                    self.assertEqual(one["token"], shown(bytes_of(one)))
        self.assertIsNone(self.ask(logprobs=False)["logprobs"])
        self.assertEqual(self.ask()["logprobs"]["content"][0]["top_logprobs"], [])

    def test_they_are_the_text(self):
        for seed in range(3):
            choice = self.ask(seed=seed, temperature=3, ignore_eos=True)
            content = choice["logprobs"]["content"]
            self.assertEqual(len(content), 30)
            special = {b"<|endoftext|>", b"<|im_start|>", b"<|im_end|>"}
            text = b"".join(bytes_of(e) for e in content if bytes_of(e) not in special)
            self.assertEqual(choice["message"]["content"], shown(text))

    def test_greedy_is_the_first(self):
        for entry in self.ask(temperature=0, repeat_penalty=1, top_logprobs=3)["logprobs"]["content"]:
            first = entry["top_logprobs"][0]
            self.assertEqual((entry["token"], entry["logprob"]), (first["token"], first["logprob"]))

    def test_as_told_by_the_websocket(self):
        """And each of the others has what it has where it is the one that was chosen."""
        body = {"prompt": "the fox", "max_tokens": 25, "seed": 3, "temperature": 2}
        client = ws_client.connect(self.server.port, timeout=serve.WAIT)
        right = client.ask(id="1", logprobs=True, **body)["tokens"]
        told = self.choice(TEXT, logprobs=2, **body)["logprobs"]
        self.assertEqual(told["token_logprobs"], [t["logprob"] for t in right])
        first = self.choice(TEXT, logprobs=5, **body)["logprobs"]["top_logprobs"][0]
        every = []
        for token in range(300):
            one = client.ask(id="b", prompt="the fox", max_tokens=1, logprobs=True, ignore_eos=True,
                             logit_bias={str(token): 100}, temperature=0)["tokens"][0]
            self.assertEqual(one["token"], token)
            every.append(one["logprob"])
        self.assertEqual(list(first.values())[:5], sorted(every, reverse=True)[:5])
        self.assertAlmostEqual(sum(map(math.exp, every)), 1, places=5)
        client.close()

    def test_streamed_is_whole(self):
        for seed in range(4):
            for more in (WILD, {"temperature": 2}, {**WILD, "stop": ["a", "the"]}):
                body = {"messages": user("fox"), "max_tokens": 60, "logprobs": True, "top_logprobs": 3,
                        "seed": seed, **more}
                whole = self.choice(CHAT, **body)
                objects = self.server.stream(CHAT, **body).all()
                parts = [o["choices"][0].get("logprobs") for o in objects]
                entries = [e for part in parts if part for e in part["content"]]
                self.assertEqual(entries, (whole["logprobs"] or {"content": []})["content"])
                self.assertEqual(text_of(objects), whole["message"]["content"])
                self.assertEqual(objects[-1]["timings"]["predicted_n"], len(entries))
                for o, part in zip(objects, parts):  # what completes a text is told with it
                    if part and o["choices"][0]["delta"]["content"]:
                        self.assertTrue(part["content"])

    def test_with_others(self):
        """The same bits as alone."""
        def ask(seed):
            return self.ask(seed=seed, temperature=2, top_logprobs=20)["logprobs"]
        alone = [ask(seed) for seed in range(8)]
        with serve.concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual(list(pool.map(ask, range(8))), alone)

    def test_errors(self):
        for more, param in (({"top_logprobs": 21}, "top_logprobs"), ({"top_logprobs": -1}, "top_logprobs"),
                            ({"logprobs": 1}, "logprobs"), ({"logprobs": "yes"}, "logprobs"),
                            ({"logprobs": False, "top_logprobs": 2}, "top_logprobs"),
                            ({"logprobs": None, "top_logprobs": 2}, "top_logprobs")):
            reply = self.server.ask(CHAT, {"messages": user("x"), "logprobs": True, **more})
            self.is_error(reply, 400, param)
        for value in (-1, 6, True, False, 1.5, "1"):
            self.is_error(self.server.ask(TEXT, {"prompt": "x", "logprobs": value}), 400, "logprobs")


class OfOllama(Case):
    """The entries of OpenAI's interface for the same tokens."""
    MODEL = {"model": "tiny", "logprobs": True}

    def rows(self):
        """Paths, bodies, and what OpenAI's interface tells."""
        for seed in range(3):
            for top in (0, 3, 20):
                for options in ({"temperature": 2}, WILD):
                    options = {**options, "seed": seed, "num_predict": 40}
                    body = {**self.MODEL, "options": options, "top_logprobs": top}
                    same = {**options, "max_tokens": 40}
                    messages = user("the fox")
                    right = self.choice(CHAT, messages=messages, logprobs=True, top_logprobs=top, **same)
                    entries = right["logprobs"]["content"]
                    if top == 0:
                        entries = [{n: e[n] for n in ("token", "logprob", "bytes")} for e in entries]
                    text = right["message"]["content"]
                    yield "/api/chat", {**body, "messages": messages}, entries, text
                    yield "/api/generate", {**body, "prompt": "the fox"}, entries, text

    @staticmethod
    def text(path, reply):
        return reply["message"]["content"] if path == "/api/chat" else reply["response"]

    def test_whole(self):
        for path, body, entries, text in self.rows():
            answer = self.server.answer(path, **body, stream=False)
            self.assertEqual((answer["logprobs"], self.text(path, answer)), (entries, text))
            self.assertTrue(answer["done"])

    def test_streamed(self):
        for path, body, entries, text in self.rows():
            lines = ollama.Lines(self.server, path, body).all()
            self.assertEqual([e for line in lines for e in line.get("logprobs") or []], entries)
            self.assertEqual("".join(self.text(path, line) for line in lines), text)
            self.assertEqual(lines[-1]["eval_count"], len(entries))
            self.assertNotIn("logprobs", lines[-1])
            for line in lines[:-1]:  # what completes a text is told with it
                self.assertTrue(line.get("logprobs", [1]) and not line["done"])

    def test_not_asked_for(self):
        for more in ({}, {"logprobs": False}, {"logprobs": None, "top_logprobs": None}):
            for stream in (False, True):
                body = {"model": "tiny", "prompt": "fox", "options": {"num_predict": 3}, **more}
                lines = (ollama.Lines(self.server, "/api/generate", body).all() if stream else
                         [self.server.answer("/api/generate", **body, stream=False)])
                self.assertTrue(all("logprobs" not in line for line in lines))

    def test_errors(self):
        for path, body in (("/api/chat", {"messages": user("x")}), ("/api/generate", {"prompt": "x"})):
            for more, param in (({"top_logprobs": 21}, "top_logprobs"), ({"top_logprobs": -1}, "top_logprobs"),
                                ({"logprobs": 1}, "logprobs"), ({"logprobs": False, "top_logprobs": 1}, "top_logprobs")):
                status, _, answer = self.server.ask(path, {**self.MODEL, **body, **more})
                self.assertEqual((status, answer["param"]), (400, param), answer)


class OfTexts(Case):
    LISTS = ["tokens", "token_logprobs", "top_logprobs", "text_offset"]

    def test_form(self):
        prompt = "the \u00fc fox"
        for n in (1, 5):
            body = {"prompt": prompt, "max_tokens": 40, "logprobs": n, "temperature": 1.5, "seed": n,
                    "ignore_eos": True}
            choice = self.choice(TEXT, **body)
            told = choice["logprobs"]
            self.assertEqual(list(told), self.LISTS)
            self.assertEqual({len(told[name]) for name in self.LISTS}, {40})
            for token, logprob, top, at in zip(*(told[name] for name in self.LISTS)):
                self.assertEqual(top[token], logprob)
                self.assertTrue(n <= len(top) <= n + 1)
                first = list(top.values())[:n]
                self.assertEqual(first, sorted(first, reverse=True))
                self.assertLessEqual(logprob, first[0])
                if "\ufffd" not in choice["text"] and not token.startswith("bytes:"):
                    self.assertTrue(choice["text"][at - len(prompt):].startswith(token))
        without = self.choice(TEXT, prompt=prompt, max_tokens=4, logprobs=0, ignore_eos=True)["logprobs"]
        self.assertEqual((len(without["tokens"]), without["top_logprobs"]), (4, None))
        self.assertIsNone(self.choice(TEXT, prompt="x", max_tokens=2, logprobs=None)["logprobs"])

    def test_bytes(self):
        """A token that is no text is told by its bytes."""
        told = self.choice(TEXT, prompt="x", max_tokens=200, logprobs=5, seed=1, **WILD)["logprobs"]
        some = [t for t in told["tokens"] if t.startswith("bytes:")]
        self.assertGreater(len(some), 10)
        for token in some:
            self.assertRegex(token, r"\Abytes:(\\x[0-9a-f]{2})+\Z")

    def test_streamed_is_whole(self):
        for seed in range(4):
            body = {"prompt": "fox", "max_tokens": 80, "logprobs": seed, "seed": seed, **WILD}
            whole = self.choice(TEXT, **body)["logprobs"]
            objects = self.server.stream(TEXT, **body).all()
            parts = [o["choices"][0]["logprobs"] for o in objects]
            for name in self.LISTS[:2] + self.LISTS[3:]:
                self.assertEqual(sum((p[name] for p in parts if p), []), whole[name], name)
            if seed > 0:
                self.assertEqual(sum((p["top_logprobs"] for p in parts if p), []), whole["top_logprobs"])

    def test_as_many_as_there_is_room_for(self):
        server = self.start("--top-logprobs", 2)
        for n, status in ((0, 200), (2, 200), (3, 400)):
            reply = server.ask(CHAT, {"messages": user("x"), "max_tokens": 2, "logprobs": True,
                                      "top_logprobs": n})
            self.assertEqual(reply[0], status, reply)
        self.is_error(reply, 400, "top_logprobs", "--top-logprobs")
        self.is_error(server.ask(TEXT, {"prompt": "x", "logprobs": 5}), 400, "logprobs", "--top-logprobs")
        planned = [around.Metrics(s).one("memory_plan_bytes", part="server") for s in (self.server, server)]
        self.assertEqual(planned[0] - planned[1], 18 * 8 * 20 * 257)  # of 20 requests
        self.ends_well(server)


class Long(Case):
    model, options = LONG, ("-c", "4000", "--sessions", "2", "--queue", "1")

    def test_more_than_is_sent_at_once(self):
        body = {"messages": user("x"), "max_tokens": 700, "logprobs": True, "top_logprobs": 20, "seed": 4,
                **WILD}
        whole = self.choice(CHAT, **body)["logprobs"]["content"]
        self.assertEqual(len(whole), 700)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(serve.WAIT)
        sock.connect(("127.0.0.1", self.server.port))
        data = json.dumps({**body, "stream": True}).encode()
        sock.sendall(serve.head("POST", CHAT, Content_Length=len(data), Content_Type="application/json",
                                Connection="close") + data)
        time.sleep(0.5)  # nobody reads, and all is computed
        reply = serve.http.client.HTTPResponse(sock)
        reply.begin()
        events = [line[6:] for line in reply.read().splitlines() if line]
        sock.close()
        self.assertEqual(events[-1], b"[DONE]")
        parts = [json.loads(e)["choices"][0].get("logprobs") for e in events[:-1]]
        self.assertEqual([e for part in parts if part for e in part["content"]], whole)


# ---- several choices ---------------------------------------------------------------------------

class Choices(Case):
    options = ("--sessions", "3", "--queue", "5")

    def test_each_is_the_answer_to_a_seed(self):
        for path, prompt in ((CHAT, {"messages": user("fox")}), (TEXT, {"prompt": "fox"})):
            for more in ({}, {"logprobs": True if path == CHAT else 2}, {"stop": ["a"]}):
                body = {**prompt, "max_tokens": 20, "temperature": 2, "ignore_eos": True, **more}
                got = self.server.answer(path, n=5, seed=40, **body)
                alone = [self.server.answer(path, seed=40 + i, **body) for i in range(5)]
                self.assertEqual(got["choices"], [{**one["choices"][0], "index": i}
                                                  for i, one in enumerate(alone)])
                n = [one["usage"]["completion_tokens"] for one in alone]
                prompt_n = alone[0]["usage"]["prompt_tokens"]
                self.assertEqual(took(got["usage"]), {"prompt_tokens": prompt_n, "completion_tokens": sum(n),
                                                      "total_tokens": prompt_n + sum(n)})
                self.assertIn(got["usage"]["prompt_tokens_details"]["cached_tokens"], range(prompt_n))
                self.assertEqual(got["timings"]["predicted_n"], sum(n))
        self.assertEqual(run("fox", "--raw", "-n", 20, "-t", 2, "-s", 43, "--ignore-eos")["text"],
                         self.choice(TEXT, prompt="fox", max_tokens=20, temperature=2, seed=43,
                                     ignore_eos=True)["text"])

    def test_streamed(self):
        for path, prompt in ((CHAT, {"messages": user("fox")}), (TEXT, {"prompt": "fox"})):
            body = {**prompt, "max_tokens": 30, "temperature": 2, "seed": 7, "n": 4,
                    "logprobs": True if path == CHAT else 3}
            whole = self.server.answer(path, **body)
            objects = self.server.stream(path, stream_options={"include_usage": True}, **body).all()
            self.assertEqual((objects[-1]["choices"], took(objects[-1]["usage"])), ([], took(whole["usage"])))
            objects.pop()
            self.assertEqual({o["id"] for o in objects}, {objects[0]["id"]})
            self.assertIn("timings", objects[-1])
            self.assertTrue(all("timings" not in o for o in objects[:-1]))
            for i, choice in enumerate(whole["choices"]):
                mine = [o for o in objects if o["choices"][0]["index"] == i]
                text = choice["text"] if path == TEXT else choice["message"]["content"]
                self.assertEqual(text_of(mine), text)
                reasons = [o["choices"][0]["finish_reason"] for o in mine]
                self.assertEqual(reasons, [None] * (len(mine) - 1) + [choice["finish_reason"]])
                roles = [o for o in mine if o["choices"][0].get("delta", {}).get("role")]
                self.assertEqual(len(roles), path == CHAT)

    def test_forms(self):
        got = self.server.answer(TEXT, prompt="fox", n=3, temperature=2, seed=1, max_tokens=60,
                                 grammar='root ::= ("yes" | "no") " " [0-9]{2,4} "."')
        texts = [choice["text"] for choice in got["choices"]]
        for text in texts:
            self.assertRegex(text, r"\A(yes|no) [0-9]{2,4}\.\Z")
        self.assertGreater(len(set(texts)), 1)

    def test_by_chance(self):
        texts = {tuple(c["text"] for c in self.server.answer(
            TEXT, prompt="fox", n=2, temperature=5, max_tokens=20)["choices"]) for _ in range(3)}
        self.assertEqual(len({text for pair in texts for text in pair}), 6)

    def test_as_many_as_there_are_places(self):
        self.assertEqual(len(self.server.answer(TEXT, prompt="x", n=8, max_tokens=2)["choices"]), 8)
        for n in (0, 9, -1, 1.5, "2", True):
            self.is_error(self.server.ask(TEXT, {"prompt": "x", "n": n}), 400, "n")
        server = self.start("--sessions", 1, "--queue", 2)
        self.assertEqual(len(server.answer(TEXT, prompt="x", n=3, max_tokens=2)["choices"]), 3)
        self.is_error(server.ask(TEXT, {"prompt": "x", "n": 4}), 400, "n", "3 places")
        self.ends_well(server)
        client = ws_client.connect(self.server.port, timeout=serve.WAIT)
        self.assertEqual(client.ask(id="w", prompt="x", n=2)["last"]["error"]["param"], "n")
        client.close()


class Places(Case):
    model, options = LONG, ("-c", "20000", "--sessions", "2", "--queue", "2")

    def deadlines(self, metrics):
        results = [metrics.one("deadline_results_total", result=r) for r in ("met", "missed", "abandoned")]
        return metrics.one("deadlines_accepted_total"), results, metrics.one("deadlines_refused_total")

    def all_free(self):
        return around.Case.until(self, self.server, lambda m: m.one("sessions_taken") ==
                                 m.one("queue_length") == 0)

    def test_taken_at_once_or_not_at_all(self):
        stream = self.server.stream(TEXT, n=2, **ENDLESS)
        next(stream.events())
        self.is_error(self.server.ask(TEXT, {"prompt": "x", "n": 3}), 429)
        answers = []
        waits = serve.concurrent.futures.ThreadPoolExecutor(1)
        waiting = waits.submit(lambda: answers.append(self.server.answer(TEXT, prompt="x", n=2,
                                                                         max_tokens=2)))
        around.Case.until(self, self.server, lambda m: m.one("queue_length") == 2)
        self.is_error(self.server.ask(TEXT, {"prompt": "x"}), 429)
        stream.hang_up()
        waiting.result(serve.WAIT)
        self.assertEqual(len(answers[0]["choices"]), 2)
        self.all_free()  # both have ended: the one whose events were read, and the other
        waits.shutdown()

    def test_a_deadline_is_that_of_each(self):
        before = self.deadlines(self.all_free())
        body = {**ENDLESS, "max_tokens": 19000}
        reply = self.server.ask(TEXT, {**body, "deadline_ms": 100})
        self.assertEqual(reply[0], 422)
        deadline = int(1.6 * reply[2]["error"]["forecast"]["enough_ms"])
        answer = self.server.answer(TEXT, n=2, deadline_ms=3600000, **{**body, "max_tokens": 200})
        self.assertEqual((answer["deadline"]["max_tokens"], answer["usage"]["completion_tokens"]), (200, 400))
        for stream in (False, True):  # one can be kept, but not both
            reply = self.server.ask(TEXT, {**body, "n": 2, "deadline_ms": deadline, "stream": stream})
            self.is_error(reply, 422, "deadline_ms", kind="deadline_error")
        accepted, results, refused = self.deadlines(self.all_free())
        self.assertEqual(accepted - before[0], 4)
        self.assertEqual([r - b for r, b in zip(results, before[1])], [2, 0, 2])
        self.assertEqual(refused - before[2], 3)

    def test_one_is_not_sent_after_the_other(self):
        """Unless the network slept until all was computed."""
        def interleave():
            objects = self.server.stream(TEXT, n=2, max_tokens=4000, **ENDLESS).all()
            order = [o["choices"][0]["index"] for o in objects]
            return order != sorted(order)
        self.assertTrue(any(interleave() for _ in range(5)))

    def test_who_leaves(self):
        for body in ({"stream": True}, {"stream": False}):
            client = self.server.client()
            client.request("POST", TEXT, json.dumps({**ENDLESS, "n": 3, **body}), serve.JSON)
            around.Case.until(self, self.server, lambda m: m.one("sessions_taken") == 2
                              and m.one("queue_length") == 1)
            client.close()
            self.all_free()
        before = around.Metrics(self.server)
        usage = self.server.answer(TEXT, prompt="fox", n=4, max_tokens=9)["usage"]
        after = around.Metrics(self.server)
        for name, field in (("prompt_tokens_total", "prompt_tokens"),
                            ("answer_tokens_total", "completion_tokens")):
            self.assertEqual(after.one(name) - before.one(name), usage[field])
        self.assertEqual(after.requests(TEXT, 200) - before.requests(TEXT, 200), 1)

    def test_when_the_server_ends(self):
        server = self.start("-c", 20000, "--drain", 1, "--sessions", 2, model=LONG)
        stream = server.stream(CHAT, messages=user("fox"), n=2, ignore_eos=True, logprobs=True,
                               top_logprobs=20)
        events = stream.events()
        next(events)
        server.process.send_signal(serve.signal.SIGTERM)
        last = [json.loads(event) for event in events][-1]  # each is whole
        self.assertIn("shutting down", last["error"]["message"])
        stream.hang_up()
        self.ends_well(server, None)


class Hash(Case):
    def test_as_run(self):
        for seed in range(3):
            body = {"prompt": "the fox", "max_tokens": 25, "seed": seed, "temperature": 3, "logits_hash": True}
            options = ("--raw", "-n", 25, "-t", 3, "--hash")
            right = [run("the fox", *options, "-s", seed + i)["hash"] for i in range(2)]
            got = self.server.answer(TEXT, n=2, **body)["choices"]
            self.assertEqual([choice["logits_hash"] for choice in got], right)
            self.assertEqual(self.server.stream(TEXT, **body).all()[-1]["choices"][0]["logits_hash"], right[0])
            client = ws_client.connect(self.server.port, timeout=serve.WAIT)
            self.assertEqual(client.ask(id="h", **body)["last"]["logits_hash"], right[0])
            client.close()
        stop = {**body, "ignore_eos": True, "max_tokens": 60}
        text = self.choice(TEXT, **stop)["text"]
        cut = self.choice(TEXT, stop=next(c for c in text if c not in "\ufffd\0"), **stop)
        self.assertEqual((cut["finish_reason"], cut["logits_hash"]), ("stop", None))
        self.assertNotIn("logits_hash", self.choice(TEXT, prompt="x", max_tokens=2))


# ---- biases ------------------------------------------------------------------------------------

class Bias(Case):
    BASE = {"prompt": "the fox", "max_tokens": 25, "seed": 3, "temperature": 2}

    def test_as_run(self):
        texts = set()
        for bias in ({}, {"101": 8}, {"101": -100, "102": 3.5, "5": 4}, {"200": 100}):
            options = ("--logit-bias", ",".join(f"{k}={v}" for k, v in bias.items())) if bias else ()
            right = run("the fox", "--raw", "-n", 25, "-s", 3, "-t", 2, *options)["text"]
            self.assertEqual(self.choice(TEXT, logit_bias=bias, **self.BASE)["text"], right)
            texts.add(right)
        self.assertEqual(len(texts), 4)

    def test_ban_and_force(self):
        """By the numbers that the WebSocket tells."""
        client = ws_client.connect(self.server.port, timeout=serve.WAIT)
        body = {"prompt": "fox", "max_tokens": 1, "temperature": 0, "ignore_eos": True}
        banned = {}
        for _ in range(20):
            token = client.ask(id="t", logit_bias=banned, **body)["tokens"][0]["token"]
            self.assertNotIn(str(token), banned)
            banned[str(token)] = -100
        forced = client.ask(id="f", logit_bias={"123": 100}, **{**body, "max_tokens": 5})["tokens"]
        self.assertEqual({t["token"] for t in forced}, {123})
        client.close()

    def test_with_choices(self):
        got = self.server.answer(TEXT, n=3, logit_bias={"77": 100}, logprobs=1, **self.BASE)
        for choice in got["choices"]:
            self.assertEqual(len(set(choice["logprobs"]["tokens"])), 1)

    def test_errors(self):
        self.choice(TEXT, logit_bias={str(i): 0.5 for i in range(300)}, **self.BASE)
        for bias in ({str(i): 1 for i in range(301)}, {"300": 1}, {"4294967296": 1}, {"x": 1}, {"": 1},
                     {"-1": 1}, {"1.0": 1}, {" 1": 1}, {"1": 101}, {"1": -100.5}, {"1": "1"}, {"1": None},
                     {"1": True}, [[1, 2]], 5, "1"):
            self.is_error(self.server.ask(TEXT, {**self.BASE, "logit_bias": bias}), 400, "logit_bias")
        self.still_works()


if __name__ == "__main__":
    unittest.main(argv=serve.sys.argv[:1], verbosity=2)
