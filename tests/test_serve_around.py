#!/usr/bin/env python3
"""What runs around the answers of `edgellm serve`: /metrics and whether what it counts adds up, names
of requests, the log, who may ask by which name, and what /openapi.json says, keys that change.

    python3 tests/test_serve_around.py EDGELLM MAKE_TINY OUT_DIR [INJECT]

Standard library only; how a server is started and asked is test_serve.py's.
"""
import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import time
import unittest

import test_serve as serve
import ws_client
from test_serve import CHAT, LONG, TEXT, ask, user

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENDLESS = {"prompt": "fox", "ignore_eos": True}
SAMPLE = re.compile(r'(edgellm_[a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (\S+)')
setUpModule = serve.setUpModule


def parse(text):
    """{name: {labels: value}} and {family: type} of a text as Prometheus reads it; each family has
    its help and type before its samples, and comes once."""
    values, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ")[2]
            assert current not in types and line.endswith("."), line
            continue
        if line.startswith("# TYPE "):
            _, _, name, types[name] = line.split(" ")
            assert name == current, line
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        ends = "(_bucket|_sum|_count)" if types[current] == "histogram" else ""
        assert re.fullmatch(current + ends, name), line
        labels = tuple(re.findall(r'([a-z]+)="((?:[^"\\]|\\.)*)"', labels or ""))
        assert labels not in values.setdefault(name, {}), line
        values[name][labels] = float(value)
    return values, types


class Metrics:
    def __init__(self, server, headers=None):
        status, self.headers, text = server.ask("/metrics", headers=headers)
        assert status == 200, (status, text)
        self.values, self.types = parse(text)

    def one(self, name, **labels):
        return self.values["edgellm_" + name][tuple(labels.items())]

    def requests(self, route, status):
        found = self.values["edgellm_requests_total"]
        return found.get((("route", route), ("status", str(status))), 0)

    def count(self, name):
        return self.one(name + "_count")


class Case(serve.Case):
    def until(self, server, is_so):
        """Metrics of which it is so, soon."""
        until = time.monotonic() + serve.WAIT
        while not is_so(metrics := Metrics(server)):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)
        return metrics

    def hold_up(self, metrics):
        """What holds of any of them."""
        for name, kind in metrics.types.items():
            if kind == "counter":
                self.assertTrue(name.endswith("_total"), name)
            if kind != "histogram":
                self.assertFalse(name.endswith(("_sum", "_count", "_bucket")), name)
                continue
            buckets = metrics.values[name + "_bucket"]
            bounds = [float(dict(labels)["le"]) for labels in buckets]
            counts = list(buckets.values())
            self.assertEqual(bounds, sorted(set(bounds)))
            self.assertEqual((bounds[0], bounds[-2:]), (0.001, [60, float("inf")]))
            self.assertEqual(counts, sorted(counts))
            count, total = metrics.values[name + "_count"][()], metrics.values[name + "_sum"][()]
            self.assertEqual(counts[-1], count)
            # Each of them is above the bound before its bucket, and at most its own.
            each = [n - before for n, before in zip(counts, [0] + counts)]
            self.assertGreaterEqual(total + 1e-6, sum(n * b for n, b in zip(each[1:], bounds)))
            if each[-1] == 0:
                self.assertLessEqual(total, sum(n * b for n, b in zip(each[:-1], bounds)) + 1e-6)


