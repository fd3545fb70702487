#!/usr/bin/env python3
"""`edgellm bench`: what its roofline is made of; backends that take turns, of which the servers are
played by support/fake_bench_http.py; load, outliers, files; and the tools that make models for it and
take the pictures out of its page.

    python3 tests/test_bench.py EDGELLM MAKE_TINY OUT_DIR RANDOM_MODEL

RANDOM_MODEL is tools/random_model.c. Standard library only. That a share is reached is no test: it
is a figure of the machine.
"""
import contextlib
import csv
import html.parser
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
import unittest
import xml.etree.ElementTree

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT, RANDOM_MODEL = pathlib.Path(sys.argv[3]).absolute(), os.path.abspath(sys.argv[4])
SANITIZED = "sanitized" in sys.argv[5:]
TM2 = str(OUT / "tiny.tm2.bin")
os.environ["EDGELLM_CACHE"] = "none"
# The request: 4 tokens of prompt, 3 steps, which see 5, 6 and 7 positions.
REQUEST, POSITIONS = ("--runs", "2", "--warmup", "0", "-p", "4", "-n", "3", "-j", "1"), 6


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError((command, done.stderr.decode()))
    return done.stdout.decode()


def edgellm(*arguments):
    return json.loads(run(EDGELLM, *arguments, "--json"))


FAKE = pathlib.Path(__file__).parent / "support" / "fake_bench_http.py"
EXEC = OUT / "exec"  # the folder that edgellm-bench-http lies in
USAGE, IO, INTERRUPTED = 2, 3, 130
ONE = ("--runs", "1", "--warmup", "0", "-n", "2", "-p", "4", "-j", "1")
SMALL = ("--runs", "6", "--blocks", "2", "--warmup", "1", "-n", "4", "-p", "5", "-j", "1")


def setUpModule():
    EXEC.mkdir(parents=True, exist_ok=True)
    shutil.copy(FAKE, EXEC / "edgellm-bench-http")
    (EXEC / "edgellm-bench-http").chmod(0o755)
    run(MAKE_TINY, OUT / "tiny.gguf")
    run(EDGELLM, "quantize", OUT / "tiny.gguf", "-o", TM2, "-q")


class Roofline(unittest.TestCase):
    def test_bytes(self):
        info = edgellm("info", TM2, "--tensors")
        got = edgellm("bench", TM2, *REQUEST)["roofline"]
        # The tiny model's head is its embedding, so all of the file's weights are read.
        self.assertEqual(got["weight_bytes"], sum(t["bytes"] for t in info["tensor_list"]))
        head_dim = 16
        record = 2 * (head_dim + 4)  # key and value, a byte each and a scale for up to 32
        self.assertEqual(got["kv_bytes"], 2 * 2 * record * POSITIONS)  # layers, heads
        exact = edgellm("bench", TM2, *REQUEST, "--exact")["roofline"]
        self.assertEqual(exact["weight_bytes"], got["weight_bytes"])
        self.assertEqual(exact["kv_bytes"], 2 * 2 * 2 * head_dim * 4 * POSITIONS)

    def test_figures_agree(self):
        for threads in {1, len(os.sched_getaffinity(0))}:
            bench = edgellm("bench", TM2, *REQUEST[:-1], min(threads, 8))
            got = bench["roofline"]
            self.assertAlmostEqual(got["weight_gb_s"] / (got["weight_bytes"] * 1e-9),
                                   bench["decode_tok_s"], delta=bench["decode_tok_s"] * 1e-6)
            self.assertAlmostEqual(got["share"], got["weight_gb_s"] / got["roof_gb_s"])
            self.assertGreater(got["share"], 0)
            self.assertGreaterEqual(got["roof_passes"], 2 * bench["runs"])
            # As many bytes as a token reads, in whole steps.
            self.assertLessEqual(got["roof_bytes"], got["weight_bytes"])
            self.assertGreater(got["roof_bytes"], got["weight_bytes"] - 128)

    def test_text(self):
        text = run(EDGELLM, "bench", TM2, *REQUEST)
        self.assertRegex(text, r"(?m)^read per token +[\d.]+ MB of weights, [\d.]+ GB/s; and [\d.]+ "
                               r"MB of the KV cache$")
        self.assertRegex(text, r"(?m)^roofline +\d+ % of [\d.]+ GB/s \(")
        self.assertIn("roofline", run(EDGELLM, "bench", "--help"))

    @unittest.skipIf(SANITIZED, "a sanitizer needs memory of its own")
    def test_the_second_mapping_is_no_peak(self):
        """The file is mapped twice, but memory is what the engine needs."""
        path = OUT / "random.tm2.bin"
        run(RANDOM_MODEL, TM2, path, 2, 1)
        bench = edgellm("bench", path, *REQUEST)
        self.assertGreater(bench["file_bytes"], 16e6)
        self.assertLess(bench["peak_rss"], 1.9 * bench["file_bytes"])


