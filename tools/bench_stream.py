#!/usr/bin/env python3
"""What a token costs by `edgellm serve` beside the library's own calls (as `edgellm bench` makes them), how much later
the first one comes, and what a connection takes that is idle: the figures of docs/SERVER.md. Exit code 1: the first
token comes more than 2 ms later, or streams reach less than 97 % of the speed. Standard library only; nothing else
should run meanwhile.

    make bench-stream [MODEL=FILE]
    tools/bench_stream.py EDGELLM MODEL

Server and library are processes on one core, with equal contexts, which compute the same answers in turns of a fifth of
a second, so that what disturbs the machine meets both alike; where the system puts their memory alone makes 1 %, hence
several sittings with new ones. Of each answer the median of its gaps counts.
"""
import ctypes
import json
import os
import pathlib
import re
import resource
import socket
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "python" / "src")]
import load_clients  # noqa: E402
import ws_client  # noqa: E402

SITTINGS, BLOCKS, TOKENS, CONTEXT, IDLE = 4, 24, 64, 512, 1000
WORDS = "upon a time there was a small machine that told everybody how long it would take to answer"
ASKED = {"max_tokens": TOKENS, "ignore_eos": True, "temperature": 0, "repeat_penalty": 1}
LATER_MS, SHARE = 2, 0.97


def prompt(number):
    """Different from the one before in its first character, or the server would have its beginning already."""
    return f"{number % 10}{number} {WORDS}"


def gaps(times):
    """From each token to the next, in milliseconds."""
    return [(b - a) * 1e3 for a, b in zip(times, times[1:])]


# ---- the library -----------------------------------------------------------------------------------

def serve_library(model):
    """The other side of Library: numbers come, times of tokens go."""
    import edgellm
    from edgellm._library import ErrorInfo, library
    token, error = (ctypes.c_uint32 * 1)(), ErrorInfo()
    with edgellm.Engine(model) as engine, engine.session(context=CONTEXT, threads=1) as session:
        session.set_sampler(edgellm.Sampler(temperature=0, repeat_penalty=1))
        for line in sys.stdin:
            session.truncate(0)
            start = time.monotonic()
            session.eval(engine.tokenize(prompt(int(line)), bos=True))
            token[0] = session.choose()
            times, made = [time.monotonic() - start], [token[0]]
            for _ in range(TOKENS - 1):  # without the package's own few microseconds
                assert library.edgellm_session_eval(session.handle, token, 1, None, error) == 0
                assert library.edgellm_session_choose(session.handle, token, error) == 0
                times.append(time.monotonic() - start)
                made.append(token[0])
            print(json.dumps([times, engine.detokenize(made).decode(errors="replace")]), flush=True)


class Library:
    def __init__(self, edgellm, model, cores):
        place = pathlib.Path(edgellm).with_name("libedgellm.so")
        self.process = subprocess.Popen([sys.executable, __file__, "--library", model], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, preexec_fn=cores.enter,
                                        env={**os.environ, "EDGELLM_LIBRARY": str(place)})

    def ask(self, number):
        print(number, file=self.process.stdin, flush=True)
        times, text = json.loads(self.process.stdout.readline())
        return times[0] * 1e3, gaps(times), text

    def close(self):
        self.process.communicate()


# ---- the server ------------------------------------------------------------------------------------

def receive_all(client):
    """What comes up to the end of the answer, each piece with its time."""
    pieces, end = [], b""
    while not end.endswith(b"0\r\n\r\n"):
        piece = client.recv(65536)
        assert piece, "the server has closed the connection"
        pieces.append((time.monotonic(), piece))
        end = (end + piece)[-16:]
    return pieces


def read_events(pieces):
    """When each event was there, and what it says; chunks hold whole lines."""
    times, events, line = [], [], b""
    for at, piece in pieces:
        *lines, line = (line + piece).split(b"\n")
        new = [json.loads(x[6:]) for x in lines if x.startswith(b"data: {")]
        events += new
        times += [at] * len(new)
    return times, events