class Counts(Case):
    def test_form(self):
        metrics = Metrics(self.server)
        self.assertEqual(metrics.headers["content-type"],
                         "text/plain; version=0.0.4; charset=utf-8")
        self.hold_up(metrics)
        client = self.server.client()
        client.request("HEAD", "/metrics")
        response = client.getresponse()
        self.assertEqual((response.status, response.read()), (200, b""))
        self.assertGreater(int(response.getheader("Content-Length")), 5000)
        self.assertEqual(ask(client, "/health")[0], 200)
        client.close()

    def test_as_many_as_there_were(self):
        server = self.start("--sessions", "2")
        before = Metrics(server)
        usage = []
        for i in range(3):
            usage.append(server.answer(TEXT, prompt="the fox", max_tokens=3 + i)["usage"])
            usage.append(server.answer(CHAT, messages=user("fox"), max_tokens=1 + i)["usage"])
            stream = server.stream(TEXT, max_tokens=2 + i, stream_options={"include_usage": True},
                                   **ENDLESS)
            usage.append(stream.all()[-1]["usage"])
        last = server.ask("/api/generate", {"model": "tiny", "prompt": "fox", "stream": False})[2]
        usage.append({"prompt_tokens": last["prompt_eval_count"],
                      "completion_tokens": last["eval_count"]})
        for path, body, status in ((TEXT, {}, 400), (TEXT, b"{", 400), ("/nope", None, 404),
                                   ("/x", None, 404), ("/v1/models", {}, 405)):
            self.assertEqual(server.ask(path, body)[0], status)
        metrics = Metrics(server)
        self.hold_up(metrics)
        self.assertEqual(metrics.one("prompt_tokens_total"), sum(u["prompt_tokens"] for u in usage))
        self.assertEqual(metrics.one("answer_tokens_total"),
                         sum(u["completion_tokens"] for u in usage))
        for name in ("first_token_seconds", "request_seconds", "queue_seconds"):
            self.assertEqual(metrics.count(name), len(usage), name)
        # An end token comes too, but is not the answer's.
        gaps = sum(u["completion_tokens"] - 1 for u in usage)
        self.assertTrue(gaps <= metrics.count("token_gap_seconds") <= gaps + len(usage))
        for route, status, n in ((TEXT, 200, 6), (CHAT, 200, 3), ("/api/generate", 200, 1),
                                 (TEXT, 400, 2), ("other", 404, 2), ("/v1/models", 405, 1),
                                 ("/metrics", 200, 1), ("/health", 200, 0)):
            self.assertEqual(metrics.requests(route, status), n, (route, status))
        self.assertEqual(sum(metrics.values["edgellm_requests_total"].values()), 16)
        self.assertEqual(metrics.one("connections_total"), 17)
        self.until(server, lambda m: m.one("connections") == 1)
        self.assertEqual(before.one("connections_total"), 1)
        self.ends_well(server)

    def test_of_a_stop_text(self):
        """Tokens are counted as in usage, not those that were computed behind its end."""
        before = Metrics(self.server)
        answer = self.server.answer(TEXT, prompt="fox", seed=2, temperature=3, ignore_eos=True,
                                    max_tokens=120)
        text = answer["choices"][0]["text"]
        stop = next(c for c in text[20:] if c not in "\ufffd\0")
        other = self.server.answer(TEXT, prompt="fox", seed=2, temperature=3, ignore_eos=True,
                                   max_tokens=120, stop=stop)
        after = Metrics(self.server)
        self.assertLess(other["usage"]["completion_tokens"], 120)
        self.assertEqual(after.one("answer_tokens_total") - before.one("answer_tokens_total"),
                         120 + other["usage"]["completion_tokens"])

    def test_what_it_is(self):
        metrics = Metrics(self.server)
        (labels, value), = metrics.values["edgellm_build_info"].items()
        labels = dict(labels)
        answer = self.server.answer(TEXT, prompt="fox", max_tokens=1)
        self.assertEqual((value, labels["model"]), (1, "tiny"))
        self.assertEqual(labels["fingerprint"], answer["system_fingerprint"])
        self.assertIn(labels["version"], labels["fingerprint"])
        self.assertTrue(labels["kernel"])
        self.assertLess(abs(metrics.one("start_time_seconds") - time.time()), 1000)
        self.assertEqual(metrics.one("ready"), 1)

    def test_memory(self):
        metrics = Metrics(self.server)
        parts = metrics.values["edgellm_memory_plan_bytes"]
        told = float(re.search(r"([\d.]+) MB", self.server.line).group(1))
        self.assertEqual({dict(labels)["part"] for labels in parts},
                         {"weights", "tables", "kv_cache", "scratch", "threads", "program", "server"})
        self.assertAlmostEqual(sum(parts.values()) / 1e6, told, delta=0.051)
        self.assertTrue(all(0 <= value < 1e9 for value in parts.values()), parts)
        self.assertGreater(metrics.one("resident_memory_bytes"), 1e6)

    def test_the_board(self):
        """As /sys has it; what it does not have is absent."""
        metrics = Metrics(self.server)
        clocks = sorted(pathlib.Path("/sys/devices/system/cpu").glob(
            "cpu[0-9]*/cpufreq/scaling_cur_freq"))
        numbers = {int(path.parts[5][3:]) for path in clocks}
        found = metrics.values.get("edgellm_cpu_frequency_hertz", {})
        self.assertEqual({int(dict(labels)["cpu"]) for labels in found},
                         {n for n in numbers if n < 64})
        self.assertTrue(all(1e6 < hertz < 1e11 for hertz in found.values()))
        zones = list(pathlib.Path("/sys/class/thermal").glob("thermal_zone*/temp"))
        if not zones:
            self.assertNotIn("edgellm_temperature_celsius", metrics.values)
        elif "edgellm_temperature_celsius" in metrics.values:
            self.assertTrue(-60 <= metrics.one("temperature_celsius") <= 200)

    def test_keys(self):
        server = self.start(env={**serve.os.environ, "EDGELLM_API_KEY": "s3cret"})
        self.is_error(server.ask("/metrics"), 401)
        metrics = Metrics(server, {"Authorization": "Bearer s3cret"})
        self.assertEqual(metrics.requests("/metrics", 401), 1)
        self.ends_well(server)


