#!/usr/bin/env python3
"""`edgellm serve` with more than it can take: many clients at once, what connections cost of memory, and
attacks by many of them. `make bench-serve` has the first two with a real model, for a minute.

    python3 tests/test_serve_load.py EDGELLM MAKE_TINY OUT_DIR [sanitized]

sanitized: the build takes memory of its own, so that its memory is not looked at. Standard library only; how a
server is started and asked is test_serve.py's.
"""
import concurrent.futures
import contextlib
import json
import pathlib
import re
import socket
import struct
import time
import unittest

import load_clients
import test_serve as serve
import ws_client
from test_serve import JSON, LONG, TEXT, WAIT, head, read_all

SANITIZED = "sanitized" in serve.sys.argv[4:]
ENDLESS = {"prompt": "fox", "ignore_eos": True}
setUpModule = serve.setUpModule


class Case(unittest.TestCase):
    def start(self, *arguments):
        """What it logs is self.log()."""
        path = serve.OUT / "log"
        with path.open("wb") as log:
            server = serve.Server("--log", "json", *arguments, model=LONG, stderr=log)
        self.log_path = path

        def clean():
            server.process.kill()
            server.process.communicate()
        self.addCleanup(clean)
        return server

    def log(self):
        """Under a sanitizer what it finds ends the server with another code than 0."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def ends_well(self, server):
        self.assertEqual(server.end(), (b"", None, 0), self.log_path.read_text()[-3000:])

    def metric(self, server, name):
        """None: it was turned away."""
        status, _, text = server.ask("/metrics")
        self.assertIn(status, (200, 503))
        return float(re.search(rf"^edgellm_{name} (\S+)$", text, re.M).group(1)) if text else None

    def until(self, server, **wanted):
        """Soon the metrics are that. Who asks has a connection too."""
        end = time.monotonic() + WAIT
        for name, value in wanted.items():
            got = None
            while got != value:
                self.assertLess(time.monotonic(), end, (name, got, value))
                with contextlib.suppress(ConnectionError, serve.http.client.HTTPException):
                    got = self.metric(server, name)
                time.sleep(0.02)

    def in_time(self, server):
        """A normal request is answered, within its deadline."""
        answer = server.answer(TEXT, max_tokens=3, deadline_ms=1000 * WAIT, **ENDLESS)
        self.assertEqual(answer["usage"]["completion_tokens"], 3)
        self.assertFalse(answer["deadline"]["ended_by_deadline"])


# ---- many clients ------------------------------------------------------------------------------

class Load(Case):
    SESSIONS, QUEUE = 16, 8

    def test_answered_or_refused(self):
        """Nothing is lost, whoever asks at the same time: 32 clients, of which not all have a place."""
        server = self.start("-c", 512, "--sessions", self.SESSIONS, "--queue", self.QUEUE)

        def body(chance):
            asked = {**ENDLESS, "max_tokens": chance.randint(1, 400), "temperature": 0}
            if chance.random() < 0.4:  # from one that is sure to be refused to one that is not
                asked["deadline_ms"] = chance.choice((1, 20, 200, 2000, 1000 * WAIT))
            return asked

        load = load_clients.Load(server.port, 32, 3, body).run()
        self.assertEqual(load.broken, [])
        self.assertEqual(len(load.answered) + len(load.refused), load.sent)
        self.assertGreater(len(load.answered), 0)
        self.assertIn(422, {o.status for o in load.refused})
        for o in load.answered:
            self.assertEqual(o.finish, "length", o)
            self.assertTrue(0 < len(o.arrivals) <= o.tokens, o)
        self.in_time(server)
        self.until(server, connections=1, sessions_taken=0, queue_length=0)
        self.ends_well(server)
        lines = [line for line in self.log() if line["id"].startswith("load-")]
        told = [o for o in load.outcomes if not o.turned_away]
        self.assertEqual({line["id"]: line["outcome"] for line in lines},
                         {o.name: "done" if o.answered else "refused" for o in told})
        self.assertEqual(len(lines), len(told))

    def test_all_at_once_and_by_their_deadlines(self):
        """16 are admitted at once, 8 wait, the next is refused; of those that wait the one with the
        earliest deadline goes first, then those without one as they came."""
        server = self.start("-c", 50000, "--sessions", self.SESSIONS, "--queue", self.QUEUE,
                            "--connections", 40)
        held = [server.stream(TEXT, **ENDLESS) for _ in range(self.SESSIONS)]
        self.until(server, sessions_taken=self.SESSIONS)
        order, waiting = {}, []
        for name, minutes in (("a", 50), ("b", None), ("c", 20), ("d", 40), ("e", None), ("f", 10),
                              ("g", 30), ("h", 60)):
            client = server.client()
            body = {**ENDLESS, "max_tokens": 30}
            if minutes:
                body["deadline_ms"] = 60000 * minutes
            client.request("POST", TEXT, json.dumps(body), {**JSON, "X-Request-Id": name})
            waiting.append(client)
            self.until(server, queue_length=len(waiting))
        self.assertEqual(server.ask(TEXT, {"prompt": "fox"})[0], 429)
        held.pop().hang_up()  # one session for all of them
        for client in waiting:
            self.assertEqual(client.getresponse().status, 200)
            client.close()
        for stream in held:
            stream.hang_up()
        self.until(server, connections=1, sessions_taken=0)
        self.ends_well(server)
        for line in self.log():
            if line["id"] in "abcdefgh":
                self.assertEqual(line["outcome"], "done")
                order[line["id"]] = load_clients.jobs_of([line])[0].began
        self.assertEqual("".join(sorted(order, key=order.get)), "fcgdahbe")


# ---- memory ------------------------------------------------------------------------------------

def small_socket(server):
    """Who takes little at a time."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(WAIT)
    sock.connect(("127.0.0.1", server.port))
    return sock


