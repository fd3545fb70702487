#!/usr/bin/env python3
"""A stand-in for edgellm-bench-http: answers with times of its own making, at once, and misbehaves
as its address says:

    http://x/?server=NAME&first=MS&gap=MS&jitter=MS&die=N&kill=N&fewer=N&error=N&always=error&...

die, kill, error, fewer, backwards, garbage: at the Nth request (0: before the first). What it was
asked is appended to the file `log`.
"""
import json
import os
import signal
import sys
import time
import urllib.parse

words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(words["--url"]).query))


def say(value):
    print(value if isinstance(value, str) else json.dumps(value), flush=True)


def now(key, n):
    return int(query.get(key, -1)) == n


def note(value):
    if "log" in query:
        with open(query["log"], "a") as log:
            log.write(json.dumps(value) + "\n")


def answer(request, n):
    first, gap, jitter = (float(query.get(key, default)) * 1e6
                          for key, default in (("first", 5), ("gap", 2), ("jitter", 0)))
    start, tokens = time.monotonic_ns(), request["tokens"]
    if now("fewer", n):
        tokens -= 2
    late = jitter if n % 2 else -jitter
    times = [int(start + first + late + i * gap) for i in range(tokens)]
    if now("error", n) or query.get("always") == "error":
        return {"error": "the server closed the connection <half way>", "start_ns": start,
                "token_ns": times[:3]}
    if now("backwards", n):
        times.reverse()
    return {"start_ns": start, "token_ns": times, "tokens": tokens, "prompt_tokens": 24,
            "finish": "stop" if now("fewer", n) else "length", "pids": pids}


pids = [int(pid) for pid in query.get("pids", "").split(",") if pid]
note(words)
if "hello" in query:
    say(query["hello"])
    sys.exit(3)
say({"hello": 1, "server": query.get("server", "ollama 0.5.1"),
     "model": words.get("--model", "fake <model>"), "pids": pids})
for n, line in enumerate(sys.stdin):
    note(json.loads(line))
    time.sleep(float(query.get("sleep", 0)))
    if now("die", n):
        sys.exit(9)
    if now("kill", n):
        os.kill(os.getpid(), signal.SIGKILL)
    if now("garbage", n):
        say("this is no JSON")
    say(answer(json.loads(line), n))