class Busy(Case):
    model = LONG
    options = ("-c", "50000", "--sessions", "1", "--queue", "2", "--connections", "12")

    def test_taken_and_waiting(self):
        runs, waits = self.server.stream(TEXT, **ENDLESS), self.server.client()
        next(runs.events())
        waits.request("POST", TEXT, json.dumps(ENDLESS), serve.JSON)
        metrics = self.until(self.server, lambda m: m.one("queue_length") == 1 and m.one("connections") == 3)
        self.assertEqual((metrics.one("sessions_taken"), metrics.one("sessions"),
                          metrics.one("queue_places")), (1, 1, 2))
        gone = metrics.requests(TEXT, "none")
        tokens = metrics.one("answer_tokens_total")
        waits.close()
        runs.hang_up()
        metrics = self.until(self.server, lambda m: m.one("connections") == 1
                             and m.one("sessions_taken") == m.one("queue_length") == 0)
        # Who left before a reply has no status; who had a part of it has that one.
        self.assertEqual(metrics.requests(TEXT, "none"), gone + 1)
        self.assertGreater(metrics.one("answer_tokens_total"), tokens)
        self.hold_up(metrics)

    def test_websocket(self):
        """Each request once, however it ends, and no deadline without a result."""
        def counts(m):
            results = [m.one("deadline_results_total", result=r)
                       for r in ("met", "missed", "abandoned")]
            return (m.requests("/v1/stream", 200), m.one("deadlines_accepted_total"), *results,
                    m.one("answer_tokens_total"))
        server, endless = self.server, {**ENDLESS, "max_tokens": 40000}
        before = counts(Metrics(server))
        client = ws_client.connect(server.port, timeout=serve.WAIT)
        answer = client.ask(id="1", prompt="fox", max_tokens=4, deadline_ms=3600000)
        client.send(type="resume", resume=answer["accepted"]["resume"], id="again")
        self.assertEqual(client.follow("1")["tokens"], answer["tokens"])
        def wait_for(kind):
            while client.receive()["type"] != kind:
                pass
        client.send(type="request", id="2", **endless)
        wait_for("token")
        client.send(type="deadline", id="2", deadline_ms=86400000)
        wait_for("deadline")
        client.send(type="cancel", id="2")
        cut = client.follow("2")["last"]
        self.assertEqual(cut["finish_reason"], "cancelled")
        client.send(type="request", id="3", deadline_ms=86400000, **endless)
        wait_for("token")
        client.send_frame(b"\x03\xe8", opcode=ws_client.CLOSE)
        metrics = self.until(server, lambda m: counts(m)[0] == before[0] + 3)
        now = [after - first for after, first in zip(counts(metrics), before)]
        self.assertEqual(now[:5], [3, 3, 1, 0, 2])
        self.assertGreater(now[5], len(answer["tokens"]) + cut["usage"]["completion_tokens"])
        client.close()

    def test_deadlines(self):
        def results(metrics):
            return [metrics.one("deadlines_accepted_total"), metrics.one("deadlines_refused_total"),
                    *(metrics.one("deadline_results_total", result=r)
                      for r in ("met", "missed", "abandoned"))]
        before = results(Metrics(self.server))
        for _ in range(3):
            self.server.answer(TEXT, prompt="fox", max_tokens=4, deadline_ms=3600000)
        status = self.server.ask(TEXT, {**ENDLESS, "max_tokens": 49000, "deadline_ms": 40})[0]
        self.assertEqual(status, 422)
        stream = self.server.stream(TEXT, max_tokens=40000, deadline_ms=86400000, **ENDLESS)
        next(stream.events())
        stream.hang_up()
        metrics = self.until(self.server, lambda m: results(m)[4] == before[4] + 1)
        now = [after - first for after, first in zip(results(metrics), before)]
        self.assertEqual(now, [4, 1, 3, 0, 1])
        self.assertEqual(metrics.count("deadline_lateness_seconds"), 0)

    def test_turned_away(self):
        before = Metrics(self.server).one("connections_refused_total")
        kept = [self.server.connect() for _ in range(14)]
        kept[-1].settimeout(serve.WAIT)
        self.assertTrue(serve.read_all(kept[-1]).startswith(b"HTTP/1.1 503 "))
        for sock in kept:
            sock.close()
        until = time.monotonic() + serve.WAIT
        while True:
            self.assertLess(time.monotonic(), until)
            with contextlib.suppress(ConnectionError, AssertionError, serve.http.client.HTTPException):
                now = Metrics(self.server).one("connections_refused_total")
                break
        self.assertGreaterEqual(now, before + 2)

    def test_while_it_shuts_down(self):
        server = self.start("-c", "50000", model=LONG)
        stream = server.stream(TEXT, **ENDLESS)
        next(stream.events())
        server.process.send_signal(signal.SIGTERM)
        self.until(server, lambda m: m.one("ready") == 0)
        stream.hang_up()
        self.ends_well(server, None)


