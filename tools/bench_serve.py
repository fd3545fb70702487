#!/usr/bin/env python3
"""`edgellm serve` under load: 64 streaming clients for a minute on one core, some with deadlines, and
10,000 WebSockets that are idle. Says what of docs/SERVER.md ("Under load") holds; exit code 1: something does
not. Standard library only; nothing else should run meanwhile.

    make bench-serve [MODEL=FILE] [ARGS="--seconds 30 --only load --json out.json"]
    tools/bench_serve.py EDGELLM MODEL [options]
"""
import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
import load_clients  # noqa: E402
import ws_client  # noqa: E402

PROMPTS = ("Once upon a time in a small town by the sea there lived", "The robot looked at the lamp and said that",
           "Water boils at a lower temperature on a mountain because", "To make bread one needs flour, water, salt and")
PROMPT_TOKENS = 17  # what these have with the number before them, for the engine's own batch
TOKENS = 128
OTHER_FILES = 64


def arguments():
    p = argparse.ArgumentParser(description="edgellm serve under load")
    p.add_argument("edgellm")
    p.add_argument("model")
    p.add_argument("--clients", type=int, default=64)
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--sessions", type=int, default=16)
    p.add_argument("--queue", type=int, default=32)
    p.add_argument("-c", "--context", type=int, default=512)
    p.add_argument("--rounds", type=int, default=3, help="in which the load comes, the engine's own batch between them")
    p.add_argument("--runs", type=int, default=1, help="of the engine's own batch, each time")
    p.add_argument("--idle", type=int, default=10000, help="WebSockets")
    p.add_argument("--core", type=int, help="the server's; the last one permitted if not given")
    p.add_argument("--only", choices=("load", "idle"))
    p.add_argument("--json", help="a file for the figures")
    return p.parse_args()


class Checks:
    def __init__(self):
        self.figures, self.failed = {}, []

    def note(self, name, value):
        self.figures[name] = value

    def check(self, holds, words):
        print(f"{'holds' if holds else 'FAILS'}  {words}", flush=True)
        if not holds:
            self.failed.append(words)