def start(*arguments, **options):
    return subprocess.Popen([str(c) for c in (EDGELLM, "bench", *arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, "EDGELLM_EXEC_PATH": str(EXEC)},
                            **options)


def bench(*arguments, code=0, **options):
    """(stdout, stderr) as text."""
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=120)
    if process.returncode != code:
        raise AssertionError((arguments, process.returncode, out.decode(), err.decode()))
    return out.decode(), err.decode()


def fake(kind="ollama", **query):
    return "--backend", f"{kind}=http://x/?" + "&".join(f"{k}={v}" for k, v in query.items())


def compare(*arguments, code=0, **options):
    out, err = bench(TM2, *SMALL, "--backend", "edgellm", *arguments, "--json", code=code, **options)
    return json.loads(out), err


class Backends(unittest.TestCase):
    def one_line(self, text, *contains):
        self.assertRegex(text, r"\Aedgellm: [^\n]+\n\Z")
        for words in contains:
            self.assertIn(words, text)

    def test_figures_of_a_server(self):
        got, _ = compare(*fake(first=10, gap=2, jitter=3))
        ours, theirs = got["backends"]
        self.assertEqual([b["kind"] for b in got["backends"]], ["edgellm", "ollama"])
        self.assertEqual(theirs["server"], "ollama 0.5.1 at http://x/?first=10&gap=2&jitter=3")
        self.assertEqual(theirs["model"], "fake <model>")
        self.assertEqual((theirs["requests"], ours["requests"]), (6, 6))
        latencies = [21, 15, 21] * 2  # late, early, late: each block behind a warm-up
        self.assertAlmostEqual(theirs["all"]["request_ms"]["mean"], 19, places=4)
        self.assertAlmostEqual(theirs["all"]["request_ms"]["deviation"],
                               statistics.stdev(latencies), places=4)
        self.assertEqual(theirs["all"]["token_ms"]["samples"], 6 * 4)
        self.assertAlmostEqual(theirs["all"]["token_ms"]["p50"], 2, places=4)
        self.assertIsNone(theirs["all"]["token_ms"]["p90"])
        self.assertAlmostEqual(theirs["tok_s"], 500, places=2)
        self.assertEqual(len(theirs["blocks"]), 2)
        self.assertAlmostEqual(theirs["block_medians"]["request_ms"]["mean"], 19, places=4)
        self.assertEqual(got["floor"]["all"]["token_ms"]["samples"], 6 * 4)
        ratio = got["ratios"]["2 ollama"]["request_mean"]
        self.assertAlmostEqual(ratio["ratio"], 19 / ours["block_medians"]["request_ms"]["mean"], places=3)
        self.assertIsNone(got["no_ratio"])

    def test_what_servers_are_asked(self):
        log = OUT / "asked"
        log.unlink(missing_ok=True)
        address = f"http://x/?log={log}#smollm:135m"
        bench(*SMALL, "--unique-prompts", "--timeout", "7", "--backend", "openai=" + address)
        words, *asked = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual(words["--backend"], "openai")
        self.assertEqual(words["--url"] + "#" + words["--model"], address)
        self.assertEqual(words["--timeout"], "7")
        self.assertEqual(len(asked), 6 + 2)  # a warm-up for each block
        for request in asked:
            self.assertEqual((request["tokens"], request["temperature"]), (5, 0))
            self.assertRegex(request["prompt"], r"\A\d{8}\. The people of the town\Z")
        self.assertEqual(len({request["prompt"] for request in asked}), len(asked))
        log.unlink()
        bench(*SMALL, "--prompt", "Say hello.", *fake(log=log))
        prompts = {json.loads(line).get("prompt") for line in log.read_text().splitlines()}
        self.assertEqual(prompts, {None, "Say hello."})

    def test_copied_weights(self):
        for more, copied in (((), False), (("--copy",), True), (("--rt",), True)):
            got, _ = compare(*fake(), *more)
            self.assertIs(got["engine"]["copied"], copied)
            plain, _ = bench(TM2, *ONE, *more, "--json")
            self.assertIs(json.loads(plain)["copied"], copied)
        self.assertIn(", weights copied\n", bench(TM2, *ONE, "--copy")[0])

    def test_blocks_take_turns(self):
        path = OUT / "turns.json"
        bench(TM2, *SMALL, *fake(), "--backend", "edgellm", "--output", path)
        starts = []
        for series in json.loads(path.read_text())["samples"][:2]:
            starts += [(r["start_ms"], series["backend"], r["block"]) for r in series["requests"]]
        order = []
        for _, name, block in sorted(starts):
            if (name, block) not in order:
                order.append((name, block))
        self.assertEqual(order, [("1 ollama", 0), ("2 edgellm", 0), ("1 ollama", 1), ("2 edgellm", 1)])

    def test_a_text_prompt_here(self):
        out, _ = bench(TM2, *SMALL, "--prompt", "the quick fox", "--unique-prompts", "--json")
        got = json.loads(out)["backends"][0]
        plain = json.loads(run(EDGELLM, "tokenize", TM2, "12345678. the quick fox", "--json"))
        self.assertGreater(got["prompt_tokens"], 8)
        self.assertLessEqual(abs(got["prompt_tokens"] - len(plain["ids"])), 2)

    def test_ratios_only_against_peers(self):
        for server, peer in (("llama-server b5000", True), ("openai (llama.cpp)", True), ("openai (uvicorn)", False),
                             ("edgellm, as Ollama 0.1.0", False)):
            got, _ = compare(*fake("openai", server=server.replace(" ", "+")))
            self.assertEqual(bool(got["ratios"]), peer, server)
            self.assertEqual(got["no_ratio"] is None, peer, server)
        out, _ = bench(TM2, *SMALL)
        self.assertIn("no ratio: no Ollama or llama-server was measured", out)
        out, _ = bench(*SMALL, *fake())
        self.assertIn("no ratio: edgellm was not measured", out)
        out, _ = bench(TM2, *SMALL, "--backend", "edgellm", *fake())
        self.assertRegex(out, r"(?m)^2 ollama +jitter [\d.]+, request mean [\d.]+, ")

    def test_how_processes_are_scheduled(self):
        core = min(os.sched_getaffinity(0))
        nice = min(os.nice(0) + 3, 19)
        server = subprocess.Popen(["nice", "-n", "3", "taskset", "-c", str(core), "sleep", "100"])
        try:
            end = time.monotonic() + 60
            while pathlib.Path(f"/proc/{server.pid}/comm").read_text() != "sleep\n":
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            got, _ = compare(*fake(pids=server.pid))
            self.assertEqual(got["backends"][1]["threads"],
                             [{"policy": "SCHED_OTHER", "priority": 0, "nice": nice,
                               "cores": str(core), "threads": 1}])
            peak = pathlib.Path(f"/proc/{server.pid}/status").read_text()
            self.assertEqual(got["backends"][1]["peak_rss"],
                             1024 * int(re.search(r"VmHWM:\s+(\d+)", peak)[1]))
        finally:
            server.kill()
            server.wait()
        self.assertEqual(len(got["backends"][0]["threads"]), 1)
        text, _ = bench(TM2, *SMALL, "--backend", "edgellm", *fake())
        self.assertRegex(text, r"(?m)^ +SCHED_\w+ nice -?\d+, cores [\d,-]+: \d+ threads?$")
        self.assertIn("not on this machine", text)

    def test_wrong_servers(self):
        says = json.dumps({"error": "this is no Ollama: GET /api/version gave 404"}).replace(" ", "+")
        for hello, words in ((says, "gave 404"), ("nonsense", "no JSON object"), ("[]", "no JSON"),
                             ('{"hello":2}', "another protocol"), ("{}", "another protocol")):
            out, err = bench(TM2, *SMALL, "--backend", "edgellm", *fake(hello=hello), code=IO)
            self.assertEqual(out, "")
            self.one_line(err, words)

    def test_a_child_that_dies_half_way(self):
        for query, words in (({"die": 5}, "exit code 9"), ({"kill": 5}, "signal 9"),
                             ({"garbage": 5}, "this is no JSON")):
            got, err = compare(*fake(**query), code=IO)
            self.one_line(err, "ollama 0.5.1", "failed after 3 of 6 requests", words)
            ours, theirs = got["backends"]
            self.assertEqual((ours["requests"], theirs["requests"]), (6, 3))  # the others go on
            self.assertEqual(theirs["all"]["token_ms"]["samples"], 12)
            self.assertIn(words, theirs["error"])
            self.assertIn("failed after 3 of 6", got["error"])
        out, err = bench(*SMALL, *fake(die=0), code=IO)
        self.assertEqual(out, "")  # nothing was measured
        self.one_line(err, "failed after 0 of 6 requests")

    def test_a_request_that_fails(self):
        got, err = compare(*fake(error=2), code=IO)
        self.one_line(err, "of 6 requests 1 failed", "closed the connection <half way>")
        theirs = got["backends"][1]
        self.assertEqual((theirs["requests"], theirs["failed"]), (6, 1))
        self.assertEqual(theirs["all"]["request_ms"]["samples"], 5)
        self.assertEqual(theirs["all"]["token_ms"]["samples"], 5 * 4 + 2)  # what came is kept
        got, err = compare(*fake(backwards=2), code=IO)
        self.one_line(err, "times that go forward")

    def test_a_server_that_always_fails_is_given_up(self):
        got, err = compare(*fake(always="error", warmup=0), code=IO)
        self.one_line(err, "3 requests in a row failed")
        self.assertEqual(got["backends"][0]["requests"], 6)

    def test_fewer_tokens_than_asked(self):
        got, err = compare(*fake(fewer=2), code=IO)
        self.one_line(err, "1 gave fewer tokens", "gave 3 of the 5 tokens asked for (it says: stop)")
        theirs = got["backends"][1]
        self.assertEqual((theirs["fewer"], theirs["failed"]), (1, 0))
        self.assertEqual(theirs["all"]["request_ms"]["samples"], 5)
        self.assertEqual(theirs["all"]["ttft_ms"]["samples"], 6)

    def test_usage(self):
        for words, contains in (
                (("--backend", "x"), "expected edgellm, ollama=URL"),
                (("--backend", "ollama"), "address is missing"),
                (("--backend", "ollama="), "address is missing"),
                (("--backend", "edgellm=x"), "has no address"),
                (("--backend", "edgellm", "--backend", "edgellm"), "once"),
                (fake(), "add --backend edgellm"),
                (("--runs", "3", "--blocks", "4"), "as many --runs as --blocks"),
                (("--chat",), "--prompt"), (("--load", "x"), "cpu, mem"),
                (fake() * 9, "at most 8")):
            self.one_line(bench(TM2, *words, code=USAGE)[1], contains)
        self.one_line(bench(code=USAGE)[1], "a MODEL file is missing")

    def test_the_program_is_not_there(self):
        done = subprocess.run([EDGELLM, "bench", *SMALL, *fake()], capture_output=True, timeout=60,
                              env={**os.environ, "EDGELLM_EXEC_PATH": str(OUT / "none")})
        self.assertEqual(done.returncode, IO)
        self.one_line(done.stderr.decode(), "the HTTP part of the benchmark is not installed")
        folder = OUT / "bad"
        folder.mkdir(exist_ok=True)
        (folder / "edgellm-bench-http").write_bytes(b"\0")
        done = subprocess.run([EDGELLM, "bench", *SMALL, *fake()], capture_output=True, timeout=60,
                              env={**os.environ, "EDGELLM_EXEC_PATH": str(folder)})
        self.assertEqual(done.returncode, IO)
        self.one_line(done.stderr.decode(), "cannot start", "bench-http")