class Names(Case):
    def name_of(self, path, body=None, **headers):
        return self.server.ask(path, body, headers)[1]["x-request-id"]

    def test_ones_own(self):
        for name in ("a", "x" * 64, "Root=1-67891233-abcdef", "A.b_c:d+e/f=", "0123456789"):
            for path, body in (("/health", None), ("/nope", None), (TEXT, {"prompt": "x",
                               "max_tokens": 1}), (TEXT, {}), (TEXT, {"prompt": "x", "stream": True,
                               "max_tokens": 1}), ("/v1/models", {}), ("/metrics", None)):
                self.assertEqual(self.name_of(path, body, **{"X-Request-Id": name}), name, path)
        self.assertEqual(self.name_of("/health", **{"x-request-id": "lower"}), "lower")

    def test_made(self):
        seen = {self.name_of(path) for path in ("/health", "/nope", "/metrics", "/v1/models")}
        for name in ("", "x" * 65, "a b", "a\tb", 'a"b', "a\\b", "\xe4", "a,b", "<b>", "{}", "x" * 900):
            seen.add(self.name_of("/health", **{"X-Request-Id": name}))
        self.assertEqual(len(seen), 15)
        for name in seen:
            self.assertRegex(name, r"\A[0-9a-f]{16}\Z")


FIELDS = ["time", "id", "route", "status", "peer", "prompt_tokens", "answer_tokens", "queue_ms",
          "first_token_ms", "total_ms", "deadline_ms", "deadline", "outcome"]


