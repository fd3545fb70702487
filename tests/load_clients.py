"""Many streaming clients of `edgellm serve` at once, and what has to hold of what they and the server's
log saw: tests/test_serve_load.py asks a tiny model for seconds, tools/bench_serve.py a real one for a
minute. Standard library only."""
import asyncio
import bisect
import dataclasses
import datetime
import json
import math
import os
import random
import re
import time

PATH = "/v1/completions"
REFUSALS = (422, 429, 503)


class Cores:
    """The server and the engine beside it have one; who asks has the others, if there are any."""

    def __init__(self, wanted=None):
        permitted = os.sched_getaffinity(0)
        self.server = wanted if wanted is not None else max(permitted)
        self.others = sorted(permitted - {self.server})
        if self.others:
            os.sched_setaffinity(0, self.others)

    def enter(self):
        """For preexec_fn."""
        os.sched_setaffinity(0, {self.server})

    def __str__(self):
        others = ", ".join(map(str, self.others))
        return f"the server has core {self.server}, who asks " + (others or "the same")


@dataclasses.dataclass
class Outcome:
    """Of one request. status 0: the connection broke before there was one. whole: it came to its end."""
    name: str
    sent: float
    deadline_ms: int | None
    status: int = 0
    whole: bool = False
    turned_away: bool = False  # there was no place for the connection
    retry_after: float = 0
    arrivals: list = dataclasses.field(default_factory=list)
    tokens: int = 0
    finish: str | None = None
    queue_ms: float = 0
    prompt_ms: float = 0

    @property
    def answered(self):
        return self.status == 200 and self.whole and self.finish is not None

    @property
    def refused(self):
        return self.status in REFUSALS and self.whole


def request_of(body, name, path=PATH):
    data = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"X-Request-Id: {name}\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data


async def read_head(reader):
    """Status and headers."""
    status = int((await reader.readline() or b"HTTP/1.1 0").split()[1])
    headers = {}
    while (line := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return status, headers


def take_event(outcome, event):
    """Counts are what the last one says."""
    choices = event.get("choices", [])
    if choices and choices[0]["finish_reason"]:
        outcome.finish = choices[0]["finish_reason"]
        timings = event["timings"]
        outcome.tokens = timings["predicted_n"]
        outcome.queue_ms, outcome.prompt_ms = timings["queue_ms"], timings["prompt_ms"]


async def read_events(reader, outcome):
    """Chunks hold whole lines, so that those of events are told apart by how they begin. Only the last, with counts,
    is read as JSON: many clients in one process are not to take the memory's speed from who computes."""
    rest = b""
    while piece := await reader.read(65536):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line == b"data: [DONE]":
                outcome.whole = True
                return
            if b'"finish_reason":null' in line:
                outcome.arrivals.append(time.monotonic())
            elif line.startswith(b"data: "):
                take_event(outcome, json.loads(line[6:]))


async def ask(port, body, name):
    """One request on a connection of its own."""
    outcome = Outcome(name, time.monotonic(), body.get("deadline_ms"))
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_of({"stream": True, **body}, name))
        outcome.status, headers = await read_head(reader)
        outcome.retry_after = float(headers.get("retry-after", 0))
        if outcome.status == 200:
            await read_events(reader, outcome)
        else:
            text = await reader.readexactly(int(headers["content-length"]))
            outcome.turned_away = outcome.status == 503 and not text
            outcome.whole = outcome.turned_away or "error" in json.loads(text)
    except (OSError, EOFError, ValueError, KeyError):
        pass  # it is neither answered nor refused
    if writer:
        writer.close()
    return outcome


async def get(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    status, headers = await read_head(reader)
    text = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    assert status == 200, (path, status, text)
    return text.decode()


async def metric(port, *names):
    text = await get(port, "/metrics")
    return [float(re.search(rf"^edgellm_{name} (\S+)$", text, re.M).group(1)) for name in names]


class Load:
    """clients that ask one after the other until `seconds` have passed, each with its own chance; what
    runs then may end. body(chance) makes what is asked. May be run several times."""

    def __init__(self, port, clients, seconds, body):
        self.port, self.clients, self.seconds, self.body = port, clients, seconds, body
        self.outcomes, self.sent, self.taken, self.runs = [], 0, [], 0
        self.tokens = []  # (time, how many were computed so far)

    async def one_client(self, number):
        chance = random.Random(number + self.runs * self.clients)
        for k in range(10**9):
            if time.monotonic() >= self.until:
                return
            self.sent += 1
            outcome = await ask(self.port, self.body(chance), f"load-{number}-{self.runs}.{k}")
            self.outcomes.append(outcome)
            if outcome.status in REFUSALS:  # as told, but for some chance, so that not all come at once
                await asyncio.sleep(min(outcome.retry_after, 1) * chance.uniform(0.2, 1))

    async def watch(self, every):
        """How many sessions are taken, and how many tokens there were so far."""
        while True:
            now = time.monotonic()
            taken, firsts, others = await metric(self.port, "sessions_taken", "first_token_seconds_count",
                                                 "token_gap_seconds_count")
            self.taken.append(int(taken))
            self.tokens.append(((now + time.monotonic()) / 2, firsts + others))
            await asyncio.sleep(every)

    async def go(self, every):
        self.until = time.monotonic() + self.seconds
        watcher = asyncio.create_task(self.watch(every))
        await asyncio.gather(*(self.one_client(i) for i in range(self.clients)))
        watcher.cancel()

    def run(self, every=0.5):
        asyncio.run(self.go(every))
        self.runs += 1
        return self

    @property
    def answered(self):
        return [o for o in self.outcomes if o.answered]

    @property
    def refused(self):
        return [o for o in self.outcomes if o.refused]

    @property
    def broken(self):
        return [o for o in self.outcomes if not o.answered and not o.refused]

    def speed(self, ramp):
        """Tokens a second of the last run, from when `ramp` seconds have passed until sessions are free: those that
        wait when no further request is sent count too."""
        began, most = self.until - self.seconds + ramp, max(self.taken)
        inside = [sample for sample, taken in zip(self.tokens, self.taken) if sample[0] >= began and taken == most]
        (t0, n0), (t1, n1) = inside[0], inside[-1]
        return (n1 - n0) / (t1 - t0)


# ---- what the server's log says ----------------------------------------------------------------

@dataclasses.dataclass
class Job:
    asked: float
    began: float
    due: float


def jobs_of(lines):
    """Those that got a session, in the order in which they did."""
    jobs = []
    for line in lines:
        if line.get("queue_ms") is None:
            continue
        ended = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
        asked = ended - line["total_ms"] / 1e3
        within = line["deadline_ms"] / 1e3 if line["deadline_ms"] else math.inf
        jobs.append(Job(asked, asked + line["queue_ms"] / 1e3, asked + within))
    return sorted(jobs, key=lambda job: job.began)


def goes_before(a, b, doubt):
    """The earlier deadline, and any before none; among those without, who asked first."""
    if math.isinf(a.due) and math.isinf(b.due):
        return a.asked < b.asked - doubt
    return a.due < b.due - doubt


def order_faults(jobs, doubt=0.02):
    """(pairs that were looked at, pairs of which the one that should have got a session first got it
    after the other, though it waited then). Times of the log are good to `doubt` seconds."""
    starts = [job.began for job in jobs]
    looked_at, faults = 0, []
    for later in jobs:
        first = bisect.bisect_left(starts, later.asked + doubt)
        last = bisect.bisect_left(starts, later.began - doubt)
        for job in jobs[first:last]:
            looked_at += 1
            if goes_before(later, job, doubt):
                faults.append((job, later))
    return looked_at, faults
