#!/usr/bin/env python3
"""`edgellm serve` whose model is replaced while it answers: what runs ends on the model that it was
accepted for, what comes goes to the new one, each as `edgellm run` answers with that model, and
nothing is dropped.

    python3 tests/test_serve_swap.py EDGELLM MAKE_TINY OUT_DIR [sanitized]

Standard library only; how a server is started and asked is test_serve.py's.
"""
import collections
import contextlib
import fcntl
import functools
import json
import os
import pathlib
import pty
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time
import unittest

import test_serve as serve
import ws_client
from test_serve import CHAT, OUT, TEXT, Server, run, text_of, user
from test_serve_around import Metrics

LONG, OTHER = serve.LONG, str(OUT / "other.tm2.bin")
PATH = OUT / "served.tm2.bin"
CONTEXT = ("-c", "6000")
ENDLESS = {"prompt": "fox", "ignore_eos": True}
SCHEMA = {"type": "object", "required": ["device", "on"],
          "properties": {"device": {"enum": ["lamp", "the heating"]}, "on": {"type": "boolean"}}}
RESULTS = ("swapped", "same", "kept")
SANITIZED = "sanitized" in serve.sys.argv[4:]


def setUpModule():
    serve.setUpModule()
    gguf = OTHER.replace(".tm2.bin", ".gguf")
    subprocess.run([serve.MAKE_TINY, gguf, "other"], check=True, timeout=60)
    subprocess.run([serve.EDGELLM, "quantize", gguf, "-o", OTHER, "-q"], check=True, timeout=60)


def place(model):
    """As whoever replaces a file should: by rename."""
    new = OUT / "new"
    shutil.copyfile(model, new)
    os.rename(new, PATH)


def place_bytes(data):
    new = OUT / "new"
    new.write_bytes(data)
    os.rename(new, PATH)


@functools.lru_cache(None)
def right(model, prompt, n, seed, *options):
    """The text of the answer of `edgellm run`; ended by an end token or not."""
    return run(prompt, "-n", n, "-s", seed, "-c", 6000, "-j", 1, *options, model=model)["text"]


def raw(model, n, seed):
    return right(model, "fox", n, seed, "--raw", "--ignore-eos")


class Case(serve.Case):
    @classmethod
    def setUpClass(cls):
        """Each test has its own server."""

    @classmethod
    def tearDownClass(cls):
        pass

    def serve(self, *arguments, model=LONG, **options):
        place(model)
        return self.start(*CONTEXT, *arguments, model=str(PATH), **options)

    def results(self, server):
        metrics = Metrics(server)
        return [metrics.one("model_readings_total", result=r) for r in RESULTS]

    def until(self, server, is_so):
        until = time.monotonic() + 2 * serve.WAIT
        while not is_so(server):
            self.assertLess(time.monotonic(), until)
            self.assertIsNone(server.process.poll())
            time.sleep(0.02)

    def ask_again(self, server):
        server.process.send_signal(signal.SIGHUP)

    def look_again(self, server, result):
        """SIGHUP, and what came of it, which is also a line."""
        before = self.results(server)
        self.ask_again(server)
        self.until(server, lambda s: self.results(s) != before)
        before[RESULTS.index(result)] += 1
        self.assertEqual(self.results(server), before)
        return server.process.stderr.readline().decode()

    def fingerprint(self, server):
        (labels, _), = Metrics(server).values["edgellm_build_info"].items()
        return dict(labels)["fingerprint"]

    def ends(self, server, number=signal.SIGTERM):
        """What it has said since."""
        out, err, code = server.end(number)
        self.assertEqual((out, code), (b"", 0), err)
        return err.decode().splitlines()

    def is_served(self, server, model):
        answer = server.answer(TEXT, seed=3, max_tokens=20, **ENDLESS)
        self.assertEqual(answer["choices"][0]["text"], raw(model, 20, 3))


