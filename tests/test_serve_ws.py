#!/usr/bin/env python3
"""/v1/stream, the WebSocket of `edgellm serve`, from outside: that answers are those of `edgellm run`,
that nothing is lost or doubled when connections are, and how it fares with clients that are wrong,
slow, rude or gone.

    python3 tests/test_serve_ws.py EDGELLM MAKE_TINY OUT_DIR

Standard library only; how a server is started is test_serve.py's, the client ws_client.py's.
"""
import base64
import contextlib
import json
import math
import os
import re
import signal
import socket
import struct
import sys
import time
import unittest

import test_serve as serve
import ws_client
from test_serve import LONG, TINY, WAIT, run, user
from ws_client import BINARY, CLOSE, PING, PONG, TEXT, Closed, Refused, frame, text_of

setUpModule = serve.setUpModule
FOX = {"prompt": "the quick brown fox", "seed": 5}
RUN = ("the quick brown fox", "--raw", "-s", 5)
ENDLESS = {"prompt": "fox", "ignore_eos": True, "temperature": 5}


class Case(serve.Case):
    def setUp(self):
        self.clients = []

    def connect(self, server=None, **options):
        client = ws_client.connect((server or self.server).port, timeout=WAIT, **options)
        self.clients.append(client)
        self.addCleanup(client.close)
        return client

    def ends_well(self, server, number=signal.SIGTERM):
        for client in self.clients:  # who is there, and says nothing, is waited for
            client.close()
        super().ends_well(server, number)

    def is_refused(self, status, words="", server=None, **options):
        with self.assertRaises(Refused) as caught:
            self.connect(server, **options)
        self.assertEqual(caught.exception.status, status)
        error = json.loads(caught.exception.body)["error"]
        self.assertIn(words, error["message"])

    def error_of(self, message, status, param=None, name=None, ends=None):
        self.assertEqual((message["type"], message["status"]), ("error", status), message)
        self.assertEqual((message.get("id"), message.get("ends")), (name, ends), message)
        self.assertEqual(message["error"]["param"], param, message)
        self.assertTrue(message["error"]["message"] and message["error"]["code"])
        return message["error"]

    def is_closed(self, client, code):
        with self.assertRaises(Closed) as caught:
            while True:
                client.receive()
        self.assertEqual(caught.exception.code, code)

    def is_gone(self, client):
        """The connection ends, perhaps without a word."""
        with self.assertRaises((Closed, OSError)) as caught:
            while True:
                client.receive()
        self.assertNotIsInstance(caught.exception, socket.timeout)

    def stream_works(self, client=None):
        answer = (client or self.connect()).ask(id="works", **FOX, max_tokens=3)
        self.assertEqual(answer["last"]["type"], "done")

    def begin(self, client, name, **body):
        """A request that has made a token."""
        client.send(type="request", id=name, **body)
        accepted = client.receive()
        self.assertEqual((accepted["type"], accepted["id"]), ("accepted", name), accepted)
        first = client.receive()
        self.assertEqual((first["type"], first["id"], first["index"]), ("token", name, 0), first)
        return accepted

    def rest(self, client, name):
        """Its tokens and end, whatever else comes."""
        tokens = []
        while True:
            message = client.receive()
            if message.get("id") != name:
                continue
            if message["type"] == "token":
                tokens.append(message)
            elif message["type"] in ("done", "error"):
                return tokens, message


# ---- answers -----------------------------------------------------------------------------------

