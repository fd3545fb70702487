#!/usr/bin/env python3
"""`edgellm serve` from outside, on tiny models: what it answers, that this is what `edgellm run`
answers, and how it fares with clients that are wrong, slow, rude or gone.

    python3 tests/test_serve.py EDGELLM MAKE_TINY OUT_DIR [INJECT]

INJECT: the library of tests/faults/inject.c, with which the system fails. Standard library only.
"""
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
INJECT = os.path.abspath(sys.argv[4]) if len(sys.argv) > 4 else None
TINY, LONG = str(OUT / "tiny.tm2.bin"), str(OUT / "long.tm2.bin")
USAGE, IO, FORMAT, MEMORY = 2, 3, 4, 6
JSON = {"Content-Type": "application/json"}
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
WAIT = 60  # seconds in which anything has happened
# Fields of a sampler, and the options of `edgellm run` that mean the same.
SAMPLERS = (
    ({}, ()), ({"temperature": 2.5}, ("-t", 2.5)), ({"temperature": 0}, ("-t", 0)),
    ({"top_p": 0.3}, ("--top-p", 0.3)), ({"top_k": 2}, ("--top-k", 2)),
    ({"top_k": -1, "min_p": 0}, ("--top-k", 0, "--min-p", 0)),
    ({"min_p": 0.9}, ("--min-p", 0.9)), ({"typical_p": 0.2}, ("--typical-p", 0.2)),
    ({"repeat_penalty": 3}, ("--repeat-penalty", 3)),
    ({"repeat_penalty": 3, "repeat_last_n": 2},
     ("--repeat-penalty", 3, "--repeat-last", 2)),
    ({"repeat_penalty": 3, "repeat_last_n": -1},
     ("--repeat-penalty", 3, "--repeat-last", 1048576)),
    ({"presence_penalty": 5}, ("--presence-penalty", 5)),
    ({"frequency_penalty": 5}, ("--frequency-penalty", 5)),
    ({"seed": 6}, ("-s", 6)),
)
os.environ["EDGELLM_CACHE"] = "none"  # nothing of the tests' goes into the user's folders
os.environ.pop("EDGELLM_API_KEY", None)


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for kind, path in (((), TINY), (("long",), LONG)):
        gguf = path.replace(".tm2.bin", ".gguf")
        subprocess.run([MAKE_TINY, gguf, *kind], check=True, timeout=60)
        subprocess.run([EDGELLM, "quantize", gguf, "-o", path, "-q"], check=True, timeout=60)


# ---- the server and its clients ---------------------------------------------------------------

def start(*arguments, model=TINY, **options):
    command = [EDGELLM, "serve", model, "--calibrate", "20", *map(str, arguments)]
    return subprocess.Popen(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})


class Server:
    def __init__(self, *arguments, model=TINY, place=("--port", "0"), **options):
        self.process = start(*place, *arguments, model=model, **options)
        self.line = self.process.stdout.readline().decode()
        found = re.search(r" at http://[^ ]*:(\d+) ", self.line)
        self.port = int(found.group(1)) if found else None

    def connect(self, **options):
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT, **options)

    def client(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)

    def ask(self, path, body=None, headers=None, method=None):
        """Status, headers, and the body: decoded if it is JSON."""
        client = self.client()
        try:
            return ask(client, path, body, headers, method)
        finally:
            client.close()

    def answer(self, path, **body):
        status, _, answer = self.ask(path, body)
        assert status == 200, (status, answer)
        return answer

    def stream(self, path, **body):
        return Stream(self, path, {"stream": True, **body})

    def metric(self, name):
        """None: no reply, for there are too many connections or none is taken any more."""
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            status, _, text = self.ask("/metrics")
            if status == 200:
                return float(re.search(rf"^edgellm_{name} (\S+)$", text, re.M).group(1))
        return None

    def end(self, number=signal.SIGTERM):
        """Standard output after the first line, standard error, exit code."""
        if self.process.poll() is None and number:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=WAIT)
        return out, err, self.process.returncode


class UnixServer(Server):
    """At the socket `path`."""

    def client(self):
        client = http.client.HTTPConnection("localhost", timeout=WAIT)
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.settimeout(WAIT)
        try:
            client.sock.connect(str(self.path))
        except OSError:
            client.close()
            raise
        return client


def ask(client, path, body=None, headers=None, method=None):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    client.request(method or ("GET" if data is None else "POST"), path, data,
                   {**(JSON if data is not None else {}), **(headers or {})})
    response = client.getresponse()
    content = response.read().decode()
    if "json" in (response.getheader("Content-Type") or ""):
        content = json.loads(content)
    return response.status, dict((k.lower(), v) for k, v in response.getheaders()), content


class Stream:
    """Server-sent events as they come."""

    def __init__(self, server, path, body):
        self.client = server.client()
        self.client.request("POST", path, json.dumps(body), JSON)
        self.response = self.client.getresponse()
        self.status, self.type = self.response.status, self.response.getheader("Content-Type")

    def events(self):
        for line in self.response:
            if line != b"\n":
                assert line.startswith(b"data: ") and line.endswith(b"\n"), line
                yield line[6:-1].decode()

    def all(self):
        """The objects before [DONE], which must be the end."""
        events = list(self.events())
        self.client.close()
        assert events[-1] == "[DONE]", events[-1]
        return [json.loads(event) for event in events[:-1]]

    def hang_up(self):
        self.response.close()
        self.client.close()


def text_of(objects):
    """The text of chunks, of either form."""
    choices = [choice for o in objects for choice in o["choices"]]
    return "".join(c.get("text", c.get("delta", {}).get("content", "")) for c in choices)


def run(prompt, *options, model=TINY):
    """What `edgellm run` answers."""
    done = subprocess.run([EDGELLM, "run", model, "-p", prompt, "--json", *map(str, options)],
                          capture_output=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def user(text):
    return [{"role": "user", "content": text}]


class Case(unittest.TestCase):
    model, options = TINY, ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.options, model=cls.model)

    @classmethod
    def tearDownClass(cls):
        out, err, code = cls.server.end()
        assert (out, err, code) == (b"", b"", 0), (out, err, code)

    def start(self, *arguments, **options):
        server = Server(*arguments, **options)

        def clean():
            server.process.kill()
            server.process.communicate()
        self.addCleanup(clean)
        return server

    def ends_well(self, server, number=signal.SIGTERM):
        self.assertEqual(server.end(number), (b"", b"", 0))

    def is_error(self, reply, status, param=None, words="", kind=None):
        got, _, body = reply
        self.assertEqual(got, status, body)
        error = body["error"]
        self.assertEqual(error["param"], param, body)
        self.assertIn(words, error["message"])
        self.assertTrue(error["type"].endswith("_error") and error["code"], body)
        if kind:
            self.assertEqual(error["type"], kind)

    def soon(self, is_so):
        until = time.monotonic() + WAIT
        while not is_so():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def soon_ending(self, server):
        """It has taken notice of its signal, which a busy machine hands it late."""
        def is_ending():
            with contextlib.suppress(ConnectionError):
                status, _, body = server.ask("/health")
                return status == 503 and "shutting down" in body["error"]["message"]
            return True
        self.soon(is_ending)

    def still_works(self, server=None):
        answer = (server or self.server).answer(TEXT, prompt="the fox", max_tokens=3)
        self.assertIn("usage", answer)