class Log(Case):
    """Each has a server of its own, whose standard error is looked at."""

    def lines(self, err):
        lines = [json.loads(line) for line in err.decode().splitlines()]
        for line in lines:
            self.assertEqual(list(line), FIELDS)
            told = datetime.datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
            self.assertLess(abs(told.replace(tzinfo=datetime.timezone.utc).timestamp()
                                - time.time()), 1000)
            self.assertGreaterEqual(line["total_ms"], 0)
        return lines

    def told(self, server):
        out, err, code = server.end()
        self.assertEqual((out, code), (b"", 0))
        return self.lines(err)

    def test_lines(self):
        server = self.start("--log", "json")
        secret = "the password is swordfish"
        usage = server.ask(TEXT, {"prompt": secret, "max_tokens": 3, "deadline_ms": 3600000},
                           {"X-Request-Id": "mine"})[2]["usage"]
        server.stream(CHAT, messages=user(secret), max_tokens=2, ignore_eos=True).all()
        name = server.ask("/" + secret.replace(" ", "-"))[1]["x-request-id"]
        server.ask(TEXT, {"prompt": 5})
        server.ask(TEXT, {"prompt": "x", "max_tokens": 200, "deadline_ms": 1, "ignore_eos": True})
        lines = self.told(server)
        self.assertEqual([(line["route"], line["status"], line["outcome"]) for line in lines],
                         [(TEXT, 200, "done"), (CHAT, 200, "done"), (None, 404, "refused"),
                          (TEXT, 400, "refused"), (TEXT, 422, "refused")])
        self.assertNotIn("swordfish", json.dumps(lines))
        self.assertEqual({line["peer"] for line in lines}, {"127.0.0.1"})
        first = lines[0]
        self.assertEqual((first["id"], first["deadline_ms"], first["deadline"],
                          first["prompt_tokens"], first["answer_tokens"]),
                         ("mine", 3600000, "met", usage["prompt_tokens"],
                          usage["completion_tokens"]))
        self.assertLessEqual(first["queue_ms"], first["first_token_ms"])
        self.assertLessEqual(first["first_token_ms"], first["total_ms"])
        self.assertEqual(lines[1]["answer_tokens"], 2)
        self.assertEqual(lines[2]["id"], name)
        self.assertEqual((lines[4]["deadline_ms"], lines[4]["deadline"]), (1, "refused"))
        for line in lines[2:]:
            for field in ("prompt_tokens", "answer_tokens", "queue_ms", "first_token_ms"):
                self.assertIsNone(line[field], line)

    def test_who_left(self):
        server = self.start("--log", "json", "-c", "50000", model=LONG)
        stream = server.stream(TEXT, **ENDLESS)
        next(stream.events())
        stream.hang_up()
        self.until(server, lambda m: m.one("sessions_taken") == 0)
        lines = [line for line in self.told(server) if line["route"] == TEXT]
        self.assertEqual([(line["status"], line["outcome"]) for line in lines], [(200, "gone")])
        self.assertGreater(lines[0]["answer_tokens"], 0)

    def test_at_a_unix_socket(self):
        path = serve.OUT / "log.sock"
        server = self.start("--log", "json", place=("--unix", path))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(serve.WAIT)
            sock.connect(str(path))
            sock.sendall(serve.head("GET", "/health"))
            self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 200 "))
        self.assertEqual([line["peer"] for line in self.told(server)], ["unix"])

    def test_none(self):
        server = self.start()
        server.ask("/health")
        self.ends_well(server)

    def test_nobody_reads(self):
        """A full pipe holds nobody up; what was left out is counted."""
        server = self.start("--log", "json")
        pipe = server.process.stderr
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        client = server.client()
        for _ in range(100):
            self.assertEqual(ask(client, "/health")[0], 200)
        client.close()
        metrics = Metrics(server)
        dropped, written = (metrics.one(f"log_lines_{name}total") for name in ("dropped_", ""))
        self.assertGreater(dropped, 50)
        self.assertEqual(dropped + written, 100)
        lines = self.lines(os.read(pipe.fileno(), 65536))  # and there is room again
        self.assertEqual(len(lines), written)
        self.assertEqual(server.ask("/health")[0], 200)
        self.assertEqual([line["route"] for line in self.told(server)], ["/health"])

    def test_nobody_is_there(self):
        server = self.start("--log", "json")
        server.process.stderr.close()
        for _ in range(3):
            self.assertEqual(server.ask("/health")[0], 200)
        self.assertEqual(Metrics(server).one("log_lines_dropped_total"), 3)
        server.process.stderr = None
        server.process.send_signal(signal.SIGTERM)
        server.process.communicate(timeout=serve.WAIT)
        self.assertEqual(server.process.returncode, 0)

    def test_other_places(self):
        """A file, and a socket, as systemd's journal has it."""
        path = serve.OUT / "log.txt"
        with path.open("wb") as file:
            process = serve.subprocess.Popen(
                [serve.EDGELLM, "serve", serve.TINY, "--port", "0", "--calibrate", "20", "--log", "json"],
                stdout=serve.subprocess.PIPE, stderr=file)
        self.check_place(process)
        self.assertEqual(len(self.lines(path.read_bytes())), 2)
        ours, its = socket.socketpair()
        process = serve.subprocess.Popen(
            [serve.EDGELLM, "serve", serve.TINY, "--port", "0", "--calibrate", "20", "--log", "json"],
            stdout=serve.subprocess.PIPE, stderr=its)
        its.close()
        self.check_place(process)
        ours.settimeout(serve.WAIT)
        self.assertEqual(len(self.lines(serve.read_all(ours))), 2)
        ours.close()

    def check_place(self, process):
        server = serve.Server.__new__(serve.Server)
        server.process = process
        server.port = int(re.search(rb":(\d+) ", process.stdout.readline()).group(1))
        for path in ("/health", "/nope"):
            server.ask(path)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=serve.WAIT)
        self.assertEqual(process.returncode, 0)


