#!/usr/bin/env python3
"""edgellm-bench-http from outside, against servers made here: what it asks, what it says of the
answers and when they came, and how it fares with servers that are wrong, broken, slow or gone.

    python3 tests/test_bench_http.py PROGRAM [INJECT]

INJECT: the library of tests/faults/inject.c, with which memory runs out. Standard library only.
"""
import contextlib
import functools
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
INJECT = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
USAGE, IO, MEMORY = 2, 3, 6
DIE = object()  # in a list of what is sent: the connection breaks off
NEW_LINE = b"\n"


# ---- servers ---------------------------------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fake/1", ""
    disable_nagle_algorithm = True  # a head and its body are two writes: the second waits for nobody

    def log_message(self, *_):
        pass

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.body = json.loads(self.rfile.read(length)) if length else None
        self.server.seen.append((self.client_address[1], self.command, self.path, self.body))
        with contextlib.suppress(ConnectionError):
            self.server.routes.get(self.path, not_found)(self)

    do_GET = do_POST = answer


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, routes, address="127.0.0.1"):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), Handler)
        self.routes, self.seen = routes, []
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def handle_error(self, *_):
        pass

    def stop(self):
        self.shutdown()
        self.server_close()

    def requests(self, path):
        return [body for _, _, where, body in self.seen if where == path]