class Server:
    def __init__(self, edgellm, model, cores, places=10):
        self.process = subprocess.Popen(
            [edgellm, "serve", model, "--port", "0", "-j", "1", "--sessions", "1", "-c", str(CONTEXT), "--connections",
             str(places)], stdout=subprocess.PIPE, preexec_fn=cores.enter)
        self.port = int(re.search(rb":(\d+) ", self.process.stdout.readline())[1])
        self.client = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.web_socket = ws_client.connect(self.port)

    def by_events(self, number):
        """(to the first event, from each token to the next) in milliseconds, and the text."""
        body = json.dumps({**ASKED, "prompt": prompt(number), "stream": True}).encode()
        start = time.monotonic()
        self.client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            b"Content-Length: %d\r\n\r\n" % len(body) + body)
        times, events = read_events(receive_all(self.client))
        last = events[-1]["timings"]
        assert last["predicted_n"] == TOKENS, last
        text = "".join(e["choices"][0]["text"] for e in events)
        return (times[0] - start) * 1e3, gaps(times[:-1]), text

    def by_messages(self, number):
        start = time.monotonic()
        self.web_socket.send(type="request", id=str(number), prompt=prompt(number), **ASKED)
        times, text = [], ""
        while (message := self.web_socket.receive())["type"] not in ("done", "error"):
            if message["type"] == "token":
                times.append(time.monotonic())
                text += message["text"]
        return (times[0] - start) * 1e3, gaps(times), text + message.get("text", "")

    def close(self):
        self.client.close()
        self.web_socket.close()
        self.process.terminate()
        self.process.communicate()

    def memory_kb(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])


def measure_idle(*what):
    server = Server(*what, places=IDLE + 10)
    before = server.memory_kb()
    idle = [ws_client.connect(server.port) for _ in range(IDLE)]
    print(f"an idle WebSocket, of {IDLE}: {(server.memory_kb() - before) / IDLE:.1f} kB")
    for web_socket in idle:
        web_socket.close()
    server.close()


# ---- both ------------------------------------------------------------------------------------------

def sitting(first, *what):
    """Rows of (first token, median of gaps), by events, by messages, by the library."""
    server, library = Server(*what), Library(*what)
    ways, rows = [server.by_events, server.by_messages, library.ask], []
    texts = {way(first)[2] for way in ways}  # and all is warm
    assert len(texts) == 1, texts
    for k in range(BLOCKS):
        found = [None] * 3
        for i in range(3):
            way = (i + k) % 3
            found[way] = ways[way](first + 10 * k + i + 1)
        rows.append([(row[0], statistics.median(row[1])) for row in found])
    server.close()
    library.close()
    return rows


def quartiles(values):
    """The error is that of a median of so many values that lie as these quartiles say."""
    low, middle, high = statistics.quantiles(values, n=4)
    error = 0.93 * (high - low) / len(values) ** 0.5
    return f"{middle:.1%} (quartiles {low:.1%}, {high:.1%}; standard error {error:.1%})"


def main(edgellm, model):
    what = edgellm, model, load_clients.Cores()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a file for each connection
    measure_idle(*what)
    rows = [row for s in range(1, SITTINGS + 1) for row in sitting(1000 * s, *what)]
    first, each = ([statistics.median(row[way][k] for row in rows) for way in range(3)] for k in (0, 1))
    later = [statistics.median(row[way][0] - row[2][0] for row in rows) for way in (0, 1)]
    shares = [[row[2][1] / row[way][1] for row in rows] for way in (0, 1)]
    print(f"medians of {SITTINGS} x {BLOCKS} blocks, {what[2]}; ms by events, by messages, by the library")
    print("the first token: {:.2f}, {:.2f}, {:.2f}".format(*first)
          + "; later than by the library {:+.2f}, {:+.2f}".format(*later))
    print("a token:         {:.3f}, {:.3f}, {:.3f}".format(*each) + "; of its speed " + ", ".join(map(quartiles, shares)))
    holds = later[0] <= LATER_MS and statistics.median(shares[0]) >= SHARE
    print(f"{'holds' if holds else 'FAILS'}: at most {LATER_MS} ms later, at least {SHARE:.0%} of the speed, by events")
    return not holds


if __name__ == "__main__":
    if sys.argv[1] == "--library":
        serve_library(sys.argv[2])
    else:
        sys.exit(main(*sys.argv[1:3]))