class Outliers(unittest.TestCase):
    def test_a_stopped_process_has_one(self):
        """Whatever kept it from running: the gap is found, said and counted."""
        for first in (0.1, 0.2, 0.4, 0.8, 1.6):  # seconds of work before: not too early
            process = start(TM2, "--runs", "400", "-n", "200", "-p", "4", "-j", "1", "--blocks", "1",
                            "--prompt", "x", "--json")
            for n in range(5):  # one may meet what is between two requests
                wait_for(lambda at=first + n / 10: process.poll() is not None or cpu_seconds(process.pid) >= at)
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.3)
                process.send_signal(signal.SIGCONT)
            out, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
            row = json.loads(out)["backends"][0]
            worst = max(row["outliers"]["list"], key=lambda o: o["gap_ms"])
            if worst["gap_ms"] > 250:
                break
        self.assertEqual(row["outliers"]["counted_over"], "request")
        self.assertGreater(worst["gap_ms"], 250)
        self.assertGreater(worst["gap_ms"], row["outliers"]["bound_ms"])
        self.assertEqual(row["all"]["token_ms"]["max"], worst["gap_ms"])
        self.assertIn("involuntary_switches", worst["counted"])
        self.assertGreaterEqual(row["outliers"]["total"], len(row["outliers"]["list"]))

    def test_a_trace_counts_around_each_gap(self):
        out, _ = bench(TM2, *SMALL, "--trace", "--json")
        self.assertEqual(json.loads(out)["backends"][0]["outliers"]["counted_over"], "gap")

    def test_one_between_a_servers_tokens(self):
        out, _ = bench(*SMALL, *fake(gap=2), "--prompt", "x", "--json")
        self.assertEqual(json.loads(out)["backends"][0]["outliers"]["total"], 0)
        text, _ = bench(*SMALL, *fake(gap=2), "--prompt", "x")
        self.assertIn("0 of 24 (beyond 3.20 ms)", text)