class Hosts(Case):
    """A page that makes its name mean this machine is refused; who keeps to a name is not."""
    GOOD = ["localhost", "127.0.0.1", "[::1]", "LocalHost"]
    BAD = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost", "localhos",
           "127.0.0.2", "[::2]", "::1", "[::1", "localhost:x", "localhost:1:2", "localhost/", "0.0.0.0",
           "localhost@evil.example", "evil.example:80", "[evil.example]", "[localhost", "[localhost]x",
           "localhost localhost", ":80", "x" * 400]

    def check(self, server, good, bad):
        for names, status in ((good, 200), (bad, 403)):
            for name in names:
                for host in (name, f"{name}:{server.port}", f"{name}:9"):
                    for path, body in (("/health", None), ("/", None),
                                       (TEXT, {"prompt": "x", "max_tokens": 1})):
                        got = server.ask(path, body, {"Host": host})
                        self.assertEqual(got[0], status, (host, path, got[2]))
        if bad:
            self.is_error(got := server.ask("/nope", headers={"Host": bad[0]}), 403, None,
                          "--allow-host", "permission_error")
            self.assertIn(bad[0], got[2]["error"]["message"])
            self.assertIn(bad[0], server.ask("/", headers={"Host": bad[0]})[2]["error"])

    def test_by_default(self):
        self.check(self.server, self.GOOD, self.BAD)

    def test_two_headers(self):
        with self.server.connect() as sock:
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
            self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 403 "))

    def test_without(self):
        with self.server.connect() as sock:
            sock.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertRegex(sock.recv(4096), rb"\AHTTP/1\.[01] 200 ")

    def test_more_names(self):
        server = self.start("--allow-host", "board.local", "--allow-host", "fe80::1")
        self.check(server, self.GOOD + ["board.local", "Board.Local", "[fe80::1]"],
                   ["evil.example", "xboard.local", "board.localx", "[fe80::2]"])
        self.ends_well(server)

    def test_with_keys(self):
        """A page does not know the key."""
        server = self.start(env={**os.environ, "EDGELLM_API_KEY": "s3cret"})
        self.assertEqual(server.ask("/v1/models", headers={"Host": "any.example",
                                    "Authorization": "Bearer s3cret"})[0], 200)
        self.ends_well(server)

    def test_where_others_ask(self):
        server = self.start("--host", "0.0.0.0", "--insecure")
        self.check(server, ["any.example"], [])
        self.ends_well(server)

    def test_at_a_unix_socket(self):
        path = serve.OUT / "host.sock"
        server = self.start(place=("--unix", path))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(serve.WAIT)
            sock.connect(str(path))
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: any.example\r\n\r\n")
            self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 200 "))
        self.ends_well(server)