class Swapping(Case):
    def test_under_load(self):
        """Back and forth while others ask: each answer is of one model, from its first token to its
        last, and none is lost."""
        server = self.serve("--sessions", 3)
        answers, problems, is_over = collections.Counter(), [], threading.Event()

        def ask(number):
            try:
                for i in range(100000):
                    if is_over.is_set():
                        return
                    seed, n = (number + i) % 4, (20, 120)[i % 2]
                    objects = server.stream(TEXT, seed=seed, max_tokens=n, **ENDLESS).all()
                    prints = {o["system_fingerprint"] for o in objects}
                    assert len(prints) == 1 and objects[-1]["timings"]["predicted_n"] == n
                    answers[prints.pop(), n, seed, text_of(objects)] += 1
            except Exception as error:  # in a thread: told by the other
                problems.append(error)
        first = self.fingerprint(server)

        def of_first():
            return sum(n for key, n in list(answers.items()) if key[0] == first)
        long_one = server.stream(TEXT, seed=1, max_tokens=1200, **ENDLESS)
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        try:
            place(OTHER)
            self.assertIn("another model from now on", self.look_again(server, "swapped"))
            second = self.fingerprint(server)
            self.assertEqual(text_of(long_one.all()), raw(LONG, 1200, 1))
            self.until(server, lambda _: problems or any(key[0] == second for key in list(answers)))
            place(LONG)
            self.look_again(server, "swapped")
            self.assertEqual(self.fingerprint(server), first)
            begun = of_first()
            self.until(server, lambda _: problems or of_first() > begun + len(threads))
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(problems, [])
        self.assertNotEqual(first, second)
        models = {first: LONG, second: OTHER}
        self.assertEqual({key[0] for key in answers}, set(models))
        for fingerprint, n, seed, text in answers:
            self.assertEqual(text, raw(models[fingerprint], n, seed))
        self.assertEqual(self.ends(server), [])

    def test_everything_follows(self):
        server = self.serve("--sessions", 2)
        before = server.ask("/v1/models")[2]["data"][0], server.ask("/api/tags")[2], Metrics(server)
        chat = {"messages": user("the fox"), "seed": 4, "max_tokens": 60}
        keeps = {**chat, "repeat_penalty": 1, "temperature": 2, "json_schema": SCHEMA}
        schema = OUT / "schema.json"
        schema.write_text(json.dumps(SCHEMA))

        def check(model):
            self.is_served(server, model)
            self.assertEqual(server.answer(CHAT, **chat)["choices"][0]["message"]["content"],
                             right(model, "the fox", 60, 4))
            kept = server.answer(CHAT, **keeps)["choices"][0]["message"]["content"]
            self.assertEqual(kept, right(model, "the fox", 60, 4, "--repeat-penalty", 1, "-t", 2,
                                         "--json-schema", schema))
            self.assertIn(json.loads(kept)["device"], ("lamp", "the heating"))
        for _ in range(2):  # the second time with what it keeps of the prompt
            check(LONG)
        place(OTHER)
        self.look_again(server, "swapped")
        for _ in range(2):
            check(OTHER)
        after = server.ask("/v1/models")[2]["data"][0], server.ask("/api/tags")[2], Metrics(server)
        self.assertEqual([m[0]["meta"]["n_vocab"] for m in (before, after)], [300, 280])
        self.assertEqual(after[0]["id"], "served")
        sizes = [os.path.getsize(path) for path in (LONG, OTHER)]
        self.assertEqual([m[0]["meta"]["size"] for m in (before, after)], sizes)
        self.assertEqual([m[1]["models"][0]["size"] for m in (before, after)], sizes)
        self.assertNotEqual(*(m[1]["models"][0]["digest"] for m in (before, after)))
        plans = [m[2].values["edgellm_memory_plan_bytes"] for m in (before, after)]
        weights = (("part", "weights"),)
        self.assertEqual([plan[weights] for plan in plans], sizes)
        program = (("part", "program"),)
        self.assertEqual(plans[0][program], plans[1][program])
        total = after[0]["meta"]["memory"]["total"]
        self.assertEqual(sum(plans[1].values()), total)
        self.assertEqual(self.ends(server), [])

    def test_the_same(self):
        server = self.serve()
        first = self.fingerprint(server)
        self.assertEqual(self.look_again(server, "same"), "edgellm: served: the model is the same\n")
        place(LONG)  # another file
        self.assertEqual(self.look_again(server, "same"), "edgellm: served: the model is the same\n")
        self.assertEqual(self.fingerprint(server), first)
        self.is_served(server, LONG)
        self.assertEqual(self.ends(server), [])

    def test_copied_weights(self):
        """The file that was read may be cut short, and the next one is read as a whole."""
        def is_mapped():
            return str(PATH) in pathlib.Path(f"/proc/{server.process.pid}/maps").read_text()
        server = self.serve("--copy")
        self.assertFalse(is_mapped())
        for model in (OTHER, LONG):
            os.truncate(PATH, 100)
            place(model)
            self.assertIn("another model from now on", self.look_again(server, "swapped"))
            self.is_served(server, model)
            self.assertFalse(is_mapped())
        self.ends(server)

    def test_what_cannot_be_served(self):
        """The model stays, and a line says why."""
        server = self.serve()
        other, tiny = (pathlib.Path(path).read_bytes() for path in (OTHER, serve.TINY))
        flipped = bytearray(other)
        flipped[len(other) // 2] ^= 1  # of a weight
        for data, words in ((other[:len(other) // 2], ""), (other[:100], ""), (b"", "empty"),
                            (bytes(len(other)), ""), (bytes(flipped), "checksum"),
                            (tiny, "trained for at most 256")):
            with self.subTest(words=words, size=len(data)):
                place_bytes(data)
                line = self.look_again(server, "kept")
                self.assertRegex(line, r"\Aedgellm: [^\n]+; the model stays as it was\n\Z")
                self.assertIn(words, line)
                self.is_served(server, LONG)
        os.unlink(PATH)
        self.assertIn("cannot open", self.look_again(server, "kept"))
        os.mkdir(PATH)
        self.assertIn("directory", self.look_again(server, "kept"))
        os.rmdir(PATH)
        os.mkfifo(PATH)
        self.assertIn("pipe", self.look_again(server, "kept"))
        os.unlink(PATH)
        self.is_served(server, LONG)
        place(OTHER)  # and then it is well
        self.look_again(server, "swapped")
        self.is_served(server, OTHER)
        self.assertEqual(self.ends(server), [])

    def test_slots_meanwhile(self):
        """Who saves a slot while the model changes is told of his own file, whichever model's it was."""
        folder = tempfile.mkdtemp(dir=OUT)
        server = self.serve("--sessions", 1, "--slot-save-path", folder, "--calibrate", 1)
        told, problems, is_over = collections.Counter(), [], threading.Event()

        def save(name):
            try:
                while not is_over.is_set():
                    status, _, reply = server.ask("/slots/0?action=save", {"filename": name})
                    told[status] += 1
                    if status == 409:
                        is_over.wait(0.01)  # the others may need the machine
                    assert status == 409 or (status, reply["filename"]) == (200, name), reply
            except Exception as error:  # in a thread: told by the other
                problems.append(error)
        savers = [threading.Thread(target=save, args=(f"slot{i}",)) for i in range(3)]
        for saver in savers:
            saver.start()
        for model in 2 * (OTHER, LONG):
            server.answer(TEXT, max_tokens=400, **ENDLESS)  # much to save takes long
            place(model)
            self.assertIn("another model from now on", self.look_again(server, "swapped"))
        self.until(server, lambda _: problems or told[200])
        is_over.set()
        for saver in savers:
            saver.join()
        self.assertEqual(problems, [])
        self.assertGreater(told[200], 0)
        self.is_served(server, LONG)
        self.assertEqual(self.ends(server), [])

    def test_log(self):
        server = self.serve("--log", "json")
        place(OTHER)
        line = json.loads(self.look_again(server, "swapped"))
        while "message" not in line:  # those of requests
            line = json.loads(server.process.stderr.readline())
        self.assertIn("another model", line["message"])
        server.end()

    def test_twice(self):
        """Signals that come meanwhile are not forgotten."""
        server = self.serve()
        for model in (OTHER, LONG, OTHER, LONG):
            place(model)
            for _ in range(3):
                self.ask_again(server)
            time.sleep(0.05)
        self.until(server, lambda s: sum(self.results(s)) > 0)
        self.until(server, lambda s: text_of([s.answer(TEXT, seed=3, max_tokens=20, **ENDLESS)])
                   == raw(LONG, 20, 3))
        lines = self.ends(server)
        self.assertGreaterEqual(len(lines), 1)
        for line in lines:  # the file may be another again when it has been opened
            self.assertRegex(line, "the model is the same|another model|was replaced while")

    def test_while_it_starts(self):
        place(LONG)
        path = OUT / "starting.sock"
        process = serve.start("--unix", path, *CONTEXT, "--calibrate", "1500", model=str(PATH))
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        until = time.monotonic() + serve.WAIT
        while time.monotonic() < until:  # it listens: from then on it is no longer ended by it
            with socket.socket(socket.AF_UNIX) as asks, contextlib.suppress(FileNotFoundError, ConnectionError):
                asks.connect(str(path))
                break
        place(OTHER)
        process.send_signal(signal.SIGHUP)
        line = process.stdout.readline().decode()
        self.assertIn("served at", line)
        self.assertRegex(process.stderr.readline().decode(), "another model|is the same")
        process.send_signal(signal.SIGTERM)
        self.assertEqual((process.stdout.read(), process.stderr.read()), (b"", b""))
        self.assertEqual(process.wait(timeout=serve.WAIT), 0)


class Kept(Case):
    """WebSockets, whose answers are kept, and deadlines, which are."""

    def connect(self, server):
        client = ws_client.connect(server.port, timeout=serve.WAIT)
        self.addCleanup(client.close)
        return client

    def begin(self, client, name, **fields):
        client.send(type="request", id=name, **fields)
        while (message := client.receive())["type"] != "accepted":
            pass
        return message["resume"]

    def test_resume(self):
        server = self.serve("--sessions", 2)
        running, whole = self.connect(server), self.connect(server)
        secret = self.begin(running, "a", seed=1, max_tokens=1200, **ENDLESS)
        told = whole.ask(id="b", seed=2, max_tokens=30, **ENDLESS)
        got = [running.receive() for _ in range(20)]
        place(OTHER)
        self.look_again(server, "swapped")
        running.close()
        again = self.connect(server)
        again.send(type="resume", resume=secret, **{"from": 20})
        rest = again.follow("a")
        self.assertEqual([t["index"] for t in got + rest["tokens"]], list(range(1200)))
        self.assertEqual("".join(t["text"] for t in got) + ws_client.text_of(rest),
                         raw(LONG, 1200, 1))
        again.send(type="resume", resume=told["accepted"]["resume"], **{"from": 0})
        self.assertEqual(ws_client.text_of(again.follow("b")), raw(LONG, 30, 2))
        self.assertEqual(ws_client.text_of(again.ask(id="c", seed=2, max_tokens=30, **ENDLESS)),
                         raw(OTHER, 30, 2))
        place(LONG)  # what was told makes room
        self.look_again(server, "swapped")
        self.is_served(server, LONG)
        whole.close()
        again.close()
        self.assertEqual(self.ends(server), [])

    def test_promises(self):
        """Of one model at a time; others are served meanwhile."""
        server = self.serve("--sessions", 2)
        client, late = self.connect(server), self.connect(server)
        self.begin(client, "a", seed=1, max_tokens=5990, deadline_ms=80000000, **ENDLESS)
        client.receive()
        place(OTHER)
        self.look_again(server, "swapped")  # there is time enough beside that promise
        runs = Metrics(server).one("sessions_taken")
        late.send(type="request", id="b", seed=2, max_tokens=5, deadline_ms=80000000, **ENDLESS)
        self.is_served(server, OTHER)
        now = Metrics(server)
        if runs and now.one("deadlines_accepted_total") == 1:
            self.assertLessEqual(now.one("sessions_taken"), 1)  # "b" waits
        client.send(type="cancel", id="a")
        answer = late.follow("b")
        self.assertEqual(ws_client.text_of(answer), raw(OTHER, 5, 2))
        self.assertEqual(answer["last"]["deadline"]["deadline_ms"], 80000000)
        metrics = Metrics(server)
        self.assertEqual(metrics.one("deadlines_accepted_total"), 2)
        self.assertEqual(metrics.one("deadline_results_total", result="missed"), 0)
        client.close()
        late.close()
        self.assertEqual(self.ends(server), [])

    def test_promises_under_load(self):
        """A stream of them, back and forth: all are given and kept."""
        server = self.serve("--sessions", 2)
        is_over, problems, n = threading.Event(), [], collections.Counter()

        def ask():
            try:
                while not is_over.is_set():
                    answer = server.answer(TEXT, seed=3, max_tokens=100, deadline_ms=60000, **ENDLESS)
                    n[answer["choices"][0]["text"]] += 1
            except Exception as error:
                problems.append(error)
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for model in (OTHER, LONG):
                place(model)
                self.look_again(server, "swapped")
                text = raw(model, 100, 3)
                begun = n[text]
                self.until(server, lambda _: problems or n[text] > begun + len(threads))
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(problems, [])
        self.assertEqual(set(n), {raw(LONG, 100, 3), raw(OTHER, 100, 3)})
        metrics = Metrics(server)
        self.assertEqual(metrics.one("deadlines_accepted_total"), sum(n.values()))
        self.assertEqual(metrics.one("deadline_results_total", result="met"), sum(n.values()))
        self.assertEqual(self.ends(server), [])


class Alone(Case):
    """Both do not fit into --max-ram: one after the other. What runs takes long enough for whoever looks
    meanwhile on a busy machine: by the slowest kernel, or because of sanitizers."""
    TOKENS, SLOWLY = (2000, ()) if SANITIZED else (5900, ("--kernel", "scalar"))

    def tight(self, *arguments, model=LONG, spares=(400000, 800000, 1600000, 3200000)):
        """A server that may take as much as it does, and that little more. However slow the machine is, what runs
        may end, and a WebSocket whose client looks only at the end is not given up."""
        arguments = ("--drain", 3600, "--heartbeat", 3600, *self.SLOWLY, *arguments)
        place(model)
        server = self.serve("--sessions", 2, *arguments, model=model)
        total = server.ask("/v1/models")[2]["data"][0]["meta"]["memory"]["total"]
        self.ends(server)
        for spare in spares:  # a sanitizer's own bytes vary
            server = self.serve("--sessions", 2, "--max-ram", total + spare, *arguments, model=model)
            if server.port:
                return server
        return self.fail(server.line)

    def begin(self, server):
        """What runs meanwhile, and the line that says that it may end."""
        stream = server.stream(TEXT, seed=1, max_tokens=self.TOKENS, **ENDLESS)
        events = stream.events()
        first = next(events)
        self.ask_again(server)
        self.assertIn("may end first", server.process.stderr.readline().decode())
        return stream, events, first

    def refused(self, server):
        status, headers, body = server.ask(TEXT, {"prompt": "fox"})
        if status == 200:
            return False
        self.is_error((status, headers, body), 503, None, "Loading model", "unavailable_error")
        self.assertTrue(1 <= int(headers["retry-after"]) <= 600)
        return True

    def whole(self, first, events):
        objects = [json.loads(e) for e in (first, *events) if e != "[DONE]"]
        self.assertNotIn("error", objects[-1])
        self.assertEqual(text_of(objects), raw(LONG, self.TOKENS, 1))

    def test_one_after_the_other(self):
        server = self.tight()
        place(OTHER)
        kept = ws_client.connect(server.port, timeout=serve.WAIT)
        kept.ask(id="a", max_tokens=3, **ENDLESS)  # told: in nobody's way
        stream, events, first = self.begin(server)
        self.assertTrue(self.refused(server))
        metrics = Metrics(server)
        self.assertEqual(metrics.one("ready"), 0)
        kept.send(type="request", id="b", prompt="fox")
        error = kept.follow("b")["last"]
        self.assertEqual((error["status"], error["type"]), (503, "error"))
        self.assertGreaterEqual(error["retry_after"], 1)
        self.whole(first, events)
        stream.hang_up()
        self.until(server, lambda s: s.ask("/health")[0] == 200)
        self.is_served(server, OTHER)
        self.assertEqual(ws_client.text_of(kept.ask(id="c", seed=2, max_tokens=30, **ENDLESS)),
                         raw(OTHER, 30, 2))
        kept.close()
        self.assertEqual(self.results(server), [1, 0, 0])
        line, = self.ends(server)
        self.assertIn("another model from now on", line)

    @unittest.skipIf(SANITIZED, "a sanitizer needs memory of its own")
    def test_no_room_for_a_second_copy(self):
        """By plan both fit, but others have the memory: as well one after the other."""
        models = [str(OUT / f"layers{group}.tm2.bin") for group in (32, 64)]
        gguf = OUT / "layers.gguf"
        subprocess.run([serve.MAKE_TINY, gguf, "layers"], check=True, timeout=60)
        for group, model in zip(("32", "64"), models):
            subprocess.run([serve.EDGELLM, "quantize", gguf, "-o", model, "-q", "--bits", "8", "--group", group,
                            "--calibrate", "none"], check=True, timeout=60)
        place(models[0])
        server = self.start("-c", "64", "-j", "1", "--copy", model=str(PATH))
        pid, size = server.process.pid, os.path.getsize(models[1])
        data = int(pathlib.Path(f"/proc/{pid}/status").read_text().split("VmData:")[1].split()[0]) << 10
        resource.prlimit(pid, resource.RLIMIT_DATA, (data + size * 3 // 4,) * 2)  # files that are mapped do not count
        place(models[1])
        self.assertIn("may end first", self.look_again(server, "swapped"))
        self.assertIn("another model from now on", server.process.stderr.readline().decode())
        self.assertEqual(server.answer(TEXT, seed=3, max_tokens=5, **ENDLESS)["choices"][0]["text"],
                         run("fox", "-n", 5, "-s", 3, "--raw", "--ignore-eos", model=models[1])["text"])
        self.assertEqual(self.ends(server), [])

    def test_back_again(self):
        """It was sound, and is gone when it is its turn."""
        server = self.tight()
        place(OTHER)
        stream, events, first = self.begin(server)
        place_bytes(b"no model")
        self.whole(first, events)
        stream.hang_up()
        self.until(server, lambda s: s.ask("/health")[0] == 200)
        self.is_served(server, LONG)
        self.assertEqual(self.results(server), [0, 0, 1])
        self.assertIn("stays as it was", server.process.stderr.readline().decode())
        self.look_again(server, "kept")
        place(LONG)
        self.look_again(server, "same")
        self.is_served(server, LONG)
        self.assertEqual(self.ends(server), [])

    def test_too_large(self):
        server = self.tight(model=OTHER, spares=(400000, 400000, 400000, 600000))
        place(LONG)
        self.assertIn("--max-ram", self.look_again(server, "kept"))
        self.is_served(server, OTHER)
        self.assertEqual(self.ends(server), [])

    def test_the_end_comes_first(self):
        server = self.tight()
        place(OTHER)
        stream, events, first = self.begin(server)
        server.process.send_signal(signal.SIGTERM)
        self.whole(first, events)
        stream.hang_up()
        self.assertEqual(self.ends(server, None), [])


class End(Case):
    def test_at_any_moment(self):
        """SIGTERM so much later than SIGHUP; what runs ends."""
        for wait in (0, 0.005, 0.02, 0.05, 0.1, 0.3):
            server = self.serve("--calibrate", 200)
            stream = server.stream(TEXT, seed=1, max_tokens=400, **ENDLESS)
            events = stream.events()
            first = next(events)
            place(OTHER)
            self.ask_again(server)
            time.sleep(wait)
            server.process.send_signal(signal.SIGTERM)
            objects = [json.loads(e) for e in (first, *events) if e != "[DONE]"]
            self.assertEqual(text_of(objects), raw(LONG, 400, 1))
            stream.hang_up()
            for line in self.ends(server, None):
                self.assertIn("another model from now on", line)

    def terminal(self, *before):
        """A server that is the leader of a terminal's session, and the terminal's other end."""
        place(LONG)
        ours, its = pty.openpty()

        def own():
            os.setsid()
            fcntl.ioctl(its, termios.TIOCSCTTY, 0)
            if before:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
        server = self.start(*CONTEXT, model=str(PATH), stdin=its, preexec_fn=own)
        os.close(its)
        return server, ours

    def test_its_terminal_goes(self):
        server, terminal = self.terminal()
        self.look_again(server, "same")  # while it is there a signal is no more than that
        os.close(terminal)
        self.assertEqual(self.ends(server, None), [])

    def test_nohup(self):
        server, terminal = self.terminal("ignored")
        os.close(terminal)
        time.sleep(0.2)
        self.is_served(server, LONG)
        place(OTHER)
        self.ask_again(server)
        self.until(server, lambda s: self.results(s)[0] == 1)
        server.end()


class Systemd(Case):
    """What Type=notify-reload waits for."""

    def test_states(self):
        path = str(OUT / "notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(inbox.close)
        inbox.bind(path)
        inbox.settimeout(serve.WAIT)

        def state():
            return dict(line.split("=") for line in inbox.recv(4096).decode().splitlines())
        server = self.serve(env={**os.environ, "NOTIFY_SOCKET": path})
        self.assertEqual(state(), {"READY": "1"})
        for model in (LONG, OTHER, serve.TINY):  # same, swapped, kept
            place(model)
            asked = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self.ask_again(server)
            reloading = state()
            self.assertEqual(reloading.pop("RELOADING"), "1")
            self.assertGreaterEqual(int(reloading.pop("MONOTONIC_USEC")), asked)
            self.assertEqual(reloading, {})
            self.assertEqual(state(), {"READY": "1"})
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(state(), {"STOPPING": "1"})
        self.assertEqual(len(self.ends(server, None)), 3)


if __name__ == "__main__":
    unittest.main(argv=serve.sys.argv[:1], verbosity=2)