class Server:
    def __init__(self, a, cores, *options, log=None):
        command = [a.edgellm, "serve", a.model, "--port", "0", "-j", "1", "-c", str(a.context), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, preexec_fn=cores.enter)
        self.line = self.process.stdout.readline().decode()
        if not self.line:
            sys.exit(f"the server did not start: exit code {self.process.wait()}")
        print("      ", self.line, end="")
        self.port = int(re.search(r":(\d+) ", self.line)[1])
        self.plan = self.get("/v1/models")["data"][0]["meta"]["memory"]["total"]

    def get(self, path):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        client.request("GET", path)
        answer = json.loads(client.getresponse().read())
        client.close()
        return answer

    def memory(self, name):
        """In bytes; name: VmRSS, or VmHWM, the most there was."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024

    def busy(self):
        """What each thread has computed, in nanoseconds."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int((task / "schedstat").read_text().split()[0]) for task in tasks]

    def answer(self, tokens=16):
        """A normal request: milliseconds between its tokens, by the client's clock."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        client.request("POST", "/v1/completions", json.dumps(
            {"prompt": PROMPTS[0], "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True}),
            {"Content-Type": "application/json"})
        times = [time.monotonic() for line in client.getresponse() if line.startswith(b"data: {")]
        client.close()
        return (times[-1] - times[0]) / (len(times) - 1) * 1e3

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=120)
        return self.process.returncode


# ---- 64 clients --------------------------------------------------------------------------------

def engine_speed(a, cores):
    """Tokens a second of as many sessions in one process: all the time, and steps alone."""
    done = subprocess.run([a.edgellm, "bench", a.model, "--sessions", str(a.sessions), "-j", "1", "-c",
                           str(a.context), "-p", str(PROMPT_TOKENS), "-n", str(TOKENS - 1), "--runs", str(a.runs),
                           "--warmup", "1", "--json"], check=True, capture_output=True, preexec_fn=cores.enter)
    together = json.loads(done.stdout)["together"]
    return together["whole_tok_s"], together["decode_tok_s"]


def body_of(round_s):
    """What a client asks for: greedy, as the engine's own batch does. A third has a deadline, from less
    than an answer takes among others to more than all that can wait."""
    def body(chance):
        asked = {"prompt": f"{chance.randrange(10**6)}: {chance.choice(PROMPTS)}", "temperature": 0,
                 "repeat_penalty": 1, "ignore_eos": True,
                 "max_tokens": TOKENS + chance.choice((-64, -32, 0, 32, 64))}
        if chance.random() < 1 / 3:
            asked["deadline_ms"] = int(1e3 * round_s * chance.uniform(0.1, 6))
        return asked
    return body


def read_log(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def check_counts(checks, load, lines):
    n, answered, refused = load.sent, len(load.answered), len(load.refused)
    by_status = {s: sum(o.status == s for o in load.refused) for s in load_clients.REFUSALS}
    checks.note("sent", n)
    checks.note("answered", answered)
    checks.note("refused", by_status)
    checks.check(answered + refused == n and not load.broken,
                 f"answered {answered} + refused {refused} = sent {n} ({by_status[429]} no place, "
                 f"{by_status[422]} deadline)")
    mine = [line for line in lines if (line.get("id") or "").startswith("load-")]
    done = sum(line["outcome"] == "done" for line in mine)
    told = n - sum(o.turned_away for o in load.refused)
    checks.check((done, len(mine)) == (answered, told), f"the server's log has them all: {done} done of {len(mine)}")
    met = sum(line["deadline"] == "met" for line in mine)
    missed = sum(line["deadline"] == "missed" for line in mine)
    checks.note("deadlines", {"met": met, "missed": missed})
    print(f"       deadlines: {met} met, {missed} missed of those that were accepted")


def check_order(checks, lines):
    looked_at, faults = load_clients.order_faults(load_clients.jobs_of(lines))
    checks.note("order", {"pairs": looked_at, "faults": len(faults)})
    checks.check(looked_at > 0 and not faults,
                 f"order by deadline: {len(faults)} of {looked_at} pairs that waited at a time were the wrong way round")


def share_of(checks, speeds, engine):
    """Of each round its speed by that of the engine's own batch before and after it: what disturbs the machine
    for longer than that meets both. The medians."""
    beside = [((x + y) / 2 for x, y in zip(one, other)) for one, other in zip(engine, engine[1:])]
    shares = [[speed / own for own in both] for speed, both in zip(speeds, beside)]
    whole, decode = map(statistics.median, zip(*shares))
    checks.note("shares", shares)
    wholes = ", ".join(f"{s[0]:.3f}" for s in shares)
    own = ", ".join(f"{e[0]:.1f}" for e in engine)
    checks.check(whole >= 0.9, f"{whole:.3f} of the engine's own batch ({wholes}); of its steps alone {decode:.3f}; "
                 f"its tokens a second: {own}")


def run_load(a, cores, checks):
    engine, speeds = [engine_speed(a, cores)], []
    log = pathlib.Path(tempfile.mkstemp(suffix=".log")[1])
    with log.open("wb") as file:
        server = Server(a, cores, "--sessions", str(a.sessions), "--queue", str(a.queue), "--connections",
                        str(2 * a.clients), "--log", "json", log=file)
    seconds = a.seconds / a.rounds
    load = load_clients.Load(server.port, a.clients, seconds, body_of(a.sessions * TOKENS / engine[0][0]))
    asking = 0
    for _ in range(a.rounds):
        began, computed = time.monotonic(), time.process_time()
        speeds.append(load.run().speed(min(3, seconds / 4)))
        asking += (time.process_time() - computed) / (time.monotonic() - began) / a.rounds
        engine.append(engine_speed(a, cores))
    busy = server.busy()
    most, normal = server.memory("VmHWM"), server.answer()
    code = server.end()
    lines = read_log(log)
    log.unlink()
    checks.note("tok_s", speeds)
    checks.note("engine_whole_tok_s", [e[0] for e in engine])
    checks.note("engine_decode_tok_s", [e[1] for e in engine])
    checks.note("memory", {"plan": server.plan, "most": most})
    checks.note("first_token_ms", statistics.median(1e3 * (o.arrivals[0] - o.sent) for o in load.answered))
    check_counts(checks, load, lines)
    checks.note("sessions_taken", load.taken)
    checks.check(max(load.taken) >= a.sessions, f"at once: {max(load.taken)} of {a.sessions} sessions "
                 f"(median {statistics.median(load.taken):.0f})")
    share_of(checks, speeds, engine)
    beside = 1 - max(busy) / sum(busy)
    checks.note("beside_computing", beside)
    checks.note("asking", asking)
    print(f"       {100 * beside:.1f} % of what the server took of its core was not the thread that computes; who asks "
          f"was busy {100 * asking:.0f} % of the time")
    check_order(checks, lines)
    checks.check(most <= server.plan, f"memory: {most / 1e6:.1f} MB at most, plan {server.plan / 1e6:.1f} MB")
    checks.check(normal > 0 and code == 0, f"then a request is answered ({normal:.2f} ms a token), and SIGTERM ends it well")


# ---- 10,000 WebSockets -------------------------------------------------------------------------

class Idle:
    """WebSockets that do nothing but answer pings, in a thread."""

    def __init__(self, port):
        self.port, self.sockets, self.pings, self.lost = port, [], 0, 0
        self.selector, self.ends = selectors.EpollSelector(), False
        self.thread = threading.Thread(target=self.answer, daemon=True)

    def open_one(self, _):
        client = ws_client.connect(self.port)
        client.file.close()
        client.sock.setblocking(False)
        self.sockets.append(client.sock)
        self.selector.register(client.sock, selectors.EVENT_READ)

    def open(self, n):
        self.thread.start()
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            list(pool.map(self.open_one, range(n)))

    def answer_one(self, sock):
        data = b""
        with contextlib.suppress(OSError):
            data = sock.recv(4096)
        if len(data) < 2 or data[0] & 15 == ws_client.CLOSE:
            self.lost += 1
            self.selector.unregister(sock)
        elif data[0] & 15 == ws_client.PING:
            self.pings += 1
            with contextlib.suppress(OSError):
                sock.send(ws_client.frame(data[2:2 + (data[1] & 127)], opcode=ws_client.PONG))

    def answer(self):
        while not self.ends:
            for key, _ in self.selector.select(0.2):
                self.answer_one(key.fileobj)

    def close(self):
        self.ends = True
        self.thread.join()
        for sock in self.sockets:
            sock.close()


def is_turned_away(port):
    """One of two more than there are places."""
    told = b""
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(3)]
        with contextlib.suppress(OSError):
            told = kept[-1].recv(100)
    return told.startswith(b"HTTP/1.1 503 ")


def check_files(a, checks):
    """Where too few files are permitted it says so, and does not start."""
    few = a.idle // 2
    done = subprocess.run([a.edgellm, "serve", a.model, "--port", "0", "-c", "64", "--connections", str(a.idle)],
                          capture_output=True, timeout=120,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (few, few)))
    checks.check(done.returncode == 3 and b"ulimit -n" in done.stderr and not done.stdout,
                 f"with {few} files permitted: {done.stderr.decode().strip()}")


def run_idle(a, cores, checks):
    check_files(a, checks)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < a.idle + OTHER_FILES:
        checks.check(False, f"{a.idle} connections cannot be tried: {most} files are permitted (ulimit -n)")
        return
    server = Server(a, cores, "--sessions", "1", "--connections", str(a.idle + 1))
    before, alone = server.memory("VmRSS"), server.answer(48)
    idle = Idle(server.port)
    began = time.monotonic()
    idle.open(a.idle)
    took = time.monotonic() - began
    each = (server.memory("VmRSS") - before) / a.idle
    among = server.answer(48)
    away = is_turned_away(server.port)
    time.sleep(25)  # a heartbeat, of which nothing may be lost
    high = server.memory("VmHWM")
    checks.note("idle", {"sockets": a.idle, "opened_s": took, "bytes_each": each, "plan": server.plan, "most": high,
                         "token_ms_alone": alone, "token_ms_among": among, "pings": idle.pings, "lost": idle.lost})
    checks.check(idle.lost == 0 and idle.pings >= a.idle,
                 f"{a.idle} WebSockets opened in {took:.1f} s; {idle.pings} pings answered, {idle.lost} lost")
    checks.check(high <= server.plan, f"memory: {each / 1e3:.1f} kB each; {high / 1e6:.1f} MB at most, plan "
                 f"{server.plan / 1e6:.1f} MB")
    checks.check(among > 0, f"a request is answered among them: {among:.2f} ms a token, {alone:.2f} without them")
    checks.check(away, "more than there are places are told 503")
    idle.close()
    time.sleep(1)
    checks.check(server.answer() > 0 and server.end() == 0, "when they have gone a request is answered, and SIGTERM ends it well")


def main():
    a = arguments()
    cores, checks = load_clients.Cores(a.core), Checks()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a file for each connection
    os.environ["EDGELLM_CACHE"] = "none"
    print(f"       {cores}")
    if a.only != "idle":
        run_load(a, cores, checks)
    if a.only != "load":
        run_idle(a, cores, checks)
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps({**checks.figures, "failed": checks.failed}, indent=1) + "\n")
    return bool(checks.failed)


if __name__ == "__main__":
    sys.exit(main())
