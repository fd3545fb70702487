#!/usr/bin/env python3
"""What a token costs by `edgellm serve` beside `edgellm bench`, and what a connection takes that is idle:
the figures of docs/SERVER.md. Standard library only; nothing else should run meanwhile.

    make bench-stream [MODEL=FILE]
    tools/bench_stream.py EDGELLM MODEL
"""
import http.client
import json
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
import ws_client  # noqa: E402

EDGELLM, MODEL = sys.argv[1:3]
ANSWERS, TOKENS, IDLE = 12, 64, 1000
ASKED = {"prompt": "Once upon a time", "max_tokens": TOKENS, "ignore_eos": True, "temperature": 0}


def memory_kb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def per_token(times):
    return (times[-1] - times[0]) / (len(times) - 1) * 1e3


def by_events(port):
    """Milliseconds between the server-sent events of an answer."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("POST", "/v1/completions", json.dumps({**ASKED, "stream": True}),
                   {"Content-Type": "application/json"})
    times = [time.monotonic() for line in client.getresponse() if line.startswith(b"data: {")]
    client.close()
    return per_token(times)


def by_messages(socket, number):
    """Milliseconds between the messages of a WebSocket."""
    socket.send(type="request", id=str(number), **ASKED)
    times = []
    while (kind := socket.receive()["type"]) not in ("done", "error"):
        times += [time.monotonic()] if kind == "token" else []
    return per_token(times)


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a file for each connection
    server = subprocess.Popen([EDGELLM, "serve", MODEL, "--port", "0", "-j", "1", "--sessions", "1",
                               "--connections", str(IDLE + 10)], stdout=subprocess.PIPE)
    port = int(re.search(rb":(\d+) ", server.stdout.readline())[1])
    before = memory_kb(server.pid)
    idle = [ws_client.connect(port) for _ in range(IDLE)]
    print(f"an idle WebSocket, of {IDLE}: {(memory_kb(server.pid) - before) / IDLE:.1f} kB")
    for socket in idle:
        socket.close()
    rows = [(by_events(port), by_messages(socket, i))
            for socket in [ws_client.connect(port)] for i in range(ANSWERS)]
    server.terminate()
    server.communicate()
    events, messages = (statistics.median(row[k] for row in rows[1:]) for k in (0, 1))
    done = subprocess.run([EDGELLM, "bench", MODEL, "-j", "1", "-p", "8", "-n", str(TOKENS - 1), "--runs",
                           str(ANSWERS), "--json"], check=True, capture_output=True)
    print(f"a token: {events:.2f} ms as an event, {messages:.2f} ms as a message of a WebSocket; "
          f"tok/s by `edgellm bench`: {json.loads(done.stdout)['decode_tok_s']:.1f}, "
          f"{1e3 / events:.1f} by events")


if __name__ == "__main__":
    main()