def children(pid):
    """{pid: command} of those that live."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may end meanwhile
            after = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(after[1]) == pid and after[0] not in "ZX":
                found[int(folder.name)] = (folder / "status").read_text()
    return found


def pinned_to(found):
    """The cores of those, of the processes that children() tells of, that have one each, sorted."""
    lists = [re.search(r"Cpus_allowed_list:\s+(\S+)", text)[1] for text in found.values()]
    return sorted(int(text) for text in lists if text.isdigit())


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load(unittest.TestCase):
    LONG = (TM2, "--runs", "100000", "-n", "64", "-p", "4", "-j", "1")

    def loaded(self, kind, n):
        process = start(*self.LONG, "--load", kind)
        wait_for(lambda: len(children(process.pid)) == n)
        return process, children(process.pid)

    def test_processes_are_pinned_and_end(self):
        cores = os.sched_getaffinity(0)
        for kind, n in (("cpu", len(cores)), ("mem", len(cores)), ("io", 1), ("all", 2 * len(cores) + 1)):
            process, found = self.loaded(kind, n)
            if len(cores) > 1:
                expected = sorted([*cores] * ((n - (kind in ("io", "all"))) // len(cores)))
                wait_for(lambda: pinned_to(children(process.pid)) == expected)
            wait_for(lambda: cpu_seconds(process.pid) > (3 if SANITIZED else 0.5))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, INTERRUPTED, err)
            self.assertIn("load      ", out.decode())  # what was measured until then is told
            self.assertFalse(any(is_alive(pid) for pid in found))

    def test_they_die_with_the_program(self):
        process, found = self.loaded("all", 2 * len(os.sched_getaffinity(0)) + 1)
        process.kill()
        process.communicate(timeout=60)
        wait_for(lambda: not any(is_alive(pid) for pid in found))

    def test_one_that_ends_is_noticed(self):
        process, found = self.loaded("cpu", len(os.sched_getaffinity(0)))
        process.kill()
        process.communicate(timeout=60)
        process = start(TM2, "--runs", "20000", "--blocks", "100", "-n", "64", "-p", "4", "-j", "1",
                        "--load", "cpu", "--json")
        wait_for(lambda: len(children(process.pid)) > 0)
        os.kill(min(children(process.pid)), signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, IO, err)
        self.assertRegex(err.decode(), r"\Aedgellm: the load was ended by signal 15\n\Z")
        self.assertIn("the load was ended", json.loads(out)["error"])

    def test_the_file_leaves_nothing(self):
        folder = OUT / "load"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        environment = {**os.environ, "TMPDIR": str(folder)}
        command = [EDGELLM, "bench", TM2, *SMALL, "--load", "io"]
        done = subprocess.run(command, capture_output=True, timeout=60, env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.listdir(folder), [])
        environment["TMPDIR"] = str(folder / "none")
        done = subprocess.run(command, capture_output=True, timeout=60, env=environment)
        self.assertEqual((done.returncode, done.stdout), (IO, b""))
        self.assertRegex(done.stderr.decode(), r"\Aedgellm: cannot make the load's file in [^\n]+\n\Z")


class Page(html.parser.HTMLParser):
    """Are elements closed as they were opened? Which are there, and what do they refer to?"""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.wrong, self.links = [], {}, [], []

    def handle_starttag(self, tag, attributes):
        self.seen[tag] = self.seen.get(tag, 0) + 1
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen[tag] = self.seen.get(tag, 0) + 1

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


class Files(unittest.TestCase):
    PATHS = {"--output": OUT / "o.json", "--csv": OUT / "o.csv", "--html": OUT / "o.html"}

    def setUp(self):
        for path in self.PATHS.values():
            path.write_text("old")

    def options(self):
        return [word for pair in self.PATHS.items() for word in pair]

    def test_they_hold_the_same(self):
        out, _ = bench(TM2, *SMALL, "--backend", "edgellm", *fake(), *self.options(), "--json")
        whole = json.loads(self.PATHS["--output"].read_text())
        self.assertEqual(whole["summary"], json.loads(out))
        self.assertEqual([s["backend"] for s in whole["samples"]], ["1 edgellm", "2 ollama", "floor"])
        lines = list(csv.DictReader(self.PATHS["--csv"].read_text().splitlines()))
        flat = [(s["backend"], t, ms) for s in whole["samples"] for r in s["requests"]
                for t, ms in enumerate(r["token_ms"])]
        self.assertEqual([(x["backend"], int(x["token"]), float(x["since_start_ms"])) for x in lines], flat)
        self.assertEqual(len(flat), 3 * 6 * 5)
        ours = whole["samples"][0]["requests"]
        gaps = [b - a for r in ours for a, b in zip(r["token_ms"], r["token_ms"][1:])]
        self.assertAlmostEqual(statistics.mean(gaps),
                               whole["summary"]["backends"][0]["all"]["token_ms"]["mean"], places=5)
        latencies = [r["token_ms"][-1] for r in ours]
        self.assertAlmostEqual(statistics.stdev(latencies),
                               whole["summary"]["backends"][0]["all"]["request_ms"]["deviation"], places=5)

    def test_the_page(self):
        bench(TM2, *SMALL, "--backend", "edgellm", *fake(error=2, server="ollama+<b>%26"),
              "--html", self.PATHS["--html"], code=IO)
        text = self.PATHS["--html"].read_text()
        page = Page()
        page.feed(text)
        self.assertEqual((page.open, page.wrong, page.links), ([], [], []))
        self.assertNotIn("script", page.seen)
        self.assertNotIn("<b>&", text)
        self.assertIn("ollama &lt;b&gt;&amp;", text)
        self.assertIn("&lt;half way&gt;", text)  # the error
        # Histograms of three metrics, without the floor's first token; timelines; positions.
        self.assertEqual(page.seen["svg"], 3 + 2 + 3 + 3 + 2)
        for picture in re.findall(r"<svg.*?</svg>", text, re.S):
            xml.etree.ElementTree.fromstring(picture)
            self.assertNotIn("nan", picture)
            self.assertNotIn("inf", picture)
        bars = re.findall(r"<rect", text)
        self.assertGreaterEqual(len(bars), 8)

    def test_a_bad_name_is_known_before(self):
        begun = time.monotonic()
        for option in self.PATHS:
            _, err = bench(TM2, "--runs", "100000", option, OUT / "none" / "x", code=IO)
            self.assertRegex(err, r"\Aedgellm: cannot [^\n]*none/x[^\n]*\n\Z")
        self.assertLess(time.monotonic() - begun, 30)

    def test_what_is_read_is_not_written(self):
        """By no spelling of its name, and nothing twice; the model is there afterwards."""
        mine, link, certificate = OUT / "mine.tm2.bin", OUT / "mine.link", OUT / "mine.json"
        shutil.copy(TM2, mine)
        link.unlink(missing_ok=True)
        link.symlink_to(mine)
        run(EDGELLM, "certify", TM2, "--duration", "0.01", "-c", "16", "-q", "-o", certificate)
        kept = certificate.read_bytes()
        for option in (*self.PATHS, "--submit"):
            for name in (mine, f"{OUT}/./mine.tm2.bin", link):
                _, err = bench(mine, *ONE, option, name, code=USAGE)
                self.assertRegex(err, rf"\Aedgellm: {option} cannot write [^\n]*: it is the model; [^\n]*\n\Z")
        _, err = bench(mine, *ONE, "--certificate", certificate, "--output", certificate, code=USAGE)
        self.assertIn("it is that of --certificate; give another name", err)
        for scale in ("", "=0.5"):
            _, err = bench(mine, *ONE, "--lora", f"{certificate}{scale}", "--output", certificate, code=USAGE)
            self.assertIn("it is an adapter of --lora; give another name", err)
        for name in ("twice", self.PATHS["--csv"]):
            _, err = bench(mine, *ONE, "--csv", name, "--html", name, code=USAGE)
            self.assertIn("it is that of --html; give another name", err)
        self.assertEqual(mine.read_bytes(), pathlib.Path(TM2).read_bytes())
        self.assertEqual((certificate.read_bytes(), self.PATHS["--csv"].read_text()), (kept, "old"))

    def test_a_full_disk(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        for option, path in self.PATHS.items():
            out, err = bench(TM2, *SMALL, option, path, code=IO, preexec_fn=limit)
            self.assertRegex(err, r"\Aedgellm: cannot write [^\n]*File too large[^\n]*\n\Z")
            self.assertEqual(path.read_text(), "old")
            self.assertIn("medians over 2 blocks, ms", out)  # what was measured is not lost
        self.assertEqual([p.name for p in OUT.iterdir() if "tmp" in p.name], [])

    def test_partial_results_are_written(self):
        bench(TM2, *SMALL, "--backend", "edgellm", *fake(die=5), *self.options(), code=IO)
        whole = json.loads(self.PATHS["--output"].read_text())
        self.assertEqual([len(s["requests"]) for s in whole["samples"]], [6, 3, 6])
        self.assertIn("failed after 3 of 6", whole["summary"]["error"])
        self.assertIn("failed after 3 of 6", self.PATHS["--html"].read_text())

    def test_interrupted(self):
        process = start(TM2, "--runs", "100000", "-n", "64", "-p", "4", "-j", "1", *self.options())
        wait_for(lambda: cpu_seconds(process.pid) > (3 if SANITIZED else 0.5))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, INTERRUPTED, err)
        self.assertRegex(err.decode(), r"\Aedgellm: interrupted\n\Z")
        measured = len(json.loads(self.PATHS["--output"].read_text())["samples"][0]["requests"])
        self.assertGreater(measured, 0)
        self.assertLess(measured, 100000)

    def test_interrupted_without_files(self):
        process = start(TM2, "--runs", "100000", "-n", "64", "-p", "4", "-j", "1", "--json")
        wait_for(lambda: cpu_seconds(process.pid) > (3 if SANITIZED else 0.5))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err.decode()), (INTERRUPTED, "edgellm: interrupted\n"))
        told = json.loads(out)
        self.assertIn(told["runs"], range(1, 100000))
        self.assertGreater(told["decode_tok_s"], 0)


class Pictures(unittest.TestCase):
    """tools/report_pictures.py takes them out of the page."""
    TOOL = pathlib.Path(__file__).parent.parent / "tools" / "report_pictures.py"
    KINDS = {"request": ("milliseconds", "requests"), "first": ("milliseconds", "requests"),
             "gaps": ("milliseconds", "tokens"), "timeline": ("seconds", "gap"),
             "positions": ("tokens", "median gap")}

    def take(self, page, folder):
        return subprocess.run([sys.executable, self.TOOL, page, folder], capture_output=True, timeout=60)

    def check(self, path, axes):
        """Well-formed, small, on any background; returns what is drawn, and its title."""
        self.assertLess(path.stat().st_size, 60_000)
        root = xml.etree.ElementTree.parse(path).getroot()
        name = "{http://www.w3.org/2000/svg}"
        self.assertEqual(root.tag, name + "svg")
        title = root.find(name + "title").text
        words = [t.text for t in root.findall(name + "text")]
        self.assertEqual(words, [title, axes[1], axes[0]])
        style = root.find(name + "style").text
        self.assertIn("@media (prefers-color-scheme:dark)", style)
        self.assertNotIn("background", style)
        return root.find(name + "g"), title

    def test_each_is_a_file_of_its_own(self):
        page, folder = OUT / "pictures.html", OUT / "pictures"
        shutil.rmtree(folder, ignore_errors=True)
        bench(TM2, *SMALL, "--backend", "edgellm", *fake(server="a <b>", jitter=1), "--html", page)
        done = self.take(page, folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = {"1-edgellm": self.KINDS, "2-ollama": self.KINDS, "floor": ("request", "gaps", "timeline")}
        names = {f"{row}-{kind}.svg" for row, kinds in rows.items() for kind in kinds}
        self.assertEqual(set(os.listdir(folder)), names)
        drawn = 0
        for name in names:
            picture, title = self.check(folder / name, self.KINDS[name.rpartition("-")[2][:-4]])
            drawn += sum(element.tag.endswith(("rect", "circle")) for element in picture)
            self.assertEqual([t for c in picture.iter() if c.tag.endswith("title") for t in c], [])
            begin = {"1": "edgellm ", "2": "a <b> (2 ollama): ", "f": "floor, which only"}[name[0]]
            self.assertTrue(title.startswith(begin), title)
            self.assertNotIn("http", title)
        text = page.read_text()
        self.assertEqual(drawn, text.count("<rect ") + text.count("<circle "))

    def test_what_is_no_report(self):
        (OUT / "no.html").write_text("<h2>whole request</h2><p>nothing")
        for page, words in ((OUT / "no.html", "no pictures"), (OUT / "none.html", "No such file")):
            done = self.take(page, OUT / "no_pictures")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr.decode(), rf"\Areport_pictures: [^\n]*{words}[^\n]*\n\Z")
        self.assertFalse((OUT / "no_pictures").exists())


class RandomModel(unittest.TestCase):
    def test_every_width_can_be_run(self):
        path = OUT / "random.tm2.bin"
        for bits, codec in ((2, "s2"), (3, "s3"), (4, "s4"), (8, "i8")):
            run(RANDOM_MODEL, TM2, path, bits, 1)
            info = edgellm("info", path, "--verify")
            self.assertIn(codec, json.dumps(info))
            self.assertGreater(info["parameters"], 60e6)
            tokens = run(EDGELLM, "run", path, "-p", "x", "-n", "2", "-t", "0", "--ignore-eos", "-j", "1",
                         "--json")
            self.assertEqual(len(json.loads(tokens)["tokens"]), 2)
        path.unlink()

    def test_shapes(self):
        """Of another architecture, with three levels; sound to the last byte, and they run."""
        path = OUT / "shape.tm2.bin"
        for codec, weights in (("t1", "t1/f16/0"), ("t2", "t2/f16/0")):
            run(RANDOM_MODEL, "smollm2-135m", path, codec, 1)
            info = edgellm("info", path, "--verify")
            self.assertEqual((info["dim"], info["layers"], info["vocab"]), (576, 1, 49152))
            codecs = {f"{c['codec']}/{c['scales']}/{c['group']}" for c in info["codecs"]}
            self.assertEqual(codecs, {weights, "i8/byte/64", "f32/none/0"})
            tokens = run(EDGELLM, "run", path, "-p", "x", "-n", "2", "-t", "0", "--ignore-eos", "-j", "1", "--json")
            self.assertEqual(len(json.loads(tokens)["tokens"]), 2)
        path.unlink()

    def test_usage(self):
        for words in ((), (TM2,), (TM2, OUT / "x", 5), (TM2, OUT / "x", 2, 0), (TM2, OUT / "x", "x")):
            done = subprocess.run([RANDOM_MODEL, *map(str, words)], capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 2, words)
            self.assertRegex(done.stderr.decode(), r"\Ausage: [^\n]+\n\Z")
        done = subprocess.run([RANDOM_MODEL, OUT / "none", OUT / "x"], capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"none", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