# ---- what is answered --------------------------------------------------------------------------

class Routes(Case):
    def test_ready_line(self):
        self.assertRegex(self.server.line, r"\Aedgellm: tiny at http://127\.0\.0\.1:\d+ \| 4 sessions "
                                            r"of 256 tokens, \d+ threads?, 64 connections of at "
                                            r"most [\d.]+ kB, [\d.]+ MB \| forecasts by a calibration\n\Z")

    def test_health(self):
        status, headers, body = self.server.ask("/health")
        self.assertEqual((status, body), (200, {"status": "ok"}))
        self.assertEqual(headers["content-type"], "application/json")

    def test_models(self):
        _, _, body = self.server.ask("/v1/models")
        self.assertEqual(body["object"], "list")
        self.assertEqual([(m["id"], m["object"]) for m in body["data"]], [("tiny", "model")])
        self.assertEqual(body["data"][0]["meta"]["n_ctx"], 256)
        self.assertEqual(self.server.ask("/v1/models/tiny")[2], body["data"][0])
        for name in ("tin", "tinyy", "tiny/x", "x" * 300):
            self.is_error(self.server.ask("/v1/models/" + name), 404, "model", "this server has 'tiny'")

    def test_chat(self):
        answer = self.server.answer(CHAT, model="any", messages=user("the quick brown"),
                                    max_tokens=20, temperature=0)
        right = run("the quick brown", "-n", 20, "-t", 0)
        self.assertRegex(answer["id"], r"\Achatcmpl-[0-9a-f]{16}\Z")
        self.assertEqual((answer["object"], answer["model"]), ("chat.completion", "tiny"))
        self.assertLess(abs(answer["created"] - time.time()), 100)
        choice, = answer["choices"]
        self.assertEqual(choice["message"], {"role": "assistant", "content": right["text"]})
        self.assertEqual((choice["index"], choice["finish_reason"]), (0, "length"))
        n = right["prompt_tokens"]
        cached = answer["usage"].pop("prompt_tokens_details")["cached_tokens"]
        self.assertEqual(answer["usage"], {"prompt_tokens": n, "completion_tokens": 20,
                                           "total_tokens": n + 20})
        self.assertEqual((answer["timings"]["cache_n"], answer["timings"]["prompt_n"]),
                         (cached, n - cached))
        self.assertEqual(answer["timings"]["predicted_n"], 20)
        self.assertGreater(answer["timings"]["prompt_ms"], 0)

    def test_completion(self):
        answer = self.server.answer(TEXT, prompt="the quick brown", max_tokens=20, temperature=0)
        right = run("the quick brown", "--raw", "-n", 20, "-t", 0)
        self.assertRegex(answer["id"], r"\Acmpl-[0-9a-f]{16}\Z")
        self.assertEqual(answer["object"], "text_completion")
        self.assertEqual(answer["choices"][0]["text"], right["text"])
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")
        listed = self.server.answer(TEXT, prompt=["the quick brown"], max_tokens=20, temperature=0)
        self.assertEqual(listed["choices"], answer["choices"])

    def test_conversation_and_parts(self):
        messages = [{"role": "system", "content": "Be brief."}] + user("the fox")
        right = run("the fox", "--system", "Be brief.", "-n", 9, "-t", 0)["text"]
        parts = [{"role": "developer", "content": [{"type": "text", "text": "Be "},
                                                   {"type": "text", "text": "brief."}]}]
        for asked in (messages, parts + user([{"type": "text", "text": "the fox"}])):
            got = self.server.answer(CHAT, messages=asked, max_tokens=9, temperature=0)
            self.assertEqual(got["choices"][0]["message"]["content"], right)
        longer = messages + [{"role": "assistant", "content": right}] + user("more")
        got = self.server.answer(CHAT, messages=longer, max_completion_tokens=2, temperature=0)
        self.assertEqual(got["usage"]["completion_tokens"], 2)

    def test_names_of_special_tokens(self):
        """They stay text in messages, and are tokens in a prompt."""
        def tokens(path, **body):
            return self.server.answer(path, max_tokens=1, **body)["usage"]["prompt_tokens"]
        plain = tokens(CHAT, messages=user("fox"))
        self.assertGreater(tokens(CHAT, messages=user("fox<|im_end|>")), plain + 1)
        self.assertEqual(tokens(TEXT, prompt="fox<|im_end|>"), tokens(TEXT, prompt="fox") + 1)

    def test_streamed_is_whole_is_run(self):
        # As good as any byte after any other: characters that two or three tokens make too.
        wild = {"temperature": 100, "top_k": 0, "top_p": 1, "min_p": 0, "repeat_penalty": 1}
        options = ("-t", 100, "--top-k", 0, "--top-p", 1, "--min-p", 0, "--repeat-penalty", 1)
        characters = 0
        for seed in range(6):
            right = run("fox", "--raw", "-n", 200, "-s", seed, *options)
            body = {"prompt": "fox", "max_tokens": 200, "seed": seed, **wild}
            whole = self.server.answer(TEXT, **body)
            objects = self.server.stream(TEXT, **body).all()
            self.assertEqual(whole["choices"][0]["text"], right["text"])
            self.assertEqual(text_of(objects), right["text"])
            ends = {"length": "length", "end": "stop"}
            self.assertEqual(whole["choices"][0]["finish_reason"], ends[right["finish"]])
            self.assertEqual(whole["usage"]["completion_tokens"], len(right["tokens"]))
            characters += sum(0x80 <= ord(c) != 0xfffd for c in right["text"])
        self.assertGreater(characters, 0)

    def test_form_of_a_chat_stream(self):
        body = {"messages": user("fox"), "max_tokens": 6, "temperature": 0}
        stream = self.server.stream(CHAT, **body)
        self.assertEqual((stream.status, stream.type), (200, "text/event-stream"))
        objects = stream.all()
        self.assertEqual({(o["object"], o["model"], o["id"]) for o in objects},
                         {("chat.completion.chunk", "tiny", objects[0]["id"])})
        deltas = [o["choices"][0]["delta"] for o in objects]
        self.assertEqual((deltas[0], deltas[-1]), ({"role": "assistant", "content": ""}, {}))
        self.assertTrue(all(list(d) == ["content"] for d in deltas[1:-1]))
        self.assertEqual([o["choices"][0]["finish_reason"] for o in objects],
                         [None] * (len(objects) - 1) + ["length"])
        self.assertEqual(objects[-1]["timings"]["predicted_n"], 6)
        self.assertTrue(all("usage" not in o for o in objects))
        self.assertEqual(text_of(objects), run("fox", "-n", 6, "-t", 0)["text"])

    def test_usage_of_a_stream(self):
        for path, prompt in ((CHAT, {"messages": user("fox")}), (TEXT, {"prompt": "fox"})):
            objects = self.server.stream(path, max_tokens=4, stream_options={"include_usage": True},
                                         ignore_eos=True, **prompt).all()
            self.assertEqual(objects[-1]["choices"], [])
            self.assertEqual(objects[-1]["usage"]["completion_tokens"], 4)
            self.assertTrue(all(o["usage"] is None for o in objects[:-1]))

    def test_as_long_as_the_context(self):
        answer = self.server.answer(TEXT, prompt="fox", ignore_eos=True)
        self.assertEqual(answer["usage"]["total_tokens"], 257)  # the last one is not computed
        for most in (100000, -1, -2):  # -1 as llama.cpp's page asks
            more = self.server.answer(TEXT, prompt="fox", ignore_eos=True, max_tokens=most)
            self.assertEqual(more["usage"]["total_tokens"], 257)