class Memory(Case):
    N = 200

    def kinds(self, server):
        """Connections of each kind that takes memory, as functions that make one."""
        def sent(data):
            def make():
                sock = server.connect()
                sock.sendall(data)
                return sock
            return make

        def message():
            client = ws_client.connect(server.port)
            client.send_frame(b"x" * 4000, final=False)
            return client

        many = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 70) for i in range(90))
        return {"idle": server.connect,
                "half a head": sent(b"GET /health HTTP/1.1\r\n" + many[:7900]),
                "half a body": sent(head("POST", TEXT, Content_Length=8000, Content_Type="application/json")
                                    + b" " * 4000),
                "an idle WebSocket": lambda: ws_client.connect(server.port),
                "half a message": message}

    def resident(self, server):
        text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) * 1024

    def measured(self, server, name, make):
        """What they take, and that they stay within the plan; they are gone afterwards."""
        self.in_time(server)
        before = self.resident(server)
        kept = make()
        self.in_time(server)
        each = (self.resident(server) - before) / self.N
        plan = server.ask("/v1/models")[2]["data"][0]["meta"]["memory"]["total"]
        if not SANITIZED:
            self.assertLessEqual(each, self.cap, name)
            self.assertLessEqual(self.resident(server), plan, name)
        for client in kept:
            client.close()
        self.until(server, connections=1)
        return each

    def slow_readers(self, server):
        """Replies that nobody takes, as many as the system's buffers hold and then one more."""
        kept = [small_socket(server) for _ in range(self.N)]
        for _ in range(5):
            for sock in kept:
                with contextlib.suppress(OSError):
                    sock.sendall(head("GET", "/openapi.json", X_Long="y" * 7000))
            time.sleep(0.3)
        return kept

    def test_of_a_connection(self):
        taken = {}
        for name in ("idle", "half a head", "half a body", "an idle WebSocket", "half a message", "slow"):
            # A new one for each: memory that one kind has left would be there for the next.
            server = self.start("-c", 256, "--sessions", 1, "--queue", 0, "--connections", self.N + 8,
                                "--reader-timeout", 3600)
            self.cap = 1e3 * float(re.search(r"of at most ([\d.]+) kB", server.line).group(1))
            if name == "slow":
                taken[name] = self.measured(server, name, lambda: self.slow_readers(server))
            else:
                make = self.kinds(server)[name]
                taken[name] = self.measured(server, name, lambda: [make() for _ in range(self.N)])
            self.ends_well(server)
        print({name: round(each) for name, each in taken.items()}, "bytes, at most", self.cap)

    def test_of_long_bodies(self):
        """There is room for 16 at a time; short requests are answered meanwhile."""
        server = self.start("-c", 256, "--connections", 64)
        plan = server.ask("/v1/models")[2]["data"][0]["meta"]["memory"]["total"]
        length = 250_000
        kept = [server.connect() for _ in range(40)]

        def begin(sock):
            with contextlib.suppress(ConnectionError):
                sock.sendall(head("POST", TEXT, Content_Length=length, Content_Type="application/json")
                             + b" " * (length - 1))

        for sock in kept:
            begin(sock)
        self.in_time(server)
        self.assertEqual(self.metric(server, "connection_places"), 64)  # there is room for it
        short, long = {"content": "fox"}, {"content": "x" * 200, "with_pieces": True}
        until = time.monotonic() + serve.WAIT
        while (reply := server.ask("/tokenize", long))[0] == 200:
            # Not all bodies have come yet, or one was refused since this reply had the last room just then.
            self.assertLess(time.monotonic(), until)
            time.sleep(0.2)
            if len(kept) < 60:
                kept.append(server.connect())
                begin(kept[-1])
        status, headers, reply = reply
        self.assertEqual((status, headers["retry-after"]), (429, "1"), reply)
        tokens = server.answer("/tokenize", **short)["tokens"]
        self.assertIn("fox", server.answer("/detokenize", tokens=tokens)["content"])
        self.assertIn("another long reply", reply["error"]["message"])
        if not SANITIZED:
            self.assertLessEqual(self.resident(server), plan)
        replies = []
        for sock in kept:
            with contextlib.suppress(ConnectionError):
                sock.sendall(b" ")  # the last byte: those that had room get their reply now
            replies.append(read_some(sock))
        refused = [reply for reply in replies if reply.startswith(b"HTTP/1.1 429 ")]
        # Those whose bytes came late may have found room that others had given back by then.
        self.assertTrue(0 < len(refused) <= len(kept) - 8, len(refused))
        self.assertIn(b"\r\nretry-after: 1\r\n", refused[0])
        self.assertIn(b"another long body", refused[0])
        for sock in kept:
            sock.close()
        self.until(server, connections=1)
        body = json.dumps({"prompt": "fox", "max_tokens": 1}).encode()
        self.assertEqual(server.ask(TEXT, body + b" " * (length - len(body)))[0], 200)
        for _ in range(100):  # each gives back what it had
            self.assertEqual(len(server.answer("/tokenize", **long)["tokens"]), 200)
        self.ends_well(server)