class Api(Case):
    """The document and the source say the same."""
    SCHEMAS = {"EL_ASK_CHAT": "ChatRequest", "EL_ASK_COMPLETION": "CompletionRequest",
               "EL_ASK_OLLAMA_CHAT": "OllamaChatRequest", "OPTIONS": "OllamaOptions",
               "EL_ASK_OLLAMA_GENERATE": "OllamaGenerateRequest",
               "EL_ASK_OLLAMA_SHOW": "OllamaShowRequest", "EL_ASK_EMBED": "EmbeddingRequest",
               "EL_ASK_OLLAMA_EMBED": "OllamaEmbedRequest", "EL_ASK_TOKENIZE": "TokenizeRequest",
               "EL_ASK_DETOKENIZE": "DetokenizeRequest", "EL_ASK_TEMPLATE": "TemplateRequest",
               "EL_ASK_SLOT": "SlotRequest"}
    MESSAGES = ("EL_ASK_STREAM", "ENVELOPE", "DEADLINE")  # of a WebSocket: docs/asyncapi.yaml

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.status, cls.headers, cls.api = cls.server.ask("/openapi.json")
        cls.source = ROOT / "src/server"

    def test_it_is_the_file(self):
        self.assertEqual((self.status, self.headers["content-type"]), (200, "application/json"))
        text = (self.source / "openapi.json").read_text()
        self.assertEqual(self.api, json.loads(text))
        self.assertEqual(int(self.headers["content-length"]), len(text.encode()))
        (labels, _), = Metrics(self.server).values["edgellm_build_info"].items()
        self.assertEqual(self.api["info"]["version"], dict(labels)["version"])

    def test_slowly_read(self):
        """It is sent piece by piece, as there is room."""
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.settimeout(serve.WAIT)
            sock.connect(("127.0.0.1", self.server.port))
            sock.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            time.sleep(0.2)
            got = b""
            while part := sock.recv(1000):  # to its end
                got += part
        self.assertEqual(json.loads(got.partition(b"\r\n\r\n")[2]), self.api)

    def test_every_route(self):
        table = (self.source / "routes.c").read_text().replace("EL_STREAM_PATH", '"/v1/stream"')
        rows = re.findall(r'\{"(/[^"]*)", (true|false), (true|false), (true|false), \w+,\s*(\w+)\}',
                          table)
        rows = [row for row in rows if not row[0].startswith("/web/")]  # files: no interface
        self.assertGreater(len(rows), 12)
        self.assertEqual({row[0] for row in rows}, set(self.api["paths"]))
        for path, is_post, needs_key, needs_model, write_problem in rows:
            item = self.api["paths"][path]
            self.assertEqual(list(item), ["post" if is_post == "true" else "get"], path)
            (operation,) = item.values()
            self.assertEqual(operation.get("security"), None if needs_key == "true" else [], path)
            replies = operation["responses"]
            self.assertEqual("401" in replies, needs_key == "true", path)
            self.assertLessEqual({"400", "403", "405"}, set(replies), path)
            if needs_model == "true":
                self.assertIn("503", replies, path)
            kind = "" if write_problem == "NULL" else "Ollama"
            for status, reply in replies.items():
                if status not in ("101", "200"):
                    self.assertEqual(reply["$ref"], f"#/components/responses/{kind}{status}")

    def test_every_field(self):
        text = (self.source / "ask.c").read_text()
        sets = dict(re.findall(r"^    (\w+) = ((?:\w+ \| )+\w+)(?:,|$)", text, re.MULTILINE))
        numbers = {"TOKENS_MAX": 1 << 24, "DAY_MS": 86400000, "EL_ASK_CHOICES": 8,
                   "EL_ASK_COMPLETION_TOP": 5, "EDGELLM_TOP_LOGPROBS": 20}
        wanted = {}

        def schemas_of(forms):
            for form in forms.split(" | "):
                if form in self.SCHEMAS:
                    yield self.SCHEMAS[form]
                elif form not in self.MESSAGES:
                    yield from schemas_of(sets[form])
        rows = re.findall(r'\{"(\w+)",\s+([\w |]+),\s+(\w+),\s+([^,]+),\s+([^,]+),\s+([^}]+)\}', text)
        self.assertGreater(len(rows), 50)
        for name, forms, read, _, least, most in rows:
            for schema in schemas_of(forms):
                wanted.setdefault(schema, {})[name] = (
                    read, *(float(numbers.get(bound, 0) or bound) for bound in (least, most)))
        self.assertEqual(set(wanted), set(self.SCHEMAS.values()))
        all_schemas = self.api["components"]["schemas"]
        for schema, fields in wanted.items():
            self.assertEqual(set(all_schemas[schema]["properties"]), set(fields), schema)
            for name, (read, least, most) in fields.items():
                told = all_schemas[schema]["properties"][name]
                reference = told.get("$ref", "")
                told = all_schemas[reference.rpartition("/")[2]] if reference else told
                if read in ("read_float", "read_whole"):
                    self.assertEqual((told["minimum"], told["maximum"]), (least, most), name)
                    kind = "number" if read == "read_float" else "integer"
                    self.assertEqual(told["type"], [kind, "null"], name)
                elif read == "read_switch":
                    self.assertEqual(told["type"], ["boolean", "null"], name)
                elif read == "read_one":
                    self.assertEqual(reference, "#/components/schemas/one", name)
                self.assertEqual(reference == "#/components/schemas/unserved", read == "refuse", name)
                if most > 0:
                    self.assertEqual(told["maximum"], most, name)

    def test_every_problem(self):
        """The statuses of problem.c are those that are described."""
        text = (self.source / "problem.c").read_text()
        statuses = set(re.findall(r"\[EL_PROBLEM_\w+\] = \{(\d+),", text))
        described = self.api["components"]["responses"]
        self.assertEqual(statuses, {name for name in described if name.isdigit()})
        self.assertEqual({"Ollama" + status for status in statuses - {"409", "426"}},
                         {name for name in described if not name.isdigit()})