class Fields(Case):
    BASE = {"prompt": "the quick brown fox", "max_tokens": 30, "seed": 5}
    RUN = ("--raw", "-n", 30, "-s", 5)

    def test_the_sampler_is_that_of_run(self):
        changed = set()
        for fields, options in SAMPLERS:
            with self.subTest(fields):
                right = run("the quick brown fox", *self.RUN, *options)["text"]
                got = self.server.answer(TEXT, **{**self.BASE, **fields})
                self.assertEqual(got["choices"][0]["text"], right)
                changed.add(right)
        self.assertGreater(len(changed), 8)

    def test_whole_numbers(self):
        """Some languages write 5 as 5.0."""
        right = self.server.answer(TEXT, **self.BASE, top_k=3)["choices"]
        got = self.server.answer(TEXT, prompt=self.BASE["prompt"], max_tokens=30.0, seed=5.0,
                                 top_k=3e0, n=1.0, repeat_last_n=64.0)["choices"]
        self.assertEqual(got, right)
        for seed in (1e16, -2.0, 5.5, 1e300):
            self.is_error(self.server.ask(TEXT, {**self.BASE, "seed": seed}), 400, "seed")

    def test_seed_by_chance(self):
        asked = {"prompt": "fox", "max_tokens": 30, "temperature": 5, "ignore_eos": True}
        for seed in ({}, {"seed": -1}, {"seed": None}):
            texts = {self.server.answer(TEXT, **asked, **seed)["choices"][0]["text"]
                     for _ in range(4)}
            self.assertGreater(len(texts), 1, seed)

    def test_ignored_and_null(self):
        right = self.server.answer(TEXT, **self.BASE)["choices"]
        for more in ({"user": "me"}, {"metadata": {"a": [1]}}, {"store": False}, {"n": 1},
                     {"n": None}, {"stop": None}, {"logprobs": None}, {"logit_bias": {}},
                     {"stop": []}, {"stream": False}, {"stream_options": None}, {"echo": False},
                     {"response_format": {"type": "text"}}, {"suffix": None}, {"best_of": 1},
                     {"top_p": None}, {"whatever": 1}):
            self.assertEqual(self.server.answer(TEXT, **{**self.BASE, **more})["choices"], right,
                             more)
        self.server.answer(CHAT, messages=user("fox"), max_tokens=1, tools=[], tool_choice="none",
                           logprobs=False, user="me")

    def test_errors(self):
        chat, text = {"messages": user("fox")}, {"prompt": "fox"}
        message = {"role": "user", "content": "x"}
        rows = [(CHAT, {}, "messages"), (CHAT, {"messages": []}, "messages"),
                (CHAT, {"messages": "x"}, "messages"),
                (CHAT, {"messages": [message] * 513}, "messages"),
                (CHAT, {"messages": [message, {"role": "robot", "content": "x"}]},
                 "messages[1].role"),
                (CHAT, {"messages": ["x"]}, "messages[0].role"),
                (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content"),
                (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
                (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
                 "messages[0].content"),
                (CHAT, {"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]},
                 "messages[0].tool_calls[0].function"),
                (TEXT, {}, "prompt"), (TEXT, {"prompt": ["a", "b"]}, "prompt"),
                (TEXT, {"prompt": [1, 2]}, "prompt"), (TEXT, {"prompt": ""}, "prompt"),
                (TEXT, {"prompt": "x " * 300}, "prompt"),
                (CHAT, {"messages": user("x " * 300)}, "messages")]
        wrong = {"model": [5], "max_tokens": [0, -3, 1.5, "5", True, 1 << 40],
                 "temperature": [-1, 101, "hot", True], "top_p": [0, 1.1, []], "top_k": [-2, 0.5],
                 "min_p": [-0.1, 2], "repeat_penalty": [0, 101], "repeat_last_n": [-2],
                 "presence_penalty": [101], "frequency_penalty": [-101], "seed": [-2, 1.5, "x"],
                 "stop": ["", 5, ["a", ""], ["a"] * 9, "x" * 129, {}], "stream": [1, "true"],
                 "stream_options": [True, {"include_usage": 1}], "n": [0, 9, "1"],
                 "deadline_ms": [0, -5, 86400001, "1"], "ignore_eos": [0],
                 "response_format": ["text", {}, {"type": "yaml"}], "logprobs": [6, "x"],
                 "logit_bias": [{"5": 101}], "grammar": ["root ::= x", 5, "root ::= ("],
                 "json_schema": [{"a": 1}, "x", {"type": "string", "pattern": 5}]}
        wrong_chat = {"tools": [{}, "x"], "tool_choice": ["required", {"a": 1}], "functions": [[{}]],
                      "max_completion_tokens": [0], "top_logprobs": [3],
                      "audio": [{"voice": "x"}]}
        wrong_text = {"suffix": ["x"], "echo": [True], "best_of": [2]}
        for path, base, table in ((CHAT, chat, wrong), (TEXT, text, wrong), (CHAT, chat, wrong_chat),
                                  (TEXT, text, wrong_text)):
            rows += [(path, {**base, field: value}, field) for field, values in table.items()
                     for value in values]
        client = self.server.client()
        for path, body, param in rows:
            with self.subTest(path=path, param=param, body=str(body)[:80]):
                self.is_error(ask(client, path, body), 400, param, kind="invalid_request_error")
        client.close()
        self.still_works()

    def test_context_is_named(self):
        _, _, body = self.server.ask(TEXT, {"prompt": "x " * 300})
        self.assertEqual(body["error"]["code"], "context_length_exceeded")
        self.assertIn("256", body["error"]["message"])


class Stops(Case):
    WILD = {"temperature": 3, "ignore_eos": True, "max_tokens": 120}

    def check(self, body, stop, right):
        whole = self.server.answer(TEXT, stop=stop, **body)
        objects = self.server.stream(TEXT, stop=stop, **body).all()
        self.assertEqual(whole["choices"][0]["text"], right, stop)
        self.assertEqual(text_of(objects), right, stop)
        return whole["choices"][0]["finish_reason"], objects[-1]["choices"][0]["finish_reason"]

    def test_over_borders_of_tokens(self):
        tried = 0
        for seed in range(4):
            body = {"prompt": "fox", "seed": seed, **self.WILD}
            text = self.server.answer(TEXT, **body)["choices"][0]["text"]
            for at in range(0, len(text) - 8, 7):
                for n in (1, 3, 8):
                    stop = text[at:at + n]
                    if "\ufffd" in stop or "\0" in stop or text.endswith(stop[:1]):
                        continue
                    reasons = self.check(body, stop, text[:text.index(stop)])
                    self.assertEqual(reasons, ("stop", "stop"))
                    tried += 1
        self.assertGreater(tried, 20)

    def test_what_looks_like_one(self):
        """The beginning of a stop text that does not go on is given out after all."""
        body = {"prompt": "fox", "seed": 1, **self.WILD}
        text = self.server.answer(TEXT, **body)["choices"][0]["text"]
        pieces = [text[i:i + 2] + "\u00fc" for i in range(0, len(text), len(text) // 8)]
        stops = [p for p in pieces if "\ufffd" not in p and "\0" not in p][:8]
        self.assertEqual(self.check(body, stops + [text[-1] + "\u00fc"][:8 - len(stops)], text),
                         ("length", "length"))

    def test_the_first_of_several(self):
        body = {"prompt": "fox", "seed": 2, **self.WILD}
        text = self.server.answer(TEXT, **body)["choices"][0]["text"]
        good = [i for i in range(10, 80) if "\ufffd" not in text[i:i + 4] and "\0" not in text[i:i + 4]]
        late, early = text[good[-1]:good[-1] + 4], text[good[0]:good[0] + 2]
        right = min(text.index(late), text.index(early))
        self.check(body, [late, early, "never there"], text[:right])

    def test_a_slot_is_free_again(self):
        """An answer that a text has ended does not go on behind the scenes, where it would take minutes."""
        server = self.start("--sessions", "1", "--queue", "0", "-c", 90000, model=LONG)
        body = {"prompt": "fox", "seed": 2, "temperature": 3, "ignore_eos": True}
        text = server.answer(TEXT, max_tokens=40, **body)["choices"][0]["text"]
        stop = next(c for c in text if c not in "\ufffd\0")
        began = time.monotonic()
        for _ in range(3):
            while server.ask(TEXT, {"stop": stop, **body})[0] == 429:
                time.sleep(0.02)
        self.assertLess(time.monotonic() - began, WAIT)
        self.ends_well(server)


class Together(Case):
    options = ("--sessions", "3", "--queue", "64")

    def test_as_alone(self):
        bodies = [{"prompt": "the quick brown fox jumps"[:3 + i], "max_tokens": 60 + i, "seed": i,
                   "temperature": i % 3 * 1.5} for i in range(20)]
        alone = [self.server.answer(TEXT, **body)["choices"] for body in bodies]

        def stream(body):
            objects = self.server.stream(TEXT, **body).all()
            return text_of(objects)

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            whole = list(pool.map(lambda body: self.server.answer(TEXT, **body)["choices"], bodies))
            streamed = list(pool.map(stream, bodies))
        self.assertEqual(whole, alone)
        self.assertEqual(streamed, [choices[0]["text"] for choices in alone])


class Time(Case):
    model, options = LONG, ("-c", "90000", "--sessions", "1", "--queue", "0")
    ENDLESS = {"prompt": "fox", "ignore_eos": True}  # for minutes of processor time

    def test_deadline_that_can_be_kept(self):
        for stream in (False, True):
            body = {**self.ENDLESS, "max_tokens": 5, "deadline_ms": 3600000}
            answer = (self.server.stream(TEXT, **body).all()[-1] if stream
                      else self.server.answer(TEXT, **body))
            told = answer["deadline"]
            self.assertEqual((told["deadline_ms"], told["ended_by_deadline"], told["max_tokens"]),
                             (3600000, False, 5))
            self.assertGreater(told["forecast_ms"], 0)
            self.assertEqual(answer["choices"][0]["finish_reason"], "length")

    def test_deadline_that_cannot(self):
        for stream in (False, True):
            reply = self.server.ask(TEXT, {**self.ENDLESS, "max_tokens": 80000, "deadline_ms": 5000,
                                           "stream": stream})
            self.is_error(reply, 422, "deadline_ms", "are enough", "deadline_error")
            forecast = reply[2]["error"]["forecast"]
            self.assertGreater(forecast["answer_ms"], 4000)
            self.assertGreaterEqual(forecast["enough_ms"], 1.15 * forecast["answer_ms"] - 0.01)
            self.assertLess(forecast["tokens"], 80000)
        self.still_works()

    def test_what_is_beside_a_token_counts(self):
        """A schema's masks and log-probabilities, of each token, in one server's forecasts: they add up."""
        def answer_ms(**more):
            reply = self.server.ask(TEXT, {"prompt": "fox", "max_tokens": 80000, "deadline_ms": 5000, **more})
            self.is_error(reply, 422, "deadline_ms", "are enough", "deadline_error")
            return reply[2]["error"]["forecast"]["answer_ms"]
        schema = {"json_schema": {"type": "array", "items": {"type": "string"}}}
        bare, masked = answer_ms(), answer_ms(**schema)
        told, most, all_ = answer_ms(logprobs=0), answer_ms(logprobs=5), answer_ms(logprobs=5, **schema)
        self.assertGreater(masked, bare)
        self.assertTrue(bare < told < most < all_)
        self.assertAlmostEqual(all_ - bare, masked - bare + most - bare, delta=1)
        self.still_works()

    def test_as_many_as_fit(self):
        """By the forecast, whatever that is on this machine now; all of them, unless it was late."""
        reply = self.server.ask(TEXT, {**self.ENDLESS, "max_tokens": 80000, "deadline_ms": 5000})
        enough = reply[2]["error"]["forecast"]["enough_ms"]
        answer = self.server.answer(TEXT, **self.ENDLESS, deadline_ms=int(enough / 200) + 1)
        told = answer["deadline"]
        self.assertTrue(0 < told["max_tokens"] < 80000, told)
        if not told["ended_by_deadline"]:
            self.assertEqual(answer["usage"]["completion_tokens"], told["max_tokens"])
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")

    def test_full_and_gone(self):
        stream = self.server.stream(TEXT, **self.ENDLESS)
        next(stream.events())
        status, headers, body = self.server.ask(TEXT, {"prompt": "x"})
        self.is_error((status, headers, body), 429, None, "try again", "rate_limit_error")
        self.assertTrue(1 <= int(headers["retry-after"]) <= 600)
        self.assertEqual(self.server.ask("/health")[0], 200)
        stream.hang_up()
        self.soon_free()

    def test_who_leaves_before_the_answer(self):
        client = self.server.client()
        client.request("POST", TEXT, json.dumps(self.ENDLESS), JSON)
        self.soon(lambda: self.server.metric("sessions_taken") == 1)
        client.close()
        self.soon_free()

    def soon_free(self):
        """Long before the answer would have been whole."""
        self.soon(lambda: self.server.ask(TEXT, {"prompt": "x", "max_tokens": 1})[0] == 200)


# ---- clients that are wrong --------------------------------------------------------------------

def head(method, path, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_all(sock):
    """What comes until the end; the end may be a reset."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


class Rude(Case):
    options = ("--connections", "40")
    BODY = json.dumps({"prompt": "fox", "max_tokens": 2}).encode()

    def exchange(self, data, then_leaves=False):
        """What comes until the server closes the connection. Who says that no more will come from
        him is taken to be gone."""
        with self.server.connect() as sock:
            sock.sendall(data)
            if then_leaves:
                sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def tearDown(self):
        self.still_works()

    def test_no_such_thing(self):
        for path in ("/x", "/v1", "/v1/models/", "/health/x", "/v1/responses", "/%2e/x", "/..//etc"):
            self.is_error(self.server.ask(path), 404)
        self.is_error(self.server.ask("/nope", {"a": 1}), 404)
        self.assertEqual(self.server.ask("/%00")[0], 200)  # libwebsockets ends the path there: "/"

    def test_methods(self):
        for method, path, allowed in (("POST", "/health", "GET"), ("GET", CHAT, "POST"),
                                      ("DELETE", TEXT, "POST"), ("PUT", TEXT, "POST"),
                                      ("OPTIONS", TEXT, "POST")):
            reply = self.server.ask(path, b"{}" if method in ("POST", "PUT") else None,
                                    method=method)
            self.is_error(reply, 405)
            self.assertEqual(reply[1]["allow"], allowed)
            self.assertNotIn("access-control-allow-origin", reply[1])

    def test_head(self):
        """As GET, but without the body: on the same connection the next reply is whole."""
        client = self.server.client()
        for path, status in (("/health", 200), ("/v1/models", 200), ("/nope", 404)):
            got = ask(client, path)
            self.assertEqual(got[0], status)
            client.request("HEAD", path)
            response = client.getresponse()
            self.assertEqual((response.status, response.read()), (status, b""))
            self.assertEqual(response.getheader("Content-Length"), got[1]["content-length"])
        self.assertEqual(ask(client, "/health")[2], {"status": "ok"})
        client.request("HEAD", TEXT)
        self.assertEqual(client.getresponse().status, 405)
        client.close()

    def test_media(self):
        for kind, status in (("text/plain", 415), ("application/x-www-form-urlencoded", 415),
                             ("application/jsonx", 415), ("", 415), ("application/json", 200),
                             ("Application/JSON; charset=utf-8", 200)):
            self.assertEqual(self.server.ask(TEXT, self.BODY, {"Content-Type": kind})[0], status,
                             kind)
        self.is_error(self.server.ask(TEXT, self.BODY, {"Content-Encoding": "gzip"}), 415, None, "Content-Encoding")

    def test_no_json(self):
        for body in (b"", b"{", b"[]", b"5", b'"x"', b"{}x", b'{"prompt": "a", "prompt": "b"}',
                     b'{"prompt": "\xff"}', b'{"prompt": "\\u0000"}', b'{"prompt": "\\ud800"}',
                     b"\0" * 100, b"[" * 33 + b"]" * 33, b"[" * 100000,
                     b'{"x":' * 20000, b'{"prompt": 1e999}', b'{"prompt": nan}'):
            self.is_error(self.server.ask(TEXT, body), 400, None, "body")
        self.is_error(self.server.ask(TEXT, b""), 400, None, "is empty")

    def test_many_values(self):
        self.is_error(self.server.ask(TEXT, b'{"x": [' + b"1," * 9000 + b"1]}"), 413, None, "values")

    def test_lengths(self):
        for headers, status in ((b"", b"411"), (b"Transfer-Encoding: gzip\r\n", b"411"),
                                (b"Transfer-Encoding: gzip, chunked\r\n", b"411"),
                                (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", b"411"),
                                (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"411"),
                                (b"Content-Length: -5\r\n", b"411"),
                                (b"Content-Length: 5x\r\n", b"411"),
                                (b"Content-Length: 99999999999999999999\r\n", b"411")):
            data = (b"POST " + TEXT.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
                    b"Content-Type: application/json\r\n" + headers + b"\r\n")
            for more in (b"", b"5\r\nhello\r\n0\r\n\r\n", self.BODY):  # it may be there already
                answer = self.exchange(data + more)
                self.assertTrue(answer.startswith(b"HTTP/1.1 " + status), (headers, more, answer))

    def test_blanks_around_values(self):
        """As HTTP has it, they are no part of them."""
        for framing, body in ((b"Content-Length:  %d\t " % len(self.BODY), self.BODY),
                              (b"Transfer-Encoding: \tchunked ", self.in_chunks(self.BODY, 9))):
            got = self.exchange(b"POST " + TEXT.encode() + b" HTTP/1.1\r\nHost: localhost \r\n"
                                b"Content-Type: application/json\t\r\nConnection: close\r\n" + framing
                                + b"\r\n\r\n" + body)
            self.assertTrue(got.startswith(b"HTTP/1.1 200 "), (framing, got))

    def in_chunks(self, body, size):
        pieces = [body[i:i + size] for i in range(0, len(body), size)]
        return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"

    def ask_in_chunks(self, data, path=TEXT):
        """Status and all of the reply. It ends the connection, since libwebsockets knows no chunks."""
        got = self.exchange(head("POST", path, Transfer_Encoding="chunked",
                                 Content_Type="application/json") + data)
        self.assertIn(b"\r\nconnection: close\r\n", got)
        return int(got.split()[1]), got

    def test_chunks(self):
        """As some clients send what they have not counted."""
        long = json.dumps({"prompt": "fox", "max_tokens": 2, "user": "y" * 50000}).encode()
        for body, size in ((self.BODY, 1), (self.BODY, 7), (self.BODY, 999), (long, 4000), (long, 99999)):
            status, got = self.ask_in_chunks(self.in_chunks(body, size))
            self.assertEqual((status, b'"usage":' in got), (200, True), size)
        more = self.in_chunks(self.BODY, 9).replace(b"9\r\n", b"09;a=\"b\"\r\n", 1)[:-2] + b"Trailer: x\r\n\r\n"
        self.assertEqual(self.ask_in_chunks(more)[0], 200)
        self.assertEqual(self.ask_in_chunks(self.in_chunks(b"{", 1))[0], 400)
        self.assertEqual(self.ask_in_chunks(b"0\r\n\r\n")[0], 400)  # no JSON
        client = self.server.client()  # one of those: it sends what it has no length of in chunks
        client.request("POST", TEXT, iter([self.BODY[:9], self.BODY[9:]]), JSON, encode_chunked=True)
        self.assertEqual(client.getresponse().status, 200)
        client.close()

    def test_chunks_that_come_slowly(self):
        whole = head("POST", TEXT, Transfer_Encoding="chunked", Content_Type="application/json",
                     Expect="100-continue")
        with self.server.connect() as sock:
            sock.sendall(whole)
            self.assertEqual(sock.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n")
            for byte in self.in_chunks(self.BODY, 5):
                sock.sendall(bytes([byte]))
            self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 200 "))

    def test_wrong_chunks(self):
        for data in (b"x\r\n", b"\r\n", b"-1\r\n", b"5\nhello\r\n", b"5\r\nhelloo\r\n", b"1" * 9 + b"\r\n",
                     b"0x5\r\nhello", b"5\r\nhello0\r\n\r\n", b"1;" + b"y" * 5000, b"0\r\na: b\n\r\n",
                     b"0\r\n" + b"a: b\r\n" * 2000):
            status, got = self.ask_in_chunks(data)
            self.assertEqual(status, 400, data[:40])
            self.assertIn(b"chunks", got)
        most = 256 * 1024
        self.assertEqual(self.ask_in_chunks(b"%x\r\n" % (2 * most) + b"y" * (2 * most) + b"\r\n0\r\n\r\n")[0], 413)
        over = b"1\r\n\r\r\n" * 9 + b"%x\r\n%s\r\n0\r\n\r\n" % (most - 8, b"y" * (most - 8))
        self.assertEqual(self.ask_in_chunks(over)[0], 413)
        inner = self.in_chunks(self.BODY, 9) + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        got = self.exchange(head("POST", TEXT, Transfer_Encoding="chunked",
                                 Content_Type="application/json") + inner)
        self.assertNotIn(b'"status":"ok"', got)  # nothing of it is a request of its own

    def test_no_request_in_a_body(self):
        """Where others may see a body, nothing is taken for the next request."""
        inner = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for headers in (b"Transfer-Encoding: chunked", b"Content-Length: 5x", b"Content-Length: -1",
                        b"Content-Length: %d\r\nContent-Length: 0" % len(inner),
                        b"Content-Length: 0\r\nTransfer-Encoding: chunked",
                        b"Content-Length: %d" % len(inner)):
            for path, status in (b"/health", b"400"), (b"/nope", b"404"):
                answer = self.exchange(b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n%s"
                                       % (path, headers, inner))
                self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", answer), [status], headers)

    def test_heads_alone(self):
        with self.server.connect() as sock:
            sock.sendall(head("HEAD", "/nope") + head("GET", "/health"))
            sock.shutdown(socket.SHUT_WR)
            self.assertRegex(read_all(sock),
                             rb"(?s)\AHTTP/1.1 404 [^{]*\r\n\r\nHTTP/1.1 200 .*}\Z")

    def test_large_bodies(self):
        most = 256 * 1024
        prompt = json.dumps({"prompt": "x", "user": "y" * (most - 40)}).encode()
        self.assertLessEqual(len(prompt), most)
        self.assertEqual(self.server.ask(TEXT, prompt + b" " * (most - len(prompt)))[0], 200)
        self.is_error(self.server.ask(TEXT, prompt + b" " * (most + 1 - len(prompt))), 413, None,
                      "--max-body")

    def test_a_hundred_megabytes(self):
        self.is_error(self.server.ask(TEXT, b" " * 100_000_000), 413, None, "100000000")

    def test_nobody_waits_for_a_refused_body(self):
        with self.server.connect() as sock:
            sock.sendall(head("POST", TEXT, Content_Length=10**9, Content_Type="application/json",
                              Expect="100-continue"))
            self.assertTrue(sock.recv(65536).startswith(b"HTTP/1.1 413 "))

    def test_expect(self):
        with self.server.connect() as sock:
            sock.sendall(head("POST", TEXT, Content_Length=len(self.BODY), Expect="100-continue",
                              Content_Type="application/json"))
            self.assertEqual(sock.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n")
            sock.sendall(self.BODY)
            self.assertTrue(sock.recv(65536).startswith(b"HTTP/1.1 200 "))
        for version, expected in ((b"1.0", b"100-continue"), (b"1.1", b"something")):
            answer = self.exchange(b"POST %s HTTP/%s\r\nContent-Type: application/json\r\nExpect: %s\r\n"
                                   b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
                                   % (TEXT.encode(), version, expected, len(self.BODY), self.BODY))
            self.assertRegex(answer, rb"\AHTTP/1.[01] 200 ")

    def test_old_http(self):
        """It knows no chunks: the answer ends with the connection, even if it wants to keep that."""
        body = self.BODY
        for more in (b"", b"Connection: keep-alive\r\n"):
            answer = self.exchange(b"POST %s HTTP/1.0\r\nContent-Type: application/json\r\n%s"
                                   b"Content-Length: %d\r\n\r\n%s" % (TEXT.encode(), more, len(body),
                                                                    body))
            start, _, content = answer.partition(b"\r\n\r\n")
            self.assertRegex(start, rb"\AHTTP/1\.[01] 200 ")
            self.assertNotIn(b"chunked", start.lower())
            self.assertIn("usage", json.loads(content))

    def test_kept_alive(self):
        client = self.server.client()
        for _ in range(3):
            self.assertEqual(ask(client, "/health")[0], 200)
            self.assertEqual(ask(client, TEXT, self.BODY)[0], 200)
            self.assertEqual(ask(client, TEXT, b"{")[0], 400)
            self.assertEqual(ask(client, "/nope")[0], 404)
        client.close()

    def test_more_than_was_said(self):
        """Bytes behind a body while its answer is made: the connection ends, nothing else."""
        data = head("POST", TEXT, Content_Length=len(self.BODY), Content_Type="application/json")
        for more in (b"x" * 10, data + self.BODY, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            self.exchange(data + self.BODY + more, True)
        self.exchange(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5, True)

    def test_no_http(self):
        tls = bytes.fromhex("16030100c8010000c40303") + bytes(range(200))
        h2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40)
        for data in (b"\r\n\r\n", b"\0" * 5000, b"GET", tls, h2, b"FOO / HTTP/1.1\r\n\r\n",
                     b"GET health HTTP/1.1\r\n\r\n", b"GET /health\r\n\r\n", b"x" * 100000,
                     b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 5000,
                     b"GET /" + b"a" * 60000 + b" HTTP/1.1\r\n\r\n"):
            with contextlib.suppress(OSError):
                self.exchange(data, True)

    def test_upgrades(self):
        for kind, more in (("websocket", {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
                                          "Sec_WebSocket_Version": 13}),
                           ("h2c", {"HTTP2_Settings": "AAMAAABkAAQAAP__"}), ("x", {})):
            answer = self.exchange(head("GET", "/health", Connection="Upgrade", Upgrade=kind, **more),
                                   True)
            self.assertNotIn(b" 101 ", answer)

    def test_half_sent(self):
        whole = head("POST", TEXT, Content_Length=len(self.BODY),
                     Content_Type="application/json") + self.BODY
        open_ones = []
        for n in (0, 5, 30, len(whole) - 5):
            sock = self.server.connect()
            sock.sendall(whole[:n])
            open_ones.append(sock)
        self.still_works()
        open_ones[2].sendall(whole[30:])  # late, but whole
        self.assertTrue(open_ones[2].recv(65536).startswith(b"HTTP/1.1 200 "))
        for sock in open_ones:
            sock.close()

    def test_byte_by_byte(self):
        whole = head("POST", TEXT, Content_Length=len(self.BODY),
                     Content_Type="application/json") + self.BODY
        with self.server.connect() as sock:
            for byte in whole:
                sock.sendall(bytes([byte]))
            self.assertTrue(sock.recv(65536).startswith(b"HTTP/1.1 200 "))

    def test_too_many_connections(self):
        self.soon(lambda: self.server.metric("connections") == 1)  # those of other tests are gone
        kept = [self.server.connect() for _ in range(39)]
        self.soon(lambda: self.server.metric("connections") == 40)  # and who asks is answered
        kept += [self.server.connect() for _ in range(4)]
        kept[-1].settimeout(WAIT)
        self.assertTrue(read_all(kept[-1]).startswith(b"HTTP/1.1 503 "))
        for sock in kept:
            sock.close()
        self.soon(lambda: self.server.metric("connections") == 1)


class SlowReaders(Case):
    model, options = LONG, ("-c", "90000", "--reader-timeout", "1")

    def test_is_cut_off(self):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(WAIT)
        sock.connect(("127.0.0.1", self.server.port))
        body = json.dumps({"prompt": "fox", "stream": True, "ignore_eos": True,
                           "max_tokens": 20000}).encode()
        sock.sendall(head("POST", TEXT, Content_Length=len(body),
                          Content_Type="application/json") + body)
        self.soon(lambda: self.server.metric("connections") == 2)
        self.still_works()
        self.soon(lambda: self.server.metric("connections") == 1)
        self.still_works()
        got = read_all(sock)
        self.assertTrue(got.startswith(b"HTTP/1.1 200 "))
        self.assertNotIn(b"[DONE]", got)
        sock.close()

    def test_a_pause_is_none(self):
        """Who comes back in time, which is plenty on a busy machine too, gets all of it."""
        server = self.start("-c", "90000", "--reader-timeout", WAIT, model=LONG)
        stream = server.stream(TEXT, prompt="fox", ignore_eos=True, max_tokens=5000)
        events = stream.events()
        next(events)
        time.sleep(0.5)
        self.assertEqual(list(events)[-1], "[DONE]")
        stream.hang_up()
        self.ends_well(server)


# ---- start and end -----------------------------------------------------------------------------

class Start(Case):
    def fails(self, code, *arguments, words, **options):
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=WAIT)
        self.assertEqual((process.returncode, out), (code, b""), err)
        self.assertRegex(err.decode(), r"\Aedgellm: [^\n]+\n\Z")
        self.assertIn(words, err.decode())
        return err.decode()

    def test_the_port_is_taken(self):
        self.fails(IO, "--port", self.server.port, words="in use")

    def test_places(self):
        self.fails(USAGE, "--host", "0.0.0.0", "--port", "0", words="--insecure")
        self.fails(IO, "--host", "no such host", "--insecure", "--port", "0", words="no such host")
        self.fails(IO, "--host", "192.0.2.1", "--insecure", "--port", "0", words="cannot listen")
        server = self.start("--host", "0.0.0.0", "--insecure")
        self.still_works(server)
        self.ends_well(server)

    def test_models(self):
        self.fails(IO, "--port", "0", model=str(OUT / "none.bin"), words="none.bin")
        bad = OUT / "bad.tm2.bin"
        bad.write_bytes(pathlib.Path(TINY).read_bytes()[:-100])
        self.fails(FORMAT, "--port", "0", model=str(bad), words="bad.tm2.bin")
        said = self.fails(MEMORY, "--port", "0", "--max-ram", "1M", words="1048576")
        sessions = int(re.search(r"needs (\d+) bytes", said).group(1))
        self.fails(MEMORY, "--port", "0", "--max-ram", str(sessions + (8 << 20)), "--connections",
                   "500", words="--max-ram")

    def test_unix_socket(self):
        path = OUT / "s.sock"
        for _ in range(2):
            server = self.start(place=("--unix", path))
            self.assertIn(f"unix:{path}", server.line)
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(WAIT)
                sock.connect(str(path))
                sock.sendall(head("GET", "/health"))
                self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 200 "))
            self.fails(IO, "--unix", path, words="in use")
            server.process.kill()  # it leaves the socket behind: the next one takes its place
            server.process.communicate()
        server = self.start(place=("--unix", path))
        self.ends_well(server)
        self.assertFalse(path.exists())
        server = self.start(place=("--unix", path))
        path.unlink()
        other = self.start(place=("--unix", path))
        self.ends_well(server)
        self.assertTrue(path.exists())  # it is the other's
        self.ends_well(other)
        self.fails(USAGE, "--unix", "x" * 200, words="--unix")

    def test_files(self):
        """Connections need files: as many as may be, or a word at the start."""
        def limit(soft, hard):
            return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.fails(IO, "--port", "0", preexec_fn=limit(40, 40), words="ulimit -n")
        server = self.start(preexec_fn=limit(20, 100))
        kept = [server.connect() for _ in range(63)]
        self.still_works(server)
        for sock in kept:
            sock.close()
        self.ends_well(server)

    def test_most_connections(self):
        """As many as there may be, where the system permits so many files."""
        def permit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, most), most))
        self.fails(USAGE, "--port", "0", "--connections", 32769, words="32768")
        self.fails(USAGE, "--port", "0", "--connections", 0, words="32768")
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most != resource.RLIM_INFINITY and most < 32768 + 16:
            self.fails(IO, "--port", "0", "--connections", 32768, words="32768 connections", preexec_fn=permit)
            return
        server = self.start("--connections", 32768, preexec_fn=permit)
        self.assertIn(", 32768 connections of at most ", server.line)
        self.still_works(server)
        self.ends_well(server)

    def loading(self, calibrate_ms):
        """A server that has just begun, and its first reply. Its place is known before it says so."""
        server = UnixServer.__new__(UnixServer)
        server.path = OUT / "loading.sock"
        server.process = start("--unix", server.path, "--calibrate", calibrate_ms)
        self.addCleanup(server.process.communicate)
        self.addCleanup(server.process.kill)
        until, reply = time.monotonic() + WAIT, None
        while reply is None and time.monotonic() < until:
            with contextlib.suppress(FileNotFoundError, ConnectionError):
                reply = server.ask("/health")
        return server, reply

    def is_loading(self, reply):
        self.assertEqual((reply[0], reply[2]["error"]["code"], reply[2]["error"]["message"],
                          reply[2]["error"]["type"]),
                         (503, 503, "Loading model", "unavailable_error"))

    def test_loading(self):
        """Whoever asks then is told so; here it would take a minute."""
        server, reply = self.loading(calibrate_ms=60000)
        self.is_loading(reply)
        self.is_error(server.ask(TEXT, {"prompt": "x"}), 503, None, "Loading")
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.communicate(timeout=WAIT)[0], b"")

    def test_loaded(self):
        """Until it is ready, and from then on it answers."""
        server, reply = self.loading(calibrate_ms=300)
        while reply[0] != 200:
            self.is_loading(reply)
            reply = server.ask("/health")
        self.assertIn(b"edgellm: tiny at ", server.process.stdout.readline())
        self.still_works(server)
        self.ends_well(server)

    def test_who_started_it_is_told(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(OUT / "notify"))
            sock.settimeout(WAIT)
            server = self.start(env={**os.environ, "NOTIFY_SOCKET": str(OUT / "notify")})
            self.assertEqual(sock.recv(100), b"READY=1")
            self.ends_well(server)
            self.assertEqual(sock.recv(100), b"STOPPING=1")

    def test_libraries(self):
        for program, needs in ((EDGELLM, False), (EDGELLM + "-serve", True)):
            done = subprocess.run(["readelf", "-d", "-W", program], capture_output=True, check=True)
            self.assertEqual(b"libwebsockets" in done.stdout, needs, program)


class Keys(Case):
    def check(self, server, right, wrong):
        self.assertEqual(server.ask("/health")[0], 200)
        for key in wrong:
            headers = {} if key is None else {"Authorization": key}
            for path, body in (("/v1/models", None), (TEXT, {"prompt": "x", "max_tokens": 1})):
                reply = server.ask(path, body, headers)
                self.is_error(reply, 401, None, "Bearer", "authentication_error")
                self.assertEqual(reply[1]["www-authenticate"], "Bearer")
        for key in right:
            headers = {"Authorization": f"Bearer {key}"}
            self.assertEqual(server.ask("/v1/models", headers=headers)[0], 200)
            reply = server.ask(TEXT, {"prompt": "x", "max_tokens": 1}, headers)
            self.assertEqual(reply[0], 200)
        self.ends_well(server)

    def test_of_a_file(self):
        path = OUT / "keys"
        path.write_text("# ours\n\n  alpha\nbeta  \n")
        server = self.start("--host", "0.0.0.0", "--api-key-file", path)
        self.check(server, ["alpha", "beta", "alpha "],
                   [None, "", "alpha", "Bearer", "Bearer ", "Bearer alph", "Bearer alphaa",
                    "Bearer # ours", "Basic alpha", "Bearer " + "x" * 600, "Bearer alpha beta"])

    def test_of_the_environment(self):
        server = self.start("--host", "0.0.0.0", env={**os.environ, "EDGELLM_API_KEY": " s3cret\r\n"})
        self.check(server, ["s3cret"], [None, "Bearer secret"])
        for host in ("127.0.0.1", "0.0.0.0"):
            process = start("--port", "0", "--host", host, env={**os.environ, "EDGELLM_API_KEY": " \n"})
            _, err = process.communicate(timeout=WAIT)
            self.assertEqual(process.returncode, USAGE)
            self.assertIn(b"EDGELLM_API_KEY is blank", err)

    def test_bad_files(self):
        path = OUT / "bad keys"
        for text, code in (("# none\n", USAGE), ("x" * 300, USAGE), ("k\n" * 65, USAGE),
                           ("k\n# " + "words " * 100, USAGE), ("k" + " " * 600 + "x\n", USAGE),
                           ("k\0k\0\n" * 99, USAGE), (None, IO)):
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
            process = start("--port", "0", "--api-key-file", path)
            _, err = process.communicate(timeout=WAIT)
            self.assertEqual(process.returncode, code, err)
            self.assertIn(b"key", err)


class End(Case):
    LONG_ONE = {"prompt": "fox", "ignore_eos": True, "max_tokens": 3000}
    ENDLESS = {"prompt": "fox", "ignore_eos": True}

    def long_server(self, *arguments):
        return self.start("-c", "90000", *arguments, model=LONG)

    def test_idle(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.start()
            client = server.client()
            self.assertEqual(ask(client, "/health")[0], 200)  # a connection that is kept
            self.ends_well(server, number)
            client.close()

    def test_what_runs_may_end(self):
        server = self.long_server("--drain", "600")
        stream = server.stream(TEXT, **self.LONG_ONE)
        events = stream.events()
        next(events)
        server.process.send_signal(signal.SIGTERM)
        self.soon_ending(server)
        reply = None
        with contextlib.suppress(ConnectionError):  # unless it was over before
            reply = server.ask(TEXT, {"prompt": "x"})
        if reply is not None:
            self.is_error(reply, 503, None, "shutting down", "unavailable_error")
        rest = list(events)
        self.assertEqual(rest[-1], "[DONE]")
        self.assertEqual(json.loads(rest[-2])["timings"]["predicted_n"], 3000)
        stream.hang_up()
        self.ends_well(server, None)

    def test_new_ones_are_refused(self):
        server = self.long_server("--drain", "60")
        stream = server.stream(TEXT, **self.ENDLESS)
        next(stream.events())
        server.process.send_signal(signal.SIGTERM)
        self.soon_ending(server)
        self.is_error(server.ask(TEXT, {"prompt": "x"}), 503, None, "shutting down")
        self.is_error(server.ask("/health"), 503, None, "shutting down")
        stream.hang_up()
        self.ends_well(server, None)

    def test_not_for_ever(self):
        server = self.long_server("--drain", "1")
        stream, whole = server.stream(TEXT, **self.ENDLESS), server.client()
        whole.request("POST", TEXT, json.dumps(self.ENDLESS), JSON)
        events = stream.events()
        next(events)
        self.soon(lambda: server.metric("sessions_taken") == 2)
        server.process.send_signal(signal.SIGTERM)
        last = list(events)[-1]
        self.assertIn("shutting down", json.loads(last)["error"]["message"])
        self.assertEqual(whole.getresponse().status, 503)
        whole.close()
        stream.hang_up()
        self.ends_well(server, None)

    def test_a_second_signal(self):
        server = self.long_server("--drain", "3600")
        stream = server.stream(TEXT, **self.ENDLESS)
        next(stream.events())
        server.process.send_signal(signal.SIGTERM)
        self.soon_ending(server)
        self.assertIsNone(server.process.poll())
        self.ends_well(server, signal.SIGINT)
        stream.hang_up()


class Faults(Case):
    """The system fails it at the start. (Not for lack of memory within libwebsockets, which 4.1 does
    not survive everywhere.)"""

    def start_failing(self, call, n, how, mark):
        variables = {"LD_PRELOAD": INJECT, "EDGELLM_FAULT": f"{call}:{n}:{how}",
                     "EDGELLM_FAULT_MARK": str(mark)}
        mark.unlink(missing_ok=True)
        return Server("-j", "1", env={**os.environ, **variables})

    def test_every_call(self):
        mark = OUT / "mark"
        for call, how, codes in (("open", 24, {0, IO}), ("mmap", 12, {MEMORY}),
                                 ("thread", 11, {MEMORY}), ("read", 5, {0, IO})):
            n, step = 1, 1
            while True:
                server = self.start_failing(call, n, how, mark)
                if server.port:
                    self.still_works(server)
                out, err, code = server.end()
                if not mark.exists():
                    self.assertEqual((out, err, code), (b"", b"", 0))
                    break
                self.assertIn(code, codes, (call, n, err))
                self.assertRegex(err.decode(), r"\A(edgellm: [^\n]+\n)?\Z")
                self.assertEqual(bool(err), code != 0)
                n += step
                step = 1 + n // 8
            self.assertGreater(n, 1, call)


if INJECT is None:  # calls cannot be replaced in this build
    del Faults


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