class Answers(Case):
    def test_one(self):
        answer = self.connect().ask(id="r1", **FOX, max_tokens=20)
        right = run(*RUN, "-n", 20)
        self.assertEqual([t["token"] for t in answer["tokens"]], right["tokens"])
        self.assertEqual([t["index"] for t in answer["tokens"]], list(range(20)))
        self.assertEqual(text_of(answer), right["text"])
        self.assertRegex(answer["accepted"]["resume"], r"\A[0-9a-f]{32}\Z")
        done, n = answer["last"], right["prompt_tokens"]
        self.assertEqual(answer["accepted"]["prompt_tokens"], n)
        self.assertEqual((done["type"], done["finish_reason"]), ("done", "length"))
        cached = done["usage"].pop("prompt_tokens_details")["cached_tokens"]
        self.assertEqual((done["timings"]["cache_n"], done["timings"]["prompt_n"]), (cached, n - cached))
        self.assertEqual(done["usage"], {"prompt_tokens": n, "completion_tokens": 20,
                                         "total_tokens": n + 20})
        self.assertEqual(done["timings"]["predicted_n"], 20)
        self.assertNotIn("deadline", done)

    def test_times(self):
        answer = self.connect().ask(id="r1", **FOX, max_tokens=20, ignore_eos=True)
        times, timings = [t["at_ms"] for t in answer["tokens"]], answer["last"]["timings"]
        self.assertEqual(times, sorted(times))
        self.assertAlmostEqual(times[0], timings["queue_ms"] + timings["prompt_ms"], places=2)
        self.assertAlmostEqual(times[-1] - times[0], timings["predicted_ms"], places=2)

    def test_messages_and_both(self):
        answer = self.connect().ask(id="chat", messages=user("the fox"), max_tokens=9, temperature=0)
        self.assertEqual(text_of(answer), run("the fox", "-n", 9, "-t", 0)["text"])

    def test_characters_and_ends(self):
        """Tokens that make parts of characters; ends that the model finds."""
        wild = {"temperature": 100, "top_k": 0, "top_p": 1, "min_p": 0, "repeat_penalty": 1}
        options = ("-t", 100, "--top-k", 0, "--top-p", 1, "--min-p", 0, "--repeat-penalty", 1)
        client = self.connect()
        for seed in range(4):
            right = run("fox", "--raw", "-n", 200, "-s", seed, *options)
            answer = client.ask(id="w", prompt="fox", max_tokens=200, seed=seed, **wild)
            self.assertEqual(text_of(answer), right["text"])
            self.assertEqual([t["token"] for t in answer["tokens"]], right["tokens"])
            self.assertEqual(answer["last"]["finish_reason"],
                             {"length": "length", "end": "stop"}[right["finish"]])

    def test_stop(self):
        whole = run(*RUN, "-n", 30)["text"]
        stop = re.search("[a-z]{2}", whole[3:]).group()
        answer = self.connect().ask(id="s", **FOX, max_tokens=30, stop=stop)
        self.assertEqual(text_of(answer), whole[:whole.index(stop)])
        self.assertEqual(answer["last"]["finish_reason"], "stop")

    def test_logprobs(self):
        """Certain tokens have 0, and greedy ones are no worse than others; the same at each run."""
        client = self.connect()
        greedy = client.ask(id="g", prompt="fox", max_tokens=12, temperature=0, repeat_penalty=1,
                            logprobs=True)
        again = client.ask(id="g", prompt="fox", max_tokens=12, temperature=0, repeat_penalty=1,
                            logprobs=True)
        values = [t["logprob"] for t in greedy["tokens"]]
        self.assertEqual(values, [t["logprob"] for t in again["tokens"]])
        for value in values:
            self.assertLessEqual(value, 0)
            self.assertGreater(value, -math.log(100000))
        first = {}  # of the first token, by which it was: they are a distribution
        for seed in range(60):
            one = client.ask(id="o", prompt="fox", max_tokens=1, temperature=3, top_k=0, top_p=1,
                             min_p=0, seed=seed, ignore_eos=True, logprobs=True)["tokens"][0]
            self.assertEqual(first.setdefault(one["token"], one["logprob"]), one["logprob"])
            self.assertLessEqual(one["logprob"], values[0])
        self.assertGreater(len(first), 5)
        self.assertLessEqual(sum(math.exp(p) for p in first.values()), 1 + 1e-6)
        without = client.ask(id="n", prompt="fox", max_tokens=3)
        self.assertNotIn("logprob", without["tokens"][0])

    def test_several_at_once(self):
        client = self.connect()
        names = [f"r{i}" for i in range(10)]  # four run, six wait
        for i, name in enumerate(names):
            client.send(type="request", id=name, prompt="the fox", seed=i, max_tokens=30)
        tokens, open_ones = {name: [] for name in names}, set(names)
        while open_ones:
            message = client.receive()
            if message["type"] == "token":
                self.assertEqual(message["index"], len(tokens[message["id"]]))
                tokens[message["id"]].append(message["token"])
            elif message["type"] == "done":
                open_ones.remove(message["id"])
            else:
                self.assertEqual(message["type"], "accepted")
        for i, name in enumerate(names):
            self.assertEqual(tokens[name], run("the fox", "--raw", "-s", i, "-n", 30)["tokens"])

    def test_beside_http(self):
        client = self.connect()
        client.send(type="request", id="a", **FOX, max_tokens=40)
        right = run(*RUN, "-n", 40)
        got = self.server.answer(serve.TEXT, **FOX, max_tokens=40)
        self.assertEqual(got["choices"][0]["text"], right["text"])
        self.assertEqual(text_of(client.follow("a")), right["text"])

    def test_ping_and_pong(self):
        client = self.connect()
        client.send(type="ping")
        self.assertEqual(client.receive(), {"type": "pong"})
        client.send_frame(b"are you there?", opcode=PING)
        self.assertEqual(client.receive_frame(), (PONG, b"are you there?"))

    def test_plain_get(self):
        status, headers, _ = self.server.ask("/v1/stream")
        self.assertEqual((status, headers["upgrade"]), (426, "websocket"))
        self.assertEqual(self.server.ask("/v1/stream", {})[0], 405)

    def test_subprotocol(self):
        self.assertIsNone(self.connect().protocol)
        for asked in ("edgellm.v1", "edgellm.v1, other", "edgellm.v1,x"):
            client = self.connect(Sec_WebSocket_Protocol=asked)
            self.assertEqual(client.protocol, "edgellm.v1")
            self.stream_works(client)
        for asked in ("other", "other, edgellm.v1", "edgellm.v2", "a request", "listener",
                      "edgellm.v1, " + "x" * 200):
            self.is_refused(400, "subprotocol", Sec_WebSocket_Protocol=asked)
        self.stream_works()