class Reading(Case):
    """SIGHUP has the file of keys read again."""

    def status(self, server, key):
        return server.ask("/v1/models", headers={"Authorization": f"Bearer {key}"})[0]

    def again(self, server, text, key, result):
        path = serve.OUT / "changing keys"
        before = Metrics(server, {"Authorization": f"Bearer {key}"})
        if text is not None:
            path.write_text(text)
        else:
            path.unlink()
        server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + serve.WAIT
        new = text.split()[0] if result == "read" else key
        while True:
            with contextlib.suppress(AssertionError):  # the key is not known yet
                now = Metrics(server, {"Authorization": f"Bearer {new}"})
                if now.one("key_readings_total", result=result) > \
                        before.one("key_readings_total", result=result):
                    return
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_keys(self):
        path = serve.OUT / "changing keys"
        for log in ("none", "json"):
            path.write_text("alpha\n")
            server = self.start("--api-key-file", path, "--log", log, "-c", "50000", model=LONG)
            client = server.client()
            client.request("POST", TEXT, json.dumps({"stream": True, "max_tokens": 3000, **ENDLESS}),
                           {"Authorization": "Bearer alpha", **serve.JSON})
            stream = client.getresponse()
            stream.readline()
            self.again(server, "beta\n", "alpha", "read")
            self.assertEqual([self.status(server, key) for key in ("alpha", "beta")], [401, 200])
            for broken in ("# none\n", "x" * 300, None):  # the old ones stay
                self.again(server, broken, "beta", "kept")
                self.assertEqual([self.status(server, key) for key in ("alpha", "beta")], [401, 200])
            self.again(server, "gamma\nalpha\n", "beta", "read")
            self.assertEqual([self.status(server, key) for key in ("alpha", "beta", "gamma")],
                             [200, 401, 200])
            self.assertTrue(stream.read().endswith(b"data: [DONE]\n\n"))  # nothing was dropped
            client.close()
            out, err, code = server.end()
            self.assertEqual((out, code), (b"", 0))
            lines = err.decode().splitlines()
            if log == "json":
                lines = [json.loads(line) for line in lines]
                lines = ["edgellm: " + line["message"] for line in lines if "message" in line]
            lines = [line for line in lines if line != "edgellm: long: the model is the same"]
            self.assertEqual(len(lines), 5)
            self.assertEqual(lines[0], "edgellm: keys read again: there are 1 now")
            for line, words in zip(lines[1:4], ("has none", "longer than", "cannot open")):
                self.assertRegex(line, f"\\Aedgellm: .*{words}.*; the keys stay as they were\\Z")
            self.assertEqual(lines[4], "edgellm: keys read again: there are 2 now")

    def test_a_pipe(self):
        """It would hold everybody up."""
        path = serve.OUT / "changing keys"
        path.write_text("alpha\n")
        server = self.start("--api-key-file", path)
        path.unlink()
        os.mkfifo(path)
        server.process.send_signal(signal.SIGHUP)
        line = server.process.stderr.readline().decode()
        self.assertIn("; the keys stay as they were", line)
        self.assertEqual(self.status(server, "alpha"), 200)
        path.unlink()
        self.assertIn("the model is the same", server.process.stderr.readline().decode())
        self.ends_well(server)


class Cores(serve.Case):
    """The network's thread, which is the first, is on no core that computes, where there is another."""

    def masks(self, server):
        pid = server.process.pid
        others = [int(t) for t in os.listdir(f"/proc/{pid}/task") if int(t) != pid]
        self.assertTrue(others)
        masks = [os.sched_getaffinity(t) for t in others]
        if b"__tsan_init" in pathlib.Path(serve.EDGELLM).with_name("edgellm-serve").read_bytes():
            masks.remove(os.sched_getaffinity(0))  # the sanitizer's own thread
        return os.sched_getaffinity(pid), masks

    def test_they_do_not_meet(self):
        allowed = os.sched_getaffinity(0)
        network, others = self.masks(self.server)
        if len(allowed) == 1:
            self.assertEqual([network, *others], [allowed] * (1 + len(others)))
            return
        self.assertEqual(len(network), 1)
        for mask in others:
            self.assertEqual(mask & network, set())
        full = self.start("-j", len(allowed))  # all compute: nothing is pinned
        network, others = self.masks(full)
        self.assertEqual([network, *others], [allowed] * (1 + len(others)))
        self.ends_well(full)


class Dashboard(Case):
    def test_each_metric_is_there(self):
        text = (ROOT / "packaging/grafana/edgellm.json").read_text()
        board = json.loads(text)
        metrics = Metrics(self.server)
        sometimes = {"edgellm_temperature_celsius", "edgellm_cpu_frequency_hertz"}
        expressions = [target["expr"] for panel in board["panels"]
                       for target in panel.get("targets", [])]
        named = set(re.findall(r"edgellm_\w+", " ".join(expressions)))
        self.assertGreater(len(named), 15)
        self.assertEqual(named - set(metrics.values) - sometimes, set())
        histograms = {n for n, kind in metrics.types.items() if kind == "histogram"}
        for name in histograms:
            self.assertIn(name + "_bucket", named)
        self.assertEqual(len({panel["id"] for panel in board["panels"]}), len(board["panels"]))


if __name__ == "__main__":
    unittest.main(argv=serve.sys.argv[:1], verbosity=2)
