#!/usr/bin/env python3
"""What a token costs by `edgellm serve` beside `edgellm bench`, how much later the first one comes, and what a
connection takes that is idle: the figures of docs/SERVER.md. Exit code 1: the first token comes more than 2 ms
later, or streams reach less than 97 % of the speed. Standard library only; nothing else should run meanwhile.

    make bench-stream [MODEL=FILE]
    tools/bench_stream.py EDGELLM MODEL
"""
import csv
import http.client
import json
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
import load_clients  # noqa: E402
import ws_client  # noqa: E402

EDGELLM, MODEL = sys.argv[1:3]
CORES = load_clients.Cores()
BLOCKS, ANSWERS, TOKENS, IDLE = 31, 2, 64, 1000
WORDS = "upon a time there was a small machine that told everybody how long it would take to answer"
ASKED = {"max_tokens": TOKENS, "ignore_eos": True, "temperature": 0, "repeat_penalty": 1}
LATER_MS, SHARE = 2, 0.97


def memory_kb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def prompt(number):
    """Different from the first word on, or the server would have its beginning already."""
    return f"{number} {WORDS}"


def per_token(times):
    return (times[-1] - times[0]) / (len(times) - 1) * 1e3


def by_events(port, number):
    """(to the first server-sent event, from each to the next) in milliseconds, and the prompt's tokens."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.connect()
    start = time.monotonic()
    client.request("POST", "/v1/completions", json.dumps({**ASKED, "prompt": prompt(number), "stream": True}),
                   {"Content-Type": "application/json"})
    lines = [(time.monotonic(), line) for line in client.getresponse() if line.startswith(b"data: {")]
    client.close()
    times = [t for t, _ in lines]
    return (times[0] - start) * 1e3, per_token(times), json.loads(lines[-1][1][6:])["timings"]["prompt_n"]


def by_messages(socket, number):
    """Likewise of the messages of a WebSocket."""
    start = time.monotonic()
    socket.send(type="request", id=str(number), prompt=prompt(number), **ASKED)
    times = []
    while (kind := socket.receive()["type"]) not in ("done", "error"):
        times += [time.monotonic()] if kind == "token" else []
    return (times[0] - start) * 1e3, per_token(times)


def by_library(prompt_tokens):
    """Likewise of as many tokens in one process, without a server: a list of pairs."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tokens.csv"
        subprocess.run([EDGELLM, "bench", MODEL, "-j", "1", "-p", str(prompt_tokens), "-n", str(TOKENS - 1),
                        "--runs", str(ANSWERS), "--warmup", "1", "--unique-prompts", "--csv", path], check=True,
                       capture_output=True, preexec_fn=CORES.enter)
        rows = list(csv.DictReader(path.open()))
    requests = {}
    for row in rows:
        if row["backend"].endswith("edgellm"):
            requests.setdefault(row["request"], []).append(float(row["since_start_ms"]) / 1e3)
    return [(times[0] * 1e3, per_token(times)) for times in requests.values()]


def measure_idle(server, port):
    before = memory_kb(server.pid)
    idle = [ws_client.connect(port) for _ in range(IDLE)]
    print(f"an idle WebSocket, of {IDLE}: {(memory_kb(server.pid) - before) / IDLE:.1f} kB")
    for socket in idle:
        socket.close()


def block(port, socket, number):
    """One figure of each kind, by way of all three."""
    asked = [by_events(port, number + i) for i in range(ANSWERS + 1)][1:]  # the first warms up
    told = [by_messages(socket, number + 100 + i) for i in range(ANSWERS)]
    library = by_library(asked[0][2])
    return [[statistics.median(row[k] for row in rows) for k in (0, 1)] for rows in (asked, told, library)]


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a file for each connection
    server = subprocess.Popen([EDGELLM, "serve", MODEL, "--port", "0", "-j", "1", "--sessions", "1",
                               "--connections", str(IDLE + 10)], stdout=subprocess.PIPE, preexec_fn=CORES.enter)
    port = int(re.search(rb":(\d+) ", server.stdout.readline())[1])
    measure_idle(server, port)
    socket = ws_client.connect(port)
    rows = [block(port, socket, 1000 * b) for b in range(1, BLOCKS + 1)]
    socket.close()
    server.terminate()
    server.communicate()
    first, each = ([statistics.median(row[way][k] for row in rows) for way in range(3)] for k in (0, 1))
    later = [statistics.median(row[way][0] - row[2][0] for row in rows) for way in (0, 1)]
    share = [statistics.median(row[2][1] / row[way][1] for row in rows) for way in (0, 1)]
    print(f"medians of {BLOCKS} blocks that take turns, {CORES}; ms by events, by messages, by `edgellm bench`")
    print("the first token: {:.2f}, {:.2f}, {:.2f}".format(*first)
          + "; later than in one process by {:+.2f}, {:+.2f}".format(*later))
    print("a token:         {:.3f}, {:.3f}, {:.3f}".format(*each)
          + "; of its speed {:.1%}, {:.1%}".format(*share))
    holds = later[0] <= LATER_MS and share[0] >= SHARE
    print(f"{'holds' if holds else 'FAILS'}: at most {LATER_MS} ms later, at least {SHARE:.0%} of the speed, by events")
    return not holds


if __name__ == "__main__":
    sys.exit(main())