# ---- running requests --------------------------------------------------------------------------

class Running(Case):
    model, options = LONG, ("-c", 60000, "--sessions", 2, "--queue", 40, "--resume-time", 0)

    def test_cancel(self):
        client = self.connect()
        self.begin(client, "a", **ENDLESS)
        client.send(type="cancel", id="a")
        tokens, done = self.rest(client, "a")
        self.assertEqual((done["type"], done["finish_reason"]), ("done", "cancelled"))
        self.assertEqual(done["usage"]["completion_tokens"], 1 + len(tokens))
        client.send(type="cancel", id="a")
        self.error_of(client.receive(), 404, "id", "a", True)
        self.stream_works(client)

    def test_cancel_one_that_waits(self):
        client = self.connect()
        self.begin(client, "a", **ENDLESS)
        self.begin(self.connect(), "b", **ENDLESS)
        client.send(type="request", id="c", **ENDLESS)
        client.send(type="cancel", id="c")
        tokens, done = self.rest(client, "c")
        self.assertEqual((tokens, done["finish_reason"]), ([], "cancelled"))
        self.assertEqual(done["usage"]["completion_tokens"], 0)
        self.assertGreater(done["timings"]["queue_ms"], 0)

    def test_deadline_of_a_request(self):
        client = self.connect()
        answer = client.ask(id="a", **FOX, max_tokens=5, deadline_ms=50000)
        self.assertEqual(answer["last"]["deadline"]["deadline_ms"], 50000)
        self.assertFalse(answer["last"]["deadline"]["ended_by_deadline"])
        refused = client.ask(id="b", **FOX, max_tokens=50000, deadline_ms=1000)
        error = self.error_of(refused["last"], 422, "deadline_ms", "b", True)
        self.assertGreater(error["forecast"]["enough_ms"], 1000)

    def change(self, client, name, deadline_ms):
        client.send(type="deadline", id=name, deadline_ms=deadline_ms)
        while True:
            message = client.receive()
            if message["type"] != "token":
                return message

    def test_change_of_a_deadline(self):
        client = self.connect()
        self.begin(client, "a", **ENDLESS)
        taken = self.change(client, "a", 86400000)
        self.assertEqual((taken["type"], taken["deadline_ms"]), ("deadline", 86400000), taken)
        self.assertGreater(taken["forecast_ms"], 0)
        refused = self.change(client, "a", 1)  # it has run for longer, or nearly
        error = self.error_of(refused, 422, "deadline_ms", "a", False)
        self.assertIn("as it was", error["message"])
        self.assertIn("forecast", error)
        client.send(type="cancel", id="a")
        _, done = self.rest(client, "a")
        self.assertEqual(done["deadline"]["deadline_ms"], 86400000)

    def test_change_of_one_that_waits(self):
        client = self.connect()
        for name in ("a", "b"):
            self.begin(self.connect(), name, **ENDLESS)
        client.send(type="request", id="c", **FOX, max_tokens=4)
        self.assertEqual(client.receive()["type"], "accepted")
        self.assertEqual(self.change(client, "c", 3600000)["type"], "deadline")
        time.sleep(0.01)
        self.error_of(self.change(client, "c", 1), 422, "deadline_ms", "c", False)
        client.send(type="cancel", id="c")
        self.assertEqual(self.rest(client, "c")[1]["finish_reason"], "cancelled")

    def test_changes_that_are_wrong(self):
        client = self.connect()
        client.send(type="deadline", id="x", deadline_ms=5)
        self.error_of(client.receive(), 404, "id", "x", True)
        client.send(type="deadline", id="x")
        self.error_of(client.receive(), 400, "deadline_ms", "x", True)

    def test_bound_of_requests(self):
        client = self.connect()
        for i in range(16):
            client.send(type="request", id=f"r{i}", **ENDLESS)
        client.send(type="request", id="more", **ENDLESS)
        _, error = self.rest(client, "more")
        self.error_of(error, 429, None, "more", True)
        client.send(type="request", id="r15", **ENDLESS)
        self.error_of(self.rest(client, "r15")[1], 400, "id", "r15", False)
        client.send(type="cancel", id="r15")
        self.assertEqual(self.rest(client, "r15")[1]["finish_reason"], "cancelled")