def say(status, body, kind="application/json"):
    """A route with one answer."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()

    def route(handler):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    return route


not_found = say(404, b"404 page not found", "text/plain")


def stream(*parts, times=None, chunked=True):
    """A route that sends each part in one write; a number: waits so many seconds; DIE."""
    def route(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header(*(("Transfer-Encoding", "chunked") if chunked
                              else ("Connection", "close")))
        handler.end_headers()
        for part in parts:
            if part is DIE:
                handler.connection.shutdown(socket.SHUT_RDWR)
                handler.close_connection = True
                return
            if isinstance(part, (int, float)):
                time.sleep(part)
                continue
            if times is not None:
                times.append(time.monotonic_ns())
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        if chunked:
            handler.wfile.write(b"0\r\n\r\n")
    return route


def in_turn(*routes):
    """The nth request is answered by the nth route, and all further ones by the last."""
    left = list(routes)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def token(text, **more):
    return json.dumps({"model": "m", "response": text, "done": False, **more},
                      ensure_ascii=False).encode() + NEW_LINE


def last(**more):
    return token("", **{"done": True, "done_reason": "length", **more})


def event(value):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def choice(text, finish=None):
    return event({"id": "x", "choices": [{"index": 0, "text": text, "finish_reason": finish}]})


def usage(tokens, prompt):
    return event({"choices": [], "usage": {"completion_tokens": tokens, "prompt_tokens": prompt}})


DONE = event("[DONE]")
FINE_OLLAMA = stream(token(" a"), token(" b"), last(eval_count=2, prompt_eval_count=5))
FINE_OPENAI = stream(choice(" a"), choice(" b"), choice("", "length"), usage(2, 5), DONE)


def ollama(generate=FINE_OLLAMA, models=("tiny:latest",), **more):
    return {"/": say(200, b"Ollama is running", "text/plain"),
            "/api/version": say(200, {"version": "0.5.1"}),
            "/api/tags": say(200, {"models": [{"name": name} for name in models]}),
            "/v1/models": say(200, {"object": "list", "data": [{"id": name} for name in models]}),
            "/api/generate": generate, **more}


def openai(completions=FINE_OPENAI, models=("tiny",), **more):
    return {"/v1/models": say(200, {"object": "list", "data": [{"id": name} for name in models]}),
            "/v1/completions": completions, **more}


# ---- the program -----------------------------------------------------------------------------

def start(*arguments, **options):
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environment.update(options.pop("env", {}))
    return subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                            **options)


class Child:
    def __init__(self, kind, url, *more, **options):
        self.process = start("--backend", kind, "--url", url, "--timeout", "30", *more, **options)
        self.hello = self.line()

    def line(self):
        text = self.process.stdout.readline()
        return json.loads(text) if text.endswith(NEW_LINE) else text

    def send(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def ask(self, prompt="Why?", tokens=2, **more):
        request = {"prompt": prompt, "tokens": tokens, "seed": 1, "temperature": 0, **more}
        self.send(json.dumps(request).encode() + NEW_LINE)
        return self.line()

    def end(self):
        """What else it said, and its exit code."""
        out, err = self.process.communicate(timeout=60)
        return out, err, self.process.returncode


class Case(unittest.TestCase):
    def server(self, routes, **more):
        server = Server(routes, **more)
        self.addCleanup(server.stop)
        return server

    def child(self, kind, server, *more, **options):
        url = server if isinstance(server, str) else server.url
        child = Child(kind, url, *more, **options)

        def clean():
            child.process.kill()
            child.process.communicate()
        self.addCleanup(clean)
        return child

    def ends_well(self, child):
        self.assertEqual(child.end(), (b"", b"", 0))

    def is_one_line(self, text, *words):
        self.assertRegex(text, r"\A[^\n]{10,470}\Z")
        for word in words:
            self.assertIn(word, text)

    def does_not_meet(self, kind, server, *words, more=()):
        child = self.child(kind, server, *more)
        self.assertEqual(sorted(child.hello), ["error"])
        self.is_one_line(child.hello["error"], *words)
        self.assertEqual(child.end(), (b"", b"", IO))
        return child.hello["error"]

    def is_result(self, result, n, tokens=None, prompt_tokens=None, finish="length"):
        self.assertEqual(sorted(result), ["finish", "pids", "prompt_tokens", "start_ns", "token_ns",
                                          "tokens"], result)
        self.assertEqual(len(result["token_ns"]), n)
        self.assertEqual(sorted(result["token_ns"]), result["token_ns"])
        if n > 0:
            self.assertLess(result["start_ns"], result["token_ns"][0])
        self.assertEqual((result["tokens"], result["prompt_tokens"], result["finish"]),
                         (n if tokens is None else tokens, prompt_tokens, finish))

    def is_error(self, result, n, *words):
        """n: times of tokens that came before; None: nothing was sent."""
        members = ["error"] if n is None else ["error", "start_ns", "token_ns"]
        self.assertEqual(sorted(result), members, result)
        self.is_one_line(result["error"], *words)
        if n is not None:
            self.assertEqual(len(result["token_ns"]), n)


def on_a_busy_machine(test):
    """Where another program takes the processor for a moment, what was sent apart comes together.
    What is right must be seen once in so many times, with longer and longer pauses of the server."""
    @functools.wraps(test)
    def tries(self, *arguments):
        for attempt in range(7):
            self.pause = 0.05 * 2 ** attempt
            try:
                return test(self, *arguments)
            except AssertionError:
                if attempt == 6:
                    raise
    return tries


# ---- what goes well --------------------------------------------------------------------------

class Ollama(Case):
    def test_a_whole_talk(self):
        server = self.server(ollama())
        child = self.child("ollama", server)
        self.assertEqual(child.hello, {"hello": 1, "server": "ollama 0.5.1", "model": "tiny:latest",
                                       "pids": [os.getpid()]})
        before = time.monotonic_ns()
        result = child.ask("Grüße, 世界 \"\\\n\x01", 17, seed=2**53, temperature=0.7)
        self.is_result(result, 2, 2, 5)
        self.assertLessEqual(before, result["start_ns"])
        self.assertLessEqual(result["token_ns"][-1], time.monotonic_ns())
        self.assertEqual(result["pids"], [os.getpid()])
        self.assertEqual(server.requests("/api/generate"), [
            {"model": "tiny:latest", "prompt": "Grüße, 世界 \"\\\n\x01", "stream": True,
             "raw": False, "options": {"num_predict": 17, "seed": 2**53, "temperature": 0.7}}])
        self.ends_well(child)

    def test_what_a_token_is(self):
        parts = (token(""), token("", thinking="hm"), token("x"), token("\x00"))
        child = self.child("ollama", self.server(ollama(in_turn(
            stream(*parts, last()), stream(token("a"), last(response="b", done_reason="stop")),
            stream(last(done_reason="stop", eval_count=0)), stream(last(thinking="c"))))))
        self.is_result(child.ask(), 4)
        self.is_result(child.ask(), 2, finish="stop")
        self.is_result(child.ask(), 0, finish="stop")
        self.is_result(child.ask(), 1)
        self.ends_well(child)

    def test_the_server_counts(self):
        child = self.child("ollama", self.server(ollama(in_turn(
            stream(token("ab"), last(eval_count=7, prompt_eval_count=0)),
            stream(token("ab"), last(eval_count=-1, prompt_eval_count="x")),
            stream(token("ab"), token("", done=True))))))
        self.is_result(child.ask(), 1, 7, 0)
        self.is_result(child.ask(), 1)
        self.is_result(child.ask(), 1, finish=None)
        self.ends_well(child)


class OpenAI(Case):
    def test_a_whole_talk(self):
        server = self.server(openai())
        child = self.child("openai", server)
        self.assertEqual(child.hello, {"hello": 1, "server": "openai (fake/1)", "model": "tiny",
                                       "pids": [os.getpid()]})
        self.is_result(child.ask("Grüße", 9), 2, 2, 5)
        self.assertEqual(server.requests("/v1/completions"), [
            {"model": "tiny", "prompt": "Grüße", "stream": True, "max_tokens": 9, "seed": 1,
             "temperature": 0, "ignore_eos": True, "stream_options": {"include_usage": True}}])
        self.ends_well(child)

    def test_what_a_token_is(self):
        child = self.child("openai", self.server(openai(in_turn(
            stream(choice(""), choice("a"), choice("b", "stop"), DONE),
            stream(choice("a"), choice("", "stop"), event({"choices": [], "usage": None}), DONE),
            stream(choice("a"), choice(None, "stop"), DONE),
            stream(DONE), stream(b": ping\n\n", choice("a"), b": ping\n\n", DONE)))))
        self.is_result(child.ask(), 3, finish="stop")
        self.is_result(child.ask(), 1, finish="stop")
        self.is_result(child.ask(), 1, finish="stop")
        self.is_result(child.ask(), 0, finish=None)
        self.is_result(child.ask(), 1, finish=None)
        self.ends_well(child)

    def test_fields_that_are_refused_are_left_out(self):
        def picky(*unknown):
            def route(handler):
                bad = next((name for name in unknown if name in handler.body), None)
                refusal = say(422, {"detail": f"unknown field {bad}"})
                (FINE_OPENAI if bad is None else refusal)(handler)
            return route
        for unknown, asked in ((("ignore_eos",), 2), (("stream_options",), 3),
                               (("ignore_eos", "stream_options"), 4)):
            server = self.server(openai(picky(*unknown)))
            child = self.child("openai", server)
            for n in (asked, asked + 1): # what is known is not tried again
                self.is_result(child.ask(), 2, 2, 5)
                self.assertEqual(len(server.requests("/v1/completions")), n)
            sent = server.requests("/v1/completions")[-1]
            self.assertEqual({"ignore_eos", "stream_options"} - set(sent), set(unknown))
            self.ends_well(child)

    def test_a_request_that_is_bad_by_itself(self):
        bad = say(400, {"error": {"message": "the prompt is too long", "code": 400}})
        server = self.server(openai(in_turn(bad, bad, bad, bad, FINE_OPENAI)))
        child = self.child("openai", server)
        self.is_error(child.ask(), 0, "HTTP 400", "the prompt is too long", server.url)
        self.is_result(child.ask(), 2, 2, 5)
        self.assertIn("ignore_eos", server.requests("/v1/completions")[-1])
        self.ends_well(child)


class Addresses(Case):
    def test_ways_to_write_a_url(self):
        for kind, routes, ending in (("openai", openai, "/v1"), ("ollama", ollama, "/api")):
            server = self.server(routes())
            bare = server.url.removeprefix("http://")
            for url in (server.url + "/", server.url + ending, server.url + ending + "//", bare,
                        bare + ending, "HTTP://" + bare):
                child = self.child(kind, url)
                self.assertEqual(child.hello.get("hello"), 1, (url, child.hello))
                self.ends_well(child)

    def test_a_path_before_the_routes(self):
        server = self.server({"/at/home" + path: route for path, route in openai().items()})
        child = self.child("openai", server.url + "/at/home/v1/")
        self.is_result(child.ask(), 2, 2, 5)
        self.ends_well(child)

    def test_no_proxy_is_asked(self):
        dead = {name: "http://127.0.0.1:9" for name in ("http_proxy", "HTTP_PROXY", "all_proxy")}
        child = self.child("openai", self.server(openai()), env=dead)
        self.is_result(child.ask(), 2, 2, 5)
        self.ends_well(child)

    def test_bad_urls(self):
        for url, words in (("ftp://localhost", ["ftp://localhost", "http://"]),
                           ("file:///etc/passwd", ["file:///etc/passwd", "http://"]),
                           ("http://", ["http:"]), ("", ["http:"]), ("http://[::1", ["[::1"]),
                           ("http://localhost:99999", ["99999"]),
                           ("http://localhost/" + 3000 * "x", ["too long"])):
            self.does_not_meet("openai", url, *words)

    def test_nobody_listens(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            url = "http://127.0.0.1:%d" % s.getsockname()[1]
            for kind in ("ollama", "openai"):  # the port is nobody else's meanwhile
                self.does_not_meet(kind, url, "no connection to", url, "refused", "run there?")

    def test_one_connection_for_all(self):
        server = self.server(ollama())
        child = self.child("ollama", server)
        for _ in range(3):
            self.is_result(child.ask(), 2, 2, 5)
        self.assertEqual(len({port for port, *_ in server.seen}), 1)
        self.ends_well(child)

    def test_a_connection_that_was_closed_between(self):
        """As servers do after some seconds: then there is a new one, and the clock starts on it."""
        def closing(handler):
            FINE_OLLAMA(handler)
            handler.close_connection = True
        server = self.server(ollama(in_turn(closing, FINE_OLLAMA)))
        child = self.child("ollama", server)
        for _ in range(2):
            self.is_result(child.ask(), 2, 2, 5)
            time.sleep(0.1)
        self.assertEqual(len({port for port, *_ in server.seen}), 2)
        self.ends_well(child)

    def test_a_connection_that_is_closed_on_the_next_request(self):
        """A server's close and a request that cross: tried anew, however often in a run."""
        once = set()

        def crossing(handler):
            port = handler.client_address[1]
            if port in once:
                handler.close_connection = True
                return
            once.add(port)
            FINE_OLLAMA(handler)
        server = self.server(ollama(crossing))
        child = self.child("ollama", server)
        for _ in range(9):
            self.is_result(child.ask(), 2, 2, 5)
        self.assertEqual(len(once), 9)
        self.ends_well(child)

    def test_no_redirection_is_followed(self):
        def away(handler):
            handler.send_response(302)
            handler.send_header("Location", "/elsewhere")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        self.does_not_meet("openai", self.server(openai(**{"/v1/models": away})), "HTTP 302")


