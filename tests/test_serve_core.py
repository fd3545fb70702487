#!/usr/bin/env python3
"""`edgellm serve` with one core for both of its threads, as on a board that has no other: the thread that
computes then sends what is in the middle of a stream itself. What it answers, to whoever is slow, rude or
gone, and that the network's thread sleeps meanwhile.

    python3 tests/test_serve_core.py EDGELLM MAKE_TINY OUT_DIR

Standard library only; how a server is started and asked is test_serve.py's.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import socket
import struct
import time
import unittest

import test_serve as serve
import test_serve_ollama as ollama
import ws_client
from test_serve import CHAT, LONG, TEXT, WAIT, head, read_all, run, text_of, user

setUpModule = serve.setUpModule
ENDLESS = {"prompt": "fox", "ignore_eos": True}
RAW = {"raw": True, "prompt": "fox"}


def one_core():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


class Case(serve.Case):
    @classmethod
    def setUpClass(cls):
        cls.server = serve.Server(*cls.options, model=cls.model, preexec_fn=one_core)

    def start(self, *arguments, **options):
        return super().start(*arguments, preexec_fn=one_core, **options)


class Answers(Case):
    options = ("--sessions", "4", "--queue", "64")

    def test_streamed_is_whole_is_run(self):
        for seed in range(3):
            body = {"prompt": "fox", "max_tokens": 150, "seed": seed, "temperature": 3}
            right = run("fox", "--raw", "-n", 150, "-s", seed, "-t", 3)["text"]
            self.assertEqual(text_of([self.server.answer(TEXT, **body)]), right)
            self.assertEqual(text_of(self.server.stream(TEXT, **body).all()), right)
            lines = ollama.Lines(self.server, "/api/generate", {**RAW, "options": {
                "num_predict": 150, "seed": seed, "temperature": 3}}).all()
            self.assertEqual(ollama.text_of(lines), right)

    def test_stops_choices_and_probabilities(self):
        body = {"messages": user("fox"), "max_tokens": 80, "seed": 1, "temperature": 3, "n": 3,
                "ignore_eos": True, "logprobs": True, "top_logprobs": 4}
        text = self.server.answer(CHAT, **{**body, "n": 1})["choices"][0]["message"]["content"]
        stop = next(text[i:i + 3] for i in range(20, 70) if not set(text[i:i + 3]) & set("\ufffd\0"))
        whole = self.server.answer(CHAT, stop=stop, **body)["choices"]
        self.assertEqual(whole[0]["message"]["content"], text[:text.index(stop)])
        found = [["", []] for _ in whole]
        for event in self.server.stream(CHAT, stop=stop, **body).all():
            for choice in event["choices"]:
                mine = found[choice["index"]]
                mine[0] += choice["delta"].get("content") or ""
                mine[1] += (choice.get("logprobs") or {}).get("content") or []
        self.assertEqual(found, [[c["message"]["content"], c["logprobs"]["content"]] for c in whole])

    def test_side_by_side(self):
        """Streams, whole answers and messages of a WebSocket at the same time are those of each alone."""
        bodies = [{"prompt": "the quick brown fox jumps"[:3 + i], "max_tokens": 60 + i, "seed": i,
                   "temperature": i % 3 * 1.5} for i in range(12)]
        alone = [self.server.answer(TEXT, **body)["choices"][0]["text"] for body in bodies]

        def by_socket(body):
            client = ws_client.connect(self.server.port, timeout=WAIT)
            told = client.ask(id="x", **body)
            client.close()
            return ws_client.text_of(told)

        ways = (by_socket, lambda body: text_of(self.server.stream(TEXT, **body).all()),
                lambda body: text_of([self.server.answer(TEXT, **body)]))
        with concurrent.futures.ThreadPoolExecutor(36) as pool:
            told = [list(pool.map(way, bodies)) for way in ways]
            together = [pool.submit(way, body) for body in bodies for way in ways]
            self.assertEqual(told, [alone] * 3)
            self.assertEqual([one.result() for one in together], [text for text in alone for _ in ways])


class Readers(Case):
    model, options = LONG, ("-c", "20000", "--sessions", "2", "--reader-timeout", str(WAIT))

    def ask(self, room=4096, **body):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        sock.settimeout(WAIT)
        sock.connect(("127.0.0.1", self.server.port))
        data = json.dumps({"stream": True, **ENDLESS, **body}).encode()
        sock.sendall(head("POST", TEXT, Content_Length=len(data), Content_Type="application/json",
                          Connection="close") + data)
        return sock

    def texts(self, sock):
        """Of an answer in chunks, each of which is read by its own length; takes it in fits and starts."""
        data = b""
        while piece := sock.recv(3000):
            data += piece
            if len(data) % 7 == 0:
                time.sleep(0.01)
        sock.close()
        _, _, data = data.partition(b"\r\n\r\n")
        content = b""
        while not content.endswith(b"data: [DONE]\n\n"):
            size, _, data = data.partition(b"\r\n")
            size = int(size, 16)
            self.assertEqual(data[size:size + 2], b"\r\n")
            content, data = content + data[:size], data[size + 2:]
        self.assertEqual(data, b"0\r\n\r\n")
        events = [json.loads(line[6:]) for line in content.split(b"\n\n") if line.startswith(b"data: {")]
        return text_of(events)

    def test_slow_ones_get_all(self):
        """What the system takes only a part of goes on where it was left."""
        right = text_of([self.server.answer(TEXT, max_tokens=2000, **ENDLESS, seed=1)])
        socks = [self.ask(max_tokens=2000, seed=1) for _ in range(2)]
        time.sleep(0.5)  # both are full
        self.assertEqual(self.server.ask("/health")[0], 200)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            self.assertEqual(list(pool.map(self.texts, socks)), [right] * 2)

    def test_who_leaves(self):
        """In the middle, with a word or without."""
        for k in range(12):
            sock = self.ask(max_tokens=15000)
            while b"data: " not in sock.recv(4096):
                pass
            if k % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.soon(lambda: self.server.metric("connections") == 1)
        self.soon(lambda: self.server.metric("sessions_taken") == 0)
        self.still_works()


class Threads(Case):
    model, options = LONG, ("-c", "20000")
    TOKENS = 2000

    def sleeps(self):
        """How often the network's thread, the first, has gone to sleep."""
        pid = self.server.process.pid
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\t(\d+)$", text, re.M)[1])

    def test_the_network_sleeps(self):
        """It would wake for each token else."""
        for body in ({"stream": True}, {}):
            data = json.dumps({**ENDLESS, "max_tokens": self.TOKENS, **body}).encode()
            before = self.sleeps()
            with self.server.connect() as sock:
                sock.sendall(head("POST", TEXT, Content_Length=len(data), Content_Type="application/json",
                                  Connection="close") + data)
                got = read_all(sock)
            self.assertIn(b'"predicted_n":%d,' % self.TOKENS, got)
            self.assertLess(self.sleeps() - before, self.TOKENS / 4)


if __name__ == "__main__":
    unittest.main(argv=serve.sys.argv[:1], verbosity=2)