# ---- connections that are lost -----------------------------------------------------------------

class Resume(Case):
    options = ("--resume-time", 60)

    def resume(self, secret, at, client=None):
        client = client or self.connect()
        client.send(type="resume", resume=secret, **{"from": at})
        return client

    def test_from_every_index(self):
        whole = self.connect().ask(id="r", **FOX, max_tokens=40, stop="zzzz")
        right = run(*RUN, "-n", 40)
        self.assertEqual([t["token"] for t in whole["tokens"]], right["tokens"])
        client = self.connect()
        for at in range(len(whole["tokens"]) + 1):
            self.resume(whole["accepted"]["resume"], at, client)
            self.assertEqual(client.follow("r"), {**whole, "tokens": whole["tokens"][at:]})

    def test_lost_at_every_index(self):
        """The connection is cut after so many tokens, which takes some with it, and again."""
        body = {**FOX, "max_tokens": 40, "ignore_eos": True, "logprobs": True}
        right = self.connect().ask(id="r", **body)
        self.assertEqual(len(right["tokens"]), 40)
        for at in range(0, 41, 4):
            client = self.connect()
            client.send(type="request", id="r", **body)
            secret, got = client.receive()["resume"], []
            while len(got) < at:
                got.append(client.receive())
            client.sock.shutdown(socket.SHUT_RDWR)
            client = self.resume(secret, at)
            end = client.follow("r")
            self.assertEqual([(t["index"], t["token"], t["text"], t["logprob"])
                              for t in got + end["tokens"]],
                             [(t["index"], t["token"], t["text"], t["logprob"])
                              for t in right["tokens"]])
            self.assertEqual(end["last"]["usage"], right["last"]["usage"])

    def test_taken_over(self):
        """Whoever has the secret has the answer, though the old connection is still there."""
        server = self.start("-c", 8000, model=LONG)
        old, new = self.connect(server), self.connect(server)
        accepted = self.begin(old, "a", **ENDLESS)
        self.resume(accepted["resume"], 0, new)
        again = new.receive()
        self.assertEqual((again["type"], again["resume"]), ("accepted", accepted["resume"]))
        new.send(type="cancel", id="a")
        tokens, _ = self.rest(new, "a")
        self.assertEqual([t["index"] for t in tokens], list(range(len(tokens))))
        old.send(type="cancel", id="a")
        while True:
            message = old.receive()
            if message["type"] == "error":
                break
        self.error_of(message, 404, "id", "a", True)
        self.ends_well(server)

    def test_closed_with_1000(self):
        """Who ends it as one who has all that he wants is not waited for."""
        server = self.start("-c", 60000, "--sessions", 1, "--queue", 1, model=LONG)
        for code in (1000, 1001):
            client = self.connect(server)
            secret = self.begin(client, "a", **ENDLESS)["resume"]
            client.send_frame(struct.pack(">H", code), opcode=CLOSE)
            self.is_closed(client, code)
            client = self.resume(secret, 0, self.connect(server))
            message = client.receive()
            if code == 1000:
                self.error_of(message, 404, "resume")
            else:
                self.assertEqual(message["type"], "accepted")
        self.ends_well(server)

    def test_wrong(self):
        client = self.connect()
        accepted = client.ask(id="r", **FOX, max_tokens=4)["accepted"]
        secret = accepted["resume"]
        for wrong in ("", "x", secret[:-1], secret.upper() + "0", "0" * 32,
                      ("1" if secret[0] != "1" else "2") + secret[1:]):
            self.resume(wrong, 0, client)
            self.error_of(client.receive(), 404, "resume")
        self.resume(secret, 5, client)
        self.error_of(client.receive(), 400, "from")
        client.send(type="resume", resume=secret, **{"from": -1})
        self.error_of(client.receive(), 400, "from")
        client.send(type="resume")
        self.error_of(client.receive(), 400, "resume")
        self.resume(secret, 4, client)
        self.assertEqual(client.follow("r")["last"]["type"], "done")

    def test_kept_no_longer(self):
        server = self.start("--resume-time", 1)
        secret = self.connect(server).ask(id="r", **FOX, max_tokens=4)["accepted"]["resume"]
        time.sleep(1.1)
        client = self.resume(secret, 0, self.connect(server))
        self.error_of(client.receive(), 404, "resume")
        self.ends_well(server)

    def test_not_kept(self):
        server = self.start("--resume-time", 0, "-c", 8000, "--sessions", 1, "--queue", 0, model=LONG)
        client = self.connect(server)
        secret = self.begin(client, "a", **ENDLESS)["resume"]
        client.close()
        client = self.resume(secret, 0, self.connect(server))
        while (message := client.receive())["type"] != "error":
            pass  # it was not yet known that the other had gone
        self.assertEqual(message["status"], 404)
        self.ends_well(server)

    def test_new_ones_go_first(self):
        """Answers that were told make room; those that were lost do not."""
        server = self.start("--sessions", 1, "--queue", 1)
        client = self.connect(server)
        secrets = [client.ask(id="r", **FOX, max_tokens=2)["accepted"]["resume"] for _ in range(5)]
        self.resume(secrets[0], 0, client)
        self.error_of(client.receive(), 404, "resume")
        self.resume(secrets[-1], 0, client)
        self.assertEqual(len(client.follow("r")["tokens"]), 2)
        self.still_works(server)
        self.still_works(server)
        self.ends_well(server)


