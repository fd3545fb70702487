#!/usr/bin/env python3
"""Two servers of a tiny model behind nginx, and behind HAProxy, with the files of packaging/ as they are
but for the ports: streams and WebSockets go through, load is shared, and when one server is killed in the
middle its streams end so that the client sees it, what had not begun is answered by the other, once.

    python3 tests/scale/test_proxies.py EDGELLM MAKE_TINY OUT_DIR

Standard library only; nginx and haproxy from the system.
"""
import collections
import concurrent.futures
import getpass
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import ws_client  # noqa: E402

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TEXT = "/v1/completions"
WAIT = 60  # seconds in which anything has happened
ENDLESS = {"prompt": "fox", "ignore_eos": True}  # as long as the context: hundreds of thousands of bytes
SHORT = {"prompt": "the fox", "max_tokens": 8, "temperature": 0}
os.environ["EDGELLM_CACHE"] = "none"
os.environ.pop("EDGELLM_API_KEY", None)


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    gguf = OUT / "long.gguf"
    subprocess.run([MAKE_TINY, gguf, "long"], check=True, timeout=60)
    for name in "one", "two":  # answers tell which server they are of by the model's name
        subprocess.run([EDGELLM, "quantize", gguf, "-o", OUT / f"{name}.tm2.bin", "-q"], check=True,
                       timeout=60)


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def request(port, path, body=None, timeout=WAIT):
    """Status, headers and body (decoded if it is JSON)."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        client.request("GET" if body is None else "POST", path, body and json.dumps(body),
                       {"Content-Type": "application/json"} if body else {})
        reply = client.getresponse()
        data = reply.read().decode()
        if "json" in (reply.getheader("Content-Type") or ""):
            data = json.loads(data)
        return reply.status, dict((k.lower(), v) for k, v in reply.getheaders()), data
    finally:
        client.close()


class Server:
    """`edgellm serve`, at a port that stays."""

    def __init__(self, name, port, *options):
        self.name, self.port, self.options = name, port, options
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [EDGELLM, "serve", str(OUT / f"{self.name}.tm2.bin"), "--port", str(self.port), "-c", "60000",
             "--sessions", "4", "--queue", "8", "-j", "1", "--calibrate", "20", "--drain", "120", *self.options],
            stdout=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        assert f":{self.port} " in line, line

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=WAIT)

    def metric(self, pattern):
        """The sum of all samples that match."""
        text = request(self.port, "/metrics")[2]
        return sum(float(v) for v in re.findall(rf"^edgellm_{pattern} (\S+)$", text, re.MULTILINE))


class Stream:
    """Server-sent events through the proxy, read one by one."""

    def __init__(self, port, **body):
        self.client = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
        self.client.request("POST", TEXT, json.dumps({"stream": True, **body}),
                            {"Content-Type": "application/json"})
        self.reply = self.client.getresponse()
        assert self.reply.status == 200, (self.reply.status, self.reply.read())
        self.server = self.next()["model"]

    def next(self):
        """An event: an object, "[DONE]", or None if the stream has ended."""
        while True:
            line = self.reply.readline()
            if not line:
                return None
            if line.startswith(b"data: ") and line.endswith(b"\n"):
                text = line[6:-1].decode()
                return text if text == "[DONE]" else json.loads(text)

    def rest(self):
        """What it ends with: "[DONE]", or what a client sees of a broken one."""
        try:
            while True:
                event = self.next()
                if event in (None, "[DONE]"):
                    return event
        except (http.client.HTTPException, OSError) as error:
            return type(error).__name__

    def hang_up(self):
        self.reply.close()
        self.client.close()


class Proxy:
    """The tests; a class below for each of the two proxies."""

    def setUp(self):
        self.port, one, two = free_ports(3)
        self.servers = {"one": Server("one", one), "two": Server("two", two)}
        self.folder = OUT / self.id().rsplit(".", 2)[1] / self._testMethodName
        self.folder.mkdir(parents=True)
        command = self.command({8080: self.port, 11441: one, 11442: two})
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stderr=log)
        until = time.monotonic() + WAIT
        while True:
            try:
                if request(self.port, "/health")[0] == 200:
                    break
            except OSError:
                pass
            self.assertLess(time.monotonic(), until, (self.folder / "log").read_text())
            self.assertIsNone(self.process.poll(), (self.folder / "log").read_text())
            time.sleep(0.05)

    def tearDown(self):
        self.process.terminate()
        self.process.communicate(timeout=WAIT)
        for server in self.servers.values():
            server.kill()

    def configure(self, path, ports):
        """A file of packaging/ with other ports."""
        text = (ROOT / "packaging" / path).read_text()
        for before, after in ports.items():
            self.assertRegex(text, rf"[: ]{before}\b")
            text = re.sub(rf"([: ]){before}\b", rf"\g<1>{after}", text)
        return text

    def answers(self, n, **body):
        """n answers at the same time, through the proxy."""
        with concurrent.futures.ThreadPoolExecutor(n) as pool:
            return list(pool.map(lambda i: request(self.port, TEXT, {**SHORT, **body}), range(n)))

    def until(self, is_so):
        until = time.monotonic() + WAIT
        while not is_so():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def web_socket(self):
        return ws_client.connect(self.port)

    # ---- what goes through ----------------------------------------------------------------------

    def test_answers_are_the_servers(self):
        direct = request(self.servers["one"].port, TEXT, SHORT)[2]
        for status, headers, body in self.answers(6):
            self.assertEqual((status, body["choices"]), (200, direct["choices"]))
            self.assertTrue(headers["x-request-id"])
        status, _, body = request(self.port, TEXT, {"prompt": "a", "top_p": 9})
        self.assertEqual((status, body["error"]["param"]), (400, "top_p"))
        status, _, body = request(self.port, TEXT, {**ENDLESS, "max_tokens": 50000, "deadline_ms": 1})
        self.assertEqual((status, body["error"]["code"]), (422, "deadline_refused"))
        self.assertEqual(request(self.port, "/metrics")[0], 404)

    def test_a_stream_comes_as_it_is_made(self):
        stream = Stream(self.port, **ENDLESS)
        server = self.servers[stream.server]
        for _ in range(20):
            self.assertEqual(stream.next()["model"], stream.server)
        self.assertEqual(server.metric("sessions_taken"), 1)  # it goes on: nothing was waited for
        stream.hang_up()
        self.until(lambda: server.metric("sessions_taken") == 0)  # the server is told

    def test_load_is_shared(self):
        streams = [Stream(self.port, **ENDLESS) for _ in range(6)]
        counts = collections.Counter(s.server for s in streams)
        self.assertEqual(counts, {"one": 3, "two": 3})
        for stream in streams:
            stream.hang_up()

    def test_a_web_socket(self):
        ws = self.web_socket()
        answer = ws.ask(id="a", **SHORT)
        self.assertEqual((len(answer["tokens"]), answer["last"]["type"]), (8, "done"))
        right = request(self.servers["two"].port, TEXT, SHORT)[2]["choices"][0]["text"]
        self.assertEqual(ws_client.text_of(answer), right)
        # Lost in the middle of an answer, and taken up again on another connection.
        ws.send(type="request", id="b", **{**ENDLESS, "max_tokens": 3000})
        secret = ws.receive()["resume"]
        self.assertEqual([ws.receive()["index"] for _ in range(3)], [0, 1, 2])
        ws.sock.shutdown(socket.SHUT_RDWR)
        ws.close()
        again = self.web_socket()
        again.send(type="resume", resume=secret, **{"from": 3})
        answer = again.follow("b")
        self.assertEqual([t["index"] for t in answer["tokens"]], list(range(3, 3000)))
        self.assertEqual(answer["last"]["finish_reason"], "length")
        again.close()

    def test_full(self):
        """429 comes through, with when to ask again."""
        streams = [Stream(self.port, **ENDLESS) for _ in range(8)]
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            asked = [pool.submit(request, self.port, TEXT, SHORT) for _ in range(40)]
            self.until(lambda: sum(a.done() for a in asked) >= 20)
            for reply in (a.result() for a in asked if a.done()):
                self.assertEqual(reply[0], 429, reply)
                self.assertGreaterEqual(int(reply[1]["retry-after"]), 1)
            for stream in streams:
                stream.hang_up()
            replies = collections.Counter(a.result(WAIT)[0] for a in asked)
        self.assertEqual(sum(replies.values()), 40)
        self.assertEqual(set(replies), {200, 429})

    # ---- a server dies --------------------------------------------------------------------------

    def test_killed_in_the_middle(self):
        streams = [Stream(self.port, **ENDLESS) for _ in range(4)]
        ends = [Stream(self.port, **{**ENDLESS, "max_tokens": 2000}) for _ in range(2)]
        counts = collections.Counter(s.server for s in streams)
        self.assertEqual(counts, {"one": 2, "two": 2})
        self.servers["one"].kill()
        for stream in streams + ends:
            if stream.server == "one":  # seen, and soon
                began = time.monotonic()
                self.assertNotEqual(stream.rest(), "[DONE]")
                self.assertLess(time.monotonic() - began, 20)
        for stream in ends:
            if stream.server == "two":  # the other's go on
                self.assertEqual(stream.rest(), "[DONE]")
        self.until(lambda: self.served("two") == 1)
        for status, _, body in self.answers(8):  # and what comes after is the other's
            self.assertEqual((status, body["model"]), (200, "two"))
        self.until(lambda: self.served("two") == 9)
        for stream in streams:
            stream.hang_up()
        self.servers["one"].start()
        self.until(lambda: Stream(self.port, **SHORT).server == "one")  # it is asked again

    def served(self, name):
        return self.servers[name].metric(r'requests_total\{route="/v1/completions",status="200"\}')

    def test_killed_before_a_byte_was_answered(self):
        """What was not streamed and had not begun is asked of the other, and answered once."""
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            body = {**ENDLESS, "max_tokens": 3000, "seed": 1}
            asked = [pool.submit(request, self.port, TEXT, body) for _ in range(6)]
            self.until(lambda: self.servers["one"].metric("sessions_taken") > 0 and
                       sum(s.metric("sessions_taken") + s.metric("queue_length")
                           for s in self.servers.values()) == 6)
            here = self.servers["one"].metric("sessions_taken")
            self.servers["one"].kill()
            replies = [a.result(WAIT) for a in asked]
        self.assertGreater(here, 0)
        self.assertEqual({(status, body["model"]) for status, _, body in replies}, {(200, "two")})
        self.assertEqual(len({body["id"] for _, _, body in replies}), 6)
        self.assertEqual(len({body["choices"][0]["text"] for _, _, body in replies}), 1)
        self.assertEqual(self.served("two"), 6)

    def test_a_web_socket_of_a_killed_server(self):
        ws = self.web_socket()
        ws.send(type="request", id="a", **ENDLESS)
        secret = ws.receive()["resume"]
        ws.receive()
        taken = [s for s in self.servers.values() if s.metric("sessions_taken") == 1]
        self.assertEqual(len(taken), 1)
        taken[0].kill()
        with self.assertRaises((ws_client.Closed, OSError)):
            while True:
                ws.receive()
        ws.close()
        other = None
        until = time.monotonic() + WAIT
        while other is None:  # HAProxy needs its two checks
            try:
                other = self.web_socket()
            except (ws_client.Refused, ws_client.Closed, OSError, ValueError):
                self.assertLess(time.monotonic(), until)
                time.sleep(0.1)
        other.send(type="resume", resume=secret, **{"from": 0})
        self.assertEqual(other.receive()["type"], "error")  # that answer is gone, and said to be
        self.assertEqual(len(other.ask(id="b", **SHORT)["tokens"]), 8)
        other.close()

    def test_shut_down(self):
        """A server that ends well finishes what it has, and others are asked meanwhile."""
        stream = Stream(self.port, **{**ENDLESS, "max_tokens": 5000})
        server = self.servers[stream.server]
        server.process.send_signal(signal.SIGTERM)
        for status, _, body in self.answers(10):
            self.assertEqual(status, 200)
            self.assertNotEqual(body["model"], stream.server)
        self.assertEqual(stream.rest(), "[DONE]")
        server.process.communicate(timeout=WAIT)
        self.assertEqual(server.process.returncode, 0)


@unittest.skipUnless(shutil.which("nginx", path=os.defpath + ":/usr/sbin"), "no nginx")
class Nginx(Proxy, unittest.TestCase):
    def command(self, ports):
        text = self.configure("nginx/edgellm.conf", ports)
        paths = "".join(f"{kind}_temp_path {kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "edgellm.conf").write_text(text)
        (self.folder / "nginx.conf").write_text(
            f"user {getpass.getuser()}; daemon off; pid nginx.pid; worker_processes 2; error_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off;\n{paths}include edgellm.conf; }}\n")
        nginx = [shutil.which("nginx", path=os.defpath + ":/usr/sbin"), "-p", str(self.folder), "-c",
                 "nginx.conf", "-e", "stderr"]
        subprocess.run([*nginx, "-t", "-q"], check=True, timeout=WAIT)
        return nginx


@unittest.skipUnless(shutil.which("haproxy", path=os.defpath + ":/usr/sbin"), "no haproxy")
class HAProxy(Proxy, unittest.TestCase):
    def command(self, ports):
        path = self.folder / "edgellm.cfg"
        path.write_text(self.configure("haproxy/edgellm.cfg", ports))
        haproxy = [shutil.which("haproxy", path=os.defpath + ":/usr/sbin"), "-f", str(path)]
        subprocess.run([*haproxy, "-c", "-q"], check=True, timeout=WAIT)
        return haproxy


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