def read_some(sock):
    with contextlib.suppress(ConnectionError):
        return sock.recv(65536)
    return b""


# ---- attacks -----------------------------------------------------------------------------------

class Attacks(Case):
    def setUp(self):
        self.server = self.start("-c", 50000, "--sessions", 4, "--connections", 64, "--reader-timeout", 1)

    def end(self):
        """Nothing of it is left."""
        self.until(self.server, connections=1, sessions_taken=0, queue_length=0)
        self.in_time(self.server)
        self.ends_well(self.server)

    def test_slowloris(self):
        """Heads, bodies and handshakes that come a byte at a time, on nearly all connections."""
        whole = (b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 1000,
                 head("POST", TEXT, Content_Length=1000, Content_Type="application/json") + b" " * 1000,
                 head("GET", "/v1/stream", Upgrade="websocket", Connection="Upgrade")[:-2] + b"X-B: " + b"b" * 900)
        slow = [(self.server.connect(), whole[i % 3]) for i in range(60)]
        for at in range(60):
            for sock, data in slow:
                sock.sendall(data[at:at + 1])
            if at % 10 == 0:
                self.in_time(self.server)
        for sock, _ in slow:
            sock.close()
        self.end()

    def test_header_flood(self):
        """More headers than there is room for end a connection, however many send them."""
        def flood(number):
            line = b"X-Flood-%d: %s\r\n" % (number, b"f" * 50)
            with self.server.connect() as sock, contextlib.suppress(OSError):
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
                for _ in range(200):
                    sock.sendall(line * 100)
                return read_all(sock)
            return b""

        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            floods = [pool.submit(flood, i) for i in range(120)]
            for _ in range(5):
                self.in_time(self.server)
            for f in floods:
                self.assertNotIn(b" 200 ", f.result()[:20])
        self.end()

    def test_aborted_uploads(self):
        """300 bodies that break off, with a reset or a plain end, at any place."""
        body = json.dumps({**ENDLESS, "max_tokens": 5}).encode()
        data = head("POST", TEXT, Content_Length=200_000, Content_Type="application/json") + body
        for i in range(300):
            sock = self.server.connect()
            with contextlib.suppress(OSError):
                sock.sendall(data + b" " * (i * 613))
            if i % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            if i % 50 == 0:
                self.until(self.server, connections=1)  # all places may be taken by those
                self.in_time(self.server)
        self.end()

    def test_large_bodies(self):
        """100 MB on several connections at once: refused by their heads, read and thrown away."""
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(self.server.ask, TEXT, b" " * 100_000_000) for _ in range(3)]
            while not all(a.done() for a in asked):
                self.in_time(self.server)
            self.assertEqual([a.result()[0] for a in asked], [413] * 3)
        self.end()

    def test_half_open(self):
        """Clients of which nothing comes any more, as if a cable was pulled; some of them in the middle
        of an answer, with all sessions and the queue. Those that take nothing are cut off."""
        body = json.dumps({**ENDLESS, "stream": True}).encode()
        dead = [small_socket(self.server) for _ in range(20)]
        for sock in dead:
            sock.sendall(head("POST", TEXT, Content_Length=len(body), Content_Type="application/json") + body)
        silent = [self.server.connect() for _ in range(10)] + [ws_client.connect(self.server.port)
                                                              for _ in range(10)]
        for sock in silent[:5]:
            sock.sendall(head("POST", TEXT, Content_Length=500, Content_Type="application/json") + b"{")
        for sock in silent[5:10]:
            sock.shutdown(socket.SHUT_WR)  # they are taken to be gone
        until = time.monotonic() + WAIT
        while self.server.ask(TEXT, {"prompt": "fox", "max_tokens": 1})[0] != 200:
            self.assertLess(time.monotonic(), until)  # no session, no place: 429
            time.sleep(0.05)
        self.in_time(self.server)
        self.until(self.server, sessions_taken=0, queue_length=0)
        for sock in dead + silent:
            sock.close()
        self.end()


if __name__ == "__main__":
    unittest.main(argv=serve.sys.argv[:1], verbosity=2)