class Times(Case):
    """Against the times at which the server wrote."""
    @on_a_busy_machine
    def test_even_tokens(self):
        times, gap = [], self.pause
        parts = [part for i in range(8) for part in (gap, choice(f" {i}"))]
        server = self.server(openai(stream(*parts, choice("", "length"), DONE, times=times)))
        child = self.child("openai", server)
        before = time.monotonic_ns()
        result = child.ask(tokens=8)
        self.is_result(result, 8)
        self.assertLess(before, result["start_ns"])
        self.assertGreater(times[0] - result["start_ns"], gap * 1e9)
        for wrote, read in zip(times, result["token_ns"]):
            self.assertLess(wrote, read)
        late = sorted(read - wrote for wrote, read in zip(times, result["token_ns"]))
        self.assertLess(late[len(late) // 2], 0.8e9 * gap)  # the median, on a busy machine
        self.ends_well(child)

    @on_a_busy_machine
    def test_several_in_one_write(self):
        for kind, routes, parts in (
                ("openai", openai, [choice("a") + choice("b") + choice("c"), self.pause,
                                    choice("d") + choice("", "length") + DONE]),
                ("ollama", ollama, [token("a") + token("b") + token("c"), self.pause,
                                    token("d") + last()])):
            child = self.child(kind, self.server(routes(stream(*parts))))
            result = child.ask()
            self.is_result(result, 4)
            a, b, c, d = result["token_ns"]
            self.assertTrue(a == b == c < d - 0.6e9 * self.pause, result)
            self.ends_well(child)

    def test_an_event_over_several_writes(self):
        """Its time is that of its end; characters and line ends are cut in two, too."""
        for end in (b"\n", b"\r\n"):
            for kind, routes, one, rest in (
                    ("openai", openai, choice("\U0001f600ß"), [choice("", "length"), DONE]),
                    ("ollama", ollama, token("\U0001f600ß"), [last()])):
                one = one.replace(b"\n", end)
                middle = one.index("\U0001f600".encode()) + 2
                for cut in (1, middle, len(one) - 1):
                    self.cut_in_two(kind, routes, one, cut, rest)

    @on_a_busy_machine
    def cut_in_two(self, kind, routes, one, cut, rest):
        times, gap = [], self.pause
        parts = [one, gap, one[:cut], gap, one[cut:]]
        child = self.child(kind, self.server(routes(stream(*parts, *rest, times=times))))
        result = child.ask()
        self.is_result(result, 2)
        first, second = result["token_ns"]
        self.assertTrue(times[0] < first < times[1] < second, (kind, one, cut, times, result))
        if one[cut - 1:] != b"\r\n":  # a CR alone ends a line
            self.assertLess(times[2], second)
        self.ends_well(child)

    def test_a_byte_a_write(self):
        for kind, routes, body in (
                ("openai", openai, choice("ü") + choice("b", "length") + usage(2, 1) + DONE),
                ("ollama", ollama, token("ü") + token("b") + last(eval_count=2,
                                                                  prompt_eval_count=1))):
            parts = [body[i:i + 1] for i in range(len(body))]
            child = self.child(kind, self.server(routes(stream(*parts))))
            self.is_result(child.ask(), 2, 2, 1)
            self.ends_well(child)

    def test_many_tokens(self):
        n = 3000
        context = list(range(100000, 100000 + 2 * n))
        child = self.child("ollama", self.server(ollama(stream(
            *[token(f" {i}", created_at="2025-01-01T00:00:00.123456789Z") for i in range(n)],
            last(eval_count=n, prompt_eval_count=n, context=context)))))
        self.is_result(child.ask(n * "word ", n), n, n, n)
        self.ends_well(child)

    def test_a_long_prompt(self):
        """More than libcurl asks leave for first, by itself."""
        server = self.server(ollama())
        child = self.child("ollama", server)
        self.is_result(child.ask("ä" * 2_000_000), 2, 2, 5)
        self.assertEqual(len(server.requests("/api/generate")[0]["prompt"]), 2_000_000)
        self.ends_well(child)


class Processes(Case):
    FORKS = """if True:
        import http.server, os, subprocess, sys, time
        sys.path.insert(0, sys.argv[1])
        child = subprocess.Popen(["sh", "-c", "sleep 60 & echo $! $$; wait"],
                                 stdout=subprocess.PIPE, text=True)
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_): pass
            def do_GET(self):
                body = b'{"version": "1", "models": [{"name": "m"}]}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
        server = http.server.HTTPServer((sys.argv[1], 0), Handler)
        print(server.server_address[1], os.getpid(), child.stdout.readline(), flush=True)
        server.serve_forever()
    """

    def test_another_process_and_its_children(self):
        for address, host in (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost")):
            other = subprocess.Popen([sys.executable, "-c", self.FORKS, address],
                                     stdout=subprocess.PIPE, start_new_session=True)
            try:
                port, *pids = map(int, other.stdout.readline().split())
                child = self.child("ollama", f"http://{host}:{port}")
                self.assertEqual(len(pids), 3)
                self.assertEqual(child.hello["pids"][0], other.pid)
                self.assertEqual(sorted(child.hello["pids"]), sorted(pids))
                self.ends_well(child)
            finally:
                os.killpg(other.pid, signal.SIGKILL)
                other.communicate()

    def test_ipv6(self):
        try:
            server = self.server(openai(), address="::1")
        except OSError as error:
            self.assertIn(error.errno, (97, 99), "no IPv6 here")  # EAFNOSUPPORT, EADDRNOTAVAIL
            return
        child = self.child("openai", server)
        self.assertEqual(child.hello["pids"], [os.getpid()])
        self.ends_well(child)

    def test_the_whole_loopback_net(self):
        child = self.child("openai", self.server(openai(), address="127.1.2.3"))
        self.assertEqual(child.hello["pids"], [os.getpid()])
        self.ends_well(child)


# ---- what goes wrong -------------------------------------------------------------------------

class WrongServer(Case):
    def test_one_for_the_other(self):
        ours = self.server(ollama())
        self.does_not_meet("openai", ours, ours.url, "ollama 0.5.1", "name it as 'ollama'")
        other = self.server(openai())
        self.does_not_meet("ollama", other, other.url, "no Ollama", "openai (fake/1)",
                           "name it as 'openai'")

    def test_a_server_with_both(self):
        """It has Ollama's routes, but does not call itself so."""
        server = self.server({**ollama(), **openai(), "/": not_found})
        for kind, name in (("ollama", "fake/1, as Ollama 0.5.1"), ("openai", "openai (fake/1)")):
            child = self.child(kind, server)
            self.assertEqual(child.hello["server"], name)  # no ratio is taken against it
            self.is_result(child.ask(), 2, 2, 5)
            self.ends_well(child)

    def test_neither(self):
        page = say(200, b"<!doctype html>\n<p>Hello", "text/html")
        for routes in ({}, {path: page for path in ("/", "/api/version", "/v1/models")},
                       {"/v1/models": say(200, []), "/api/version": say(200, {"version": 1})}):
            server = self.server(routes)
            for kind, path in (("ollama", "/api/version"), ("openai", "/v1/models")):
                self.does_not_meet(kind, server, server.url, path, "is the URL right?")

    def test_statuses(self):
        loading = {"error": {"code": 503, "message": "Loading model"}}
        for status, body, *words in (
                (503, loading, "HTTP 503", "Loading model", "try again"),
                (401, {"error": "who are you?"}, "HTTP 401", "who are you?", "key"),
                (403, b"", "HTTP 403", "key"),
                (500, b"<p>\x00Oh\nno \xff", "HTTP 500"),
                (500, {"detail": [{"loc": "x"}]}, "HTTP 500", "loc")):
            for kind, path, routes in (("ollama", "/api/version", ollama),
                                       ("openai", "/v1/models", openai)):
                server = self.server(routes(**{path: say(status, body)}))
                self.does_not_meet(kind, server, server.url + path, *words)

    def test_models(self):
        for kind, routes in (("ollama", ollama), ("openai", openai)):
            several = self.server(routes(models=("a:1b", "b:latest", "c/d")))
            self.does_not_meet(kind, several, "several models", "a:1b, b:latest, c/d")
            self.does_not_meet(kind, several, "no model 'a'", "a:1b, b:latest, c/d",
                               more=("--model", "a"))
            for asked, chosen in (("a:1b", "a:1b"), ("b", "b:latest"), ("c/d", "c/d")):
                child = self.child(kind, several, "--model", asked)
                self.assertEqual(child.hello["model"], chosen)
                self.ends_well(child)
            self.does_not_meet(kind, self.server(routes(models=())), "has no models")
            self.does_not_meet(kind, self.server(routes(models=())), "has no models",
                               more=("--model", "a"))
            many = [f"model-with-a-long-name-{i}" for i in range(200)]
            self.does_not_meet(kind, self.server(routes(models=many)), "several models", many[0])

    def test_a_list_of_something_else(self):
        server = self.server(ollama(**{"/api/tags": say(200, {"models": [1, {}, None, {"name": 5}]})}))
        self.does_not_meet("ollama", server, "several models")
        server = self.server(ollama(**{"/api/tags": say(200, {"models": {}})}))
        self.does_not_meet("ollama", server, "/api/tags")

    def test_no_server_at_all(self):
        def mute(handler):
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        def garbage(handler):
            handler.wfile.write(b"\x00\x01\x02 what?\r\n\r\n")
            handler.close_connection = True
        for route in (mute, garbage):
            server = self.server({"/v1/models": route})
            self.does_not_meet("openai", server, server.url, "broke off")


class Streams(Case):
    """A stream that fails: what came of it is told, and the next request is as good as ever."""
    def fails(self, kind, bad, n, *words, more=(), **request):
        routes, fine = (ollama, FINE_OLLAMA) if kind == "ollama" else (openai, FINE_OPENAI)
        server = self.server(routes(in_turn(bad, fine)))
        child = self.child(kind, server, *more)
        result = child.ask(**request)
        self.is_error(result, n, *words)
        self.is_result(child.ask(), 2, 2, 5)
        self.ends_well(child)
        return result

    def test_the_server_dies_half_way(self):
        three = (token("a"), token("b"), token("c"))
        self.fails("ollama", stream(*three, DIE), 3, "broke off", "see its own log")
        self.fails("ollama", stream(*three, token("d")[:-5], DIE), 3, "broke off")
        self.fails("ollama", stream(*three, token("d")[:-1], DIE), 3, "broke off")
        self.fails("ollama", stream(DIE), 0, "broke off")
        self.fails("openai", stream(choice("a"), choice("b")[:-1], DIE), 1, "broke off")
        self.fails("openai", stream(choice("a"), choice("", "length"), DIE), 1, "broke off")

    def test_it_ends_the_answer_half_way(self):
        """An end that HTTP takes for one."""
        for chunked in (True, False):
            self.fails("ollama", stream(token("a"), token("b"), chunked=chunked), 2, "half way",
                       "event 2")
            self.fails("openai", stream(choice("a"), chunked=chunked), 1, "half way", "event 1")
            self.fails("ollama", stream(token("a"), token("b")[:9], chunked=chunked), 1,
                       "event 2", "malformed")

    def test_a_loose_end_is_no_failure(self):
        for kind, routes, parts in (
                ("ollama", ollama, [token("a"), last()]),
                ("ollama", ollama, [token("a"), last()[:-1]]),
                ("openai", openai, [choice("a"), choice("", "length"), DONE[:-2]]),
                ("openai", openai, [choice("a"), choice("", "length")]),
                ("openai", openai, [choice("a"), choice("", "length"), DONE, b"more"])):
            for chunked in (True, False):
                child = self.child(kind, self.server(routes(stream(*parts, chunked=chunked))))
                self.is_result(child.ask(), 1)
                self.ends_well(child)
        child = self.child("ollama", self.server(ollama(stream(token("a"), last(), DIE))))
        self.is_result(child.ask(), 1)
        self.ends_well(child)

    def test_what_is_no_stream(self):
        page = b"<!doctype html>\n<p>Hello"
        whole = {"choices": [{"text": "Hello", "finish_reason": "stop"}]}
        self.fails("openai", say(200, page), 0, "without any event", "<!doctype html>")
        self.fails("openai", say(200, whole), 0, "without any event", "Hello")
        self.fails("openai", say(200, b""), 0, "without any event", "nothing")
        self.fails("ollama", say(200, page), 0, "event 1", "malformed", "<!doctype")
        self.fails("ollama", say(200, b""), 0, "without any event")

    def test_malformed_events(self):
        for bad in (b"{\"response\": \"b\"", b"{'response': 1}", b"\xff\xfe", b"[1]", b"{}", b"7",
                    b"{\"response\": 1}", b"{\"message\": {\"content\": \"x\"}}", b"{\"response\":\x00}"):
            self.fails("ollama", stream(token("a"), bad + b"\n", token("c"), last()), 1, "event 2",
                       "malformed")
            self.fails("openai", stream(choice("a"), b"data: " + bad + b"\n\n", choice("c"), DONE),
                       1, "event 2", "malformed")
        for bad in ({"choices": [{"delta": {"content": "x"}}]}, {"choices": [None]},
                    {"choices": {}}, {"choices": [{"text": None}]}):
            self.fails("openai", stream(choice("a"), event(bad), DONE), 1, "event 2", "malformed")

    def test_errors_in_the_stream(self):
        self.fails("ollama", stream(token("a"), b'{"error":"no\\nmemory"}\n'), 1, "event 2", "memory")
        for error in (event({"error": {"message": "no memory", "code": 500}}),
                      event({"error": "no memory"}),
                      b'error: {"code":500,"message":"no memory"}\n\n'):
            self.fails("openai", stream(choice("a"), error, DONE), 1, "event 2", "no memory")
        self.fails("openai", stream(event({"error": 5})), 0, "event 1", "an error")

    def test_statuses(self):
        for body, words in (({"error": "model 'tiny' not found"}, "model 'tiny' not found"),
                            ({"error": {"message": "no such model"}}, "no such model"),
                            ({"object": "error", "message": "no such model"}, "no such model"),
                            ({"detail": "Not Found"}, "Not Found"), (b"plain\ttext", "plain?text"),
                            (b"", "nothing more"), (b"x" * 3000, "x" * 100)):
            self.fails("ollama", say(404, body), 0, "/api/generate", "HTTP 404", words)
            self.fails("openai", say(500, body), 0, "/v1/completions", "HTTP 500", words)

    @on_a_busy_machine
    def test_silence(self):
        bound, wait = round(8 * self.pause, 1), 100
        for parts, n in (([wait], 0), ([token("a"), wait, last()], 1),
                         ([token("a"), token("b")[:8], wait, last()], 1)):
            began = time.monotonic()
            result = self.fails("ollama", stream(*parts), n, "silent", f"{bound:g} s", "--timeout",
                                more=("--timeout", bound))
            self.assertLess(time.monotonic() - began, wait - bound)
            self.assertGreater(time.monotonic_ns() - result["start_ns"], bound * 1e9)

    @on_a_busy_machine
    def test_slow_is_not_silent(self):
        parts = [part for i in range(6) for part in (5 * self.pause, choice("x"))]
        server = self.server(openai(stream(*parts, DONE)))
        child = self.child("openai", server, "--timeout", 20 * self.pause)
        self.is_result(child.ask(), 6, finish=None)
        self.ends_well(child)

    def test_silence_at_the_start(self):
        def wait(_):
            time.sleep(100)
        server = self.server({"/v1/models": wait})
        self.does_not_meet("openai", server, "silent", server.url, more=("--timeout", "0.3"))

    def test_more_than_there_is_room_for(self):
        flood = stream(token("a"), *(token("x" * 9000) for _ in range(60)))
        result = self.fails("ollama", flood, 1 + (256 * 1024 + 2 * 2048 + 8 * 4) // 9056,
                            "more than fits", str(256 * 1024 + 2 * 2048 + 8 * 4))
        self.assertLess(len(result["token_ns"]), 60)

    def test_a_list_of_models_without_end(self):
        server = self.server({"/v1/models": say(200, b" " * (5 << 20))})
        self.does_not_meet("openai", server, "more than fits")


class Input(Case):
    def test_bad_lines_are_told_and_passed_over(self):
        child = self.child("openai", self.server(openai()))
        good = {"prompt": "x", "tokens": 2, "seed": 1, "temperature": 0}
        for line, *words in (
                (b"", "no JSON"), (b"{", "no JSON"), (b"\xff", "no JSON"), (b"a\0b", "NUL"),
                (b"[]", "no request"), (b"{}", "prompt"), (b'{"prompt": "x"}', "tokens"),
                *((json.dumps({**good, name: bad}).encode(), word) for name, bad, word in (
                    ("prompt", 5, "no request"), ("prompt", None, "no request"),
                    ("prompt", "a\0b", "no JSON"), ("tokens", "2", "no request"),
                    ("tokens", 0, "tokens 1 to 65536"), ("tokens", 65537, "tokens 1 to 65536"),
                    ("tokens", -1, "tokens 1 to 65536"), ("tokens", 2**70, "no JSON"),
                    ("seed", -1, "seed"), ("seed", 0.5, "no request"),
                    ("temperature", -0.1, "temperature"), ("temperature", "0", "no request")))):
            child.send(line + NEW_LINE)
            self.is_error(child.line(), None, *words)
        self.is_result(child.ask(), 2, 2, 5)
        self.ends_well(child)

    def test_seed_and_temperature_may_be_left_out(self):
        server = self.server(openai())
        child = self.child("openai", server)
        child.send(b'{"prompt": "x", "tokens": 2}\r\n')
        self.is_result(child.line(), 2, 2, 5)
        sent = server.requests("/v1/completions")[0]
        self.assertEqual((sent["seed"], sent["temperature"]), (0, 0))
        self.ends_well(child)

    def test_a_line_without_an_end(self):
        child = self.child("openai", self.server(openai()))
        child.send(b'{"prompt": "x", "tokens": 2}')
        out, err, code = child.end()
        self.is_result(json.loads(out), 2, 2, 5)
        self.assertEqual((err, code), (b"", 0))

    def test_lines_that_wait(self):
        child = self.child("openai", self.server(openai()))
        child.send(3 * b'{"prompt": "x", "tokens": 2}\n')
        for _ in range(3):
            self.is_result(child.line(), 2, 2, 5)
        self.ends_well(child)

    def test_options(self):
        for arguments, words in ((["--backend", "x", "--url", "y"], "ollama"), ([], "--url"),
                                 (["--url", "y", "--timeout", "0"], "--timeout"),
                                 (["--url", "y", "--nonsense"], "--nonsense"),
                                 (["--url", "y", "z"], "too many")):
            out, err = start(*arguments).communicate(timeout=60)
            self.assertEqual(out, b"")
            self.assertRegex(err.decode(), r"\Aedgellm: [^\n]+\n\Z")
            self.assertIn(words, err.decode())
        process = start("--help")
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (0, b""))
        for option in ("--backend", "--url", "--model", "--timeout"):
            self.assertIn(option, out.decode())

    def test_signals(self):
        busy = threading.Event()

        def endless(handler):
            busy.set()
            stream(*[part for _ in range(200) for part in (token("a"), 0.05)])(handler)
        for number in (signal.SIGINT, signal.SIGTERM):
            for streams in (False, True):
                child = self.child("ollama", self.server(ollama(endless)))
                if streams:
                    busy.clear()
                    child.send(b'{"prompt": "x", "tokens": 2}\n')
                    self.assertTrue(busy.wait(30))
                child.process.send_signal(number)
                child.process.wait(timeout=30)  # before its input ends
                self.assertEqual(child.end(), (b"", b"", 128 + number))

    def test_nobody_reads(self):
        child = self.child("openai", self.server(openai()))
        child.process.stdout.close()
        child.send(b'{"prompt": "x", "tokens": 2}\n')
        self.assertEqual(child.process.wait(timeout=30), IO)
        self.assertIn(b"cannot write to standard output", child.process.stderr.read())


class Libraries(unittest.TestCase):
    def test_curl_is_needed_here_alone(self):
        main = pathlib.Path(PROGRAM).with_name("edgellm")
        for program, needs in ((PROGRAM, True), (main, False)):
            done = subprocess.run(["readelf", "-d", "-W", program], capture_output=True, check=True)
            self.assertEqual(bool(re.search(rb"NEEDED.*libcurl", done.stdout)), needs, program)


class Faults(Case):
    def run_failing(self, call, n, how, mark):
        variables = {"LD_PRELOAD": INJECT, "EDGELLM_FAULT": f"{call}:{n}:{how}",
                     "EDGELLM_FAULT_MARK": mark}
        process = start("--backend", "ollama", "--url", self.url, env=variables)
        out, err = process.communicate(b'{"prompt": "x", "tokens": 2}\n', timeout=60)
        return out, err, process.returncode

    def test_memory_runs_out(self):
        """Whichever allocation fails: an exit code of its own, whole lines, no crash."""
        self.url = self.server(ollama()).url
        n, step, seen = 1, 1, set()
        with tempfile.TemporaryDirectory() as folder:
            while True:
                mark = pathlib.Path(folder) / str(n)
                out, err, code = self.run_failing("memory", n, 12, str(mark))
                if not mark.exists():
                    break
                self.assertIn(code, (0, IO, MEMORY), (n, out, err))
                self.assertRegex(err.decode(), r"\A(edgellm: [^\n]+\n)?\Z", n)
                lines = [json.loads(line) for line in out.splitlines()]
                if code != 0:
                    self.assertTrue(err or "error" in lines[-1], (n, out, err))
                seen.add(code)
                n += step
                step = 1 + n // 60
        self.assertGreater(n, 100)
        self.assertTrue({0, MEMORY} <= seen or {IO, MEMORY} <= seen, seen)


if INJECT is None:  # calls cannot be replaced in this build
    del Faults


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