# ---- clients that are wrong, slow, rude or gone ------------------------------------------------

class Wrong(Case):
    options = ("--max-body", 20000)

    def test_messages(self):
        client = self.connect()
        for data, param, name in (
                (b"", None, None), (b"{", None, None), (b"[]", None, None), (b"17", None, None),
                (b"\xff\xfe", None, None), (b'{"type":"ping","x":"\xc3\x28"}', None, None),
                (b"[" * 5000, None, None), (b'{"a":' * 3000, None, None), (b"{}", "type", None),
                (b'{"type":"pong"}', "type", None), (b'{"type":7,"id":"r"}', "type", "r"),
                (b'{"type":"request"}', "id", None), (b'{"type":"request","id":""}', "id", None),
                (b'{"type":"request","id":7}', "id", None),
                (b'{"type":"request","id":"' + b"r" * 65 + b'"}', "id", None),
                (b'{"type":"request","id":"r"}', "messages", "r"),
                (b'{"type":"request","id":"r","prompt":"a","messages":[{"role":"user","content":"a"}]}',
                 "prompt", "r"),
                (b'{"type":"request","id":"r","messages":[]}', "messages", "r"),
                (b'{"type":"request","id":"r","prompt":"a","temperature":-1}', "temperature", "r"),
                (b'{"type":"request","id":"r","prompt":"a","tools":[1]}', "tools[0].function", "r"),
                (b'{"type":"request","id":"r","prompt":"a","tools":[{"type":"function","function":{"name":"f"}}]}',
                 "tools", "r"),
                (b'{"type":"request","id":"r","prompt":""}', "prompt", "r"),
                (b'{"type":"cancel"}', "id", None), (b'{"type":"ping","type":"ping"}', None, None)):
            with self.subTest(data[:60]):
                client.send_frame(data)
                message = client.receive()
                self.error_of(message, 400, param, name, None if name is None else True)
        client.send_frame(b'{"type":"ping","a":[' + b"0," * 9000 + b"0]}")
        self.error_of(client.receive(), 413)
        long = client.ask(id="r", prompt="fox " * 1000)
        self.assertEqual(self.error_of(long["last"], 400, "prompt", "r", True)["code"],
                         "context_length_exceeded")
        self.stream_works(client)

    def test_binary(self):
        client = self.connect()
        client.send_frame(b'{"type":"ping"}', opcode=BINARY)
        self.assertIn("binary", self.error_of(client.receive(), 400)["message"])
        self.stream_works(client)

    def test_fragments(self):
        message = json.dumps({"type": "request", "id": "r", **FOX, "max_tokens": 9}).encode()
        right = run(*RUN, "-n", 9)["text"]
        for size in (1, 7, 50):
            client = self.connect()
            parts = [message[i:i + size] for i in range(0, len(message), size)]
            for i, part in enumerate(parts):
                client.send_frame(part, opcode=0 if i else TEXT, final=part is parts[-1])
                if i == 2:  # a control frame may stand between
                    client.send_frame(b"x", opcode=PING)
                    self.assertEqual(client.receive_frame(), (PONG, b"x"))
            self.assertEqual(text_of(client.follow("r")), right)

    def test_byte_by_byte(self):
        client = self.connect()
        for byte in frame(b'{"type":"ping"}'):
            client.sock.sendall(bytes([byte]))
        self.assertEqual(client.receive(), {"type": "pong"})

    def test_many_in_one_piece(self):
        """A flood: each is answered, in order, and what is not taken yet stays with the sender."""
        client, n = self.connect(), 3000
        ping = frame(b'{"type":"ping"}')
        wrong = frame(b'{"type":"cancel","id":"x"}')
        client.sock.sendall((ping + wrong) * 20)
        for _ in range(20):
            self.assertEqual(client.receive(), {"type": "pong"})
            self.error_of(client.receive(), 404, "id", "x", True)
        client.sock.settimeout(WAIT)
        sent = 0
        for _ in range(n // 100):
            client.sock.sendall(ping * 100)
            for _ in range(100):
                self.assertEqual(client.receive(), {"type": "pong"})
                sent += 1
        self.assertEqual(sent, n)

    def test_too_long(self):
        exact = b'{"type":"ping","x":"' + b"a" * (20000 - 22) + b'"}'
        client = self.connect()
        client.send_frame(exact)
        self.assertEqual(client.receive(), {"type": "pong"})
        for parts in (1, 4):
            client = self.connect()
            data = exact + b" " * parts
            with contextlib.suppress(OSError):  # it may be closed before all is sent
                for i in range(parts):
                    client.send_frame(data[i::parts], opcode=0 if i else TEXT, final=i == parts - 1)
            self.is_closed(client, 1009)
        client = self.connect()
        client.sock.sendall(bytes([0x81, 0xff]) + struct.pack(">Q", 1 << 40) + bytes(4))
        with contextlib.suppress(OSError):
            for _ in range(100):
                client.sock.sendall(bytes(1000))
        self.is_gone(client)
        self.stream_works()

    def test_long_ones_at_a_time(self):
        """There is room for 16: who comes then is closed, the others have their replies."""
        server = self.start("--max-body", 70000, "--connections", 32)
        data = b'{"type":"ping","x":"' + b"a" * 69000 + b'"}'
        clients = [self.connect(server=server) for _ in range(24)]
        for client in clients:
            with contextlib.suppress(OSError):
                client.send_frame(data[:-1], final=False)
        codes = []
        for client in clients:
            with contextlib.suppress(OSError):
                client.send_frame(data[-1:], opcode=0)
            try:
                self.assertEqual(client.receive(), {"type": "pong"})
                codes.append(None)
            except Closed as closed:
                codes.append(closed.code)
        self.assertEqual(set(codes), {None, 1011})
        self.assertGreaterEqual(codes.count(None), 8)
        self.stream_works(self.connect(server=server))
        self.ends_well(server)

    def test_nothing_behind_the_end(self):
        """Tokens go on coming while a client that is closed has not answered yet; whoever found the fault."""
        server = self.start("-c", 60000, "--max-body", 20000, "--sessions", 4, "--resume-time", 1, model=LONG)
        for wrong in (frame(b"x" * 20001), frame(b"x", reserved=4), frame(b"x", opcode=3)):
            with self.subTest(wrong[:2]):
                client = self.connect(server)
                self.begin(client, "a", **ENDLESS)
                with contextlib.suppress(OSError):
                    client.sock.sendall(wrong)
                while client.receive_frame()[0] != CLOSE:
                    continue
                client.sock.settimeout(0.5)
                with contextlib.suppress(OSError):
                    self.assertEqual(client.file.read(1), b"")
                client.close()
        self.stream_works(self.connect(server))
        self.ends_well(server)

    def test_bad_frames(self):
        for data in (frame(b"x", reserved=4), frame(b"x", opcode=3), frame(b"x", opcode=0),
                     frame(b"x" * 200, opcode=PING), frame(b"x", opcode=PING, final=False),
                     frame(b"{}", mask=False), frame(b"x", final=False) + frame(b"y"),
                     frame(b"\x03", opcode=CLOSE), frame(b"\x00\x01", opcode=CLOSE),
                     bytes([0x81, 0xff]) + b"\xff" * 12, os.urandom(2000), b"GET / HTTP/1.1\r\n\r\n"):
            with self.subTest(data[:12]):
                client = self.connect()
                with contextlib.suppress(OSError):
                    client.sock.sendall(data)
                    client.sock.shutdown(socket.SHUT_WR)
                self.is_gone(client)
        self.stream_works()
        self.still_works()

    def test_killed_connections(self):
        whole = frame(json.dumps({"type": "request", "id": "r", **FOX}).encode())
        for n in (0, 1, 5, 40, len(whole) - 1, len(whole)):
            client = self.connect()
            client.sock.sendall(whole[:n])
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        self.stream_works()

    def test_closed_by_the_client(self):
        client = self.connect()
        client.send_frame(struct.pack(">H", 1000), opcode=CLOSE)
        self.is_closed(client, 1000)

    def test_half_handshakes(self):
        head = ("GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        for cut in ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Host: x\r\n",
                    "Connection: Upgrade\r\n"):
            with self.server.connect() as sock:
                sock.sendall(head.replace(cut, "").encode())
                sock.shutdown(socket.SHUT_WR)
                self.assertNotIn(b" 101 ", sock.recv(65536))
        for path in ("/v1/chat/completions", "/", "/v1/streams", "/v1/stream/", "/v1"):
            with self.assertRaises(Refused):
                self.connect(path=path)
        self.stream_works()


class Slow(Case):
    def test_takes_nothing(self):
        """Its tokens stay; others are served; then it is closed, and its answer is kept."""
        server = self.start("-c", 4000, "--reader-timeout", 1, "--sessions", 2, "--resume-time", 3600,
                            model=LONG)
        sock = socket.socket()
        self.addCleanup(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        sock.settimeout(WAIT)
        client = ws_client.WebSocket(sock)
        client.send(type="request", id="a", **ENDLESS, seed=1)
        accepted = client.receive()
        self.assertEqual(accepted["type"], "accepted")
        other = self.connect(server)
        whole = other.ask(id="b", **ENDLESS, seed=1)
        self.assertGreater(len(whole["tokens"]), 3900)
        self.soon(lambda: server.metric("connections") == 2)  # the other's, and who asks
        got = []
        with contextlib.suppress(Closed, OSError):
            while True:
                got.append(client.receive())
        self.assertLess(len(got), len(whole["tokens"]))
        other.send(type="resume", resume=accepted["resume"], **{"from": len(got)})
        got += other.follow("a")["tokens"]
        self.assertEqual([t["token"] for t in got], [t["token"] for t in whole["tokens"]])
        self.ends_well(server)

    def test_slow_but_alive(self):
        server = self.start("-c", 8000, model=LONG)
        client = self.connect(server)
        client.send(type="request", id="a", **ENDLESS)
        time.sleep(1)
        tokens, done = self.rest(client, "a")
        self.assertEqual([t["index"] for t in tokens], list(range(len(tokens))))
        self.assertEqual(done["finish_reason"], "length")
        self.ends_well(server)

    def test_heartbeat(self):
        """Who answers outlives who does not, and has as long as two beats for each answer."""
        server = self.start("--heartbeat", 3)
        dead, quick = self.connect(server), self.connect(server)
        while server.metric("connections") == 3 or quick.pings < 4:
            opcode, data = quick.receive_frame()
            self.assertEqual(opcode, PING)
            quick.send_frame(data, opcode=PONG)
            quick.pings += 1
        self.stream_works(quick)
        while True:
            try:
                opcode, _ = dead.receive_frame()
                self.assertIn(opcode, (PING, CLOSE))
            except (Closed, OSError):
                break
        self.ends_well(server)


# ---- who may ask, and the end ------------------------------------------------------------------

def key_protocol(key):
    return "edgellm.v1, edgellm.key." + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


class Rights(Case):
    def test_origin(self):
        port = self.server.port
        for origin in (f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}"):
            self.stream_works(self.connect(Origin=origin))
        board = self.start("--allow-host", "board")
        self.stream_works(self.connect(board, Origin="http://BOARD", Host="board"))
        self.ends_well(board)
        for origin in ("http://evil.example", "null", "http://127.0.0.1", f"127.0.0.1:{port}",
                       f"http://127.0.0.1:{port}.evil.example", "http://" + "a" * 300,
                       f"http://evil.example/://127.0.0.1:{port}"):
            self.is_refused(403, "web page", Origin=origin)

    def test_keys(self):
        server = self.start(env={**os.environ, "EDGELLM_API_KEY": "a-key?>~"})
        self.stream_works(self.connect(server, Authorization="Bearer a-key?>~"))
        client = self.connect(server, Sec_WebSocket_Protocol=key_protocol("a-key?>~"))
        self.assertEqual(client.protocol, "edgellm.v1")
        self.stream_works(client)
        for headers in ({}, {"Authorization": "Bearer other"}, {"Sec_WebSocket_Protocol": "edgellm.v1"},
                        {"Sec_WebSocket_Protocol": key_protocol("a-key?>")},
                        {"Sec_WebSocket_Protocol": key_protocol("")},
                        {"Sec_WebSocket_Protocol": key_protocol("a-key?>~~")}):
            self.is_refused(401, "key", server=server, **headers)
        status, _, _ = server.ask("/v1/models", headers={
            "Sec-WebSocket-Protocol": key_protocol("a-key?>~")})
        self.assertEqual(status, 401)
        self.ends_well(server)


class End(Case):
    def test_drain(self):
        server = self.start("-c", 60000, "--sessions", 2, model=LONG)
        idle, busy = self.connect(server), self.connect(server)
        self.begin(busy, "a", **ENDLESS)
        server.process.send_signal(signal.SIGTERM)
        self.is_closed(idle, 1001)
        busy.send(type="request", id="b", **FOX)
        _, error = self.rest(busy, "b")
        self.error_of(error, 503, None, "b", True)
        busy.send(type="cancel", id="a")
        self.assertEqual(self.rest(busy, "a")[1]["finish_reason"], "cancelled")
        self.is_closed(busy, 1001)
        self.assertEqual(server.end(None), (b"", b"", 0))

    def test_drain_that_ends(self):
        server = self.start("-c", 60000, "--drain", 0, model=LONG)
        client = self.connect(server)
        self.begin(client, "a", **ENDLESS)
        server.process.send_signal(signal.SIGTERM)
        self.error_of(self.rest(client, "a")[1], 503, None, "a", True)
        self.is_closed(client, 1001)
        self.assertEqual(server.end(None), (b"", b"", 0))

    def test_lost_ones_hold_nothing_up(self):
        server = self.start("-c", 8000, "--resume-time", 3600, model=LONG)
        client = self.connect(server)
        self.begin(client, "a", **ENDLESS)
        client.close()
        self.ends_well(server)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
