#!/usr/bin/env python3
"""`edgellm serve`, disturbed from outside: stopped (SIGSTOP) in the middle of an answer for longer than its
deadline and then continued; where the time of day leaps by years at each look; and with a thread that hangs, of
which a watchdog must hear.

    python3 tests/test_serve_disturbed.py EDGELLM MAKE_TINY OUT_DIR INJECT

Standard library only; how a server is started and asked is test_serve.py's. INJECT: tests/faults/inject.c.
"""
import contextlib
import ctypes
import json
import os
import signal
import socket
import time
import unittest

import test_serve as serve
import ws_client
from test_serve import LONG, TEXT, run

setUpModule = serve.setUpModule
PROMPT = {"prompt": "the fox", "seed": 7}
ENDLESS = {**PROMPT, "ignore_eos": True, "temperature": 1}
DEADLINE_MS, STOP_MS = 2000, 2500
TRIES = 6  # to stop it within an answer


class Stopped(serve.Case):
    model, options = LONG, ("-c", "90000", "--sessions", "2", "--heartbeat", "1")

    def stop(self, ms):
        self.server.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.server.process.pid, os.WSTOPPED | os.WNOWAIT)
        time.sleep(ms / 1e3)
        self.server.process.send_signal(signal.SIGCONT)

    def answer(self, **body):
        """Text and end of one that was stopped after its first token."""
        stream = self.server.stream(TEXT, **ENDLESS, **body)
        events = stream.events()
        objects = [json.loads(next(events))]
        self.stop(STOP_MS)
        objects += map(json.loads, list(events)[:-1])
        stream.hang_up()
        return serve.text_of(objects), objects[-1]

    def test_a_deadline_that_passes_meanwhile(self):
        """The answer ends there, as far as it came; what is asked next is as ever."""
        for _ in range(TRIES):
            text, last = self.answer(deadline_ms=DEADLINE_MS)
            if last["deadline"]["ended_by_deadline"]:
                break
        else:
            self.fail("never stopped in the middle")
        tokens = last["timings"]["predicted_n"]
        self.assertLess(tokens, last["deadline"]["max_tokens"])
        self.assertEqual(last["choices"][0]["finish_reason"], "length")
        right = self.server.answer(TEXT, **ENDLESS, max_tokens=tokens)["choices"][0]["text"]
        self.assertTrue(right.startswith(text.rstrip("\ufffd")))  # a character may have been cut
        kept = self.server.answer(TEXT, **ENDLESS, max_tokens=5, deadline_ms=3600000)
        self.assertFalse(kept["deadline"]["ended_by_deadline"])

    def test_without_a_deadline_nothing_changes(self):
        stopped, last = self.answer(max_tokens=5000)
        self.assertEqual(last["timings"]["predicted_n"], 5000)
        self.assertEqual(stopped, self.server.answer(TEXT, **ENDLESS, max_tokens=5000)["choices"][0]["text"])

    def test_connections_outlive_it(self):
        """One beat of the heart that was late is not two that were missed."""
        idle = ws_client.connect(self.server.port, timeout=serve.WAIT)
        self.stop(STOP_MS)
        answer = idle.ask(id="a", **PROMPT, max_tokens=3)
        self.assertEqual(answer["last"]["type"], "done")
        idle.close()


class Leaps(serve.Case):
    """No duration of the server's is measured by the time of day."""

    @classmethod
    def setUpClass(cls):
        cls.server = serve.Server("-c", "20000", "--heartbeat", "1", model=LONG, env={
            **os.environ, "LD_PRELOAD": os.path.abspath(serve.INJECT), "EDGELLM_FAULT_CLOCK": "1"})

    def times(self, timings):
        for name in ("queue_ms", "prompt_ms", "predicted_ms"):
            self.assertTrue(0 <= timings[name] < 60000, timings)

    def test_answers_and_deadlines(self):
        right = run("the fox", "--raw", "-n", 200, "-s", 7, "-t", 1, "--ignore-eos", "-c", 20000, model=LONG)["text"]
        for more in ({}, {"deadline_ms": 60000}):
            got = self.server.answer(TEXT, **ENDLESS, max_tokens=200, **more)
            self.assertEqual(got["choices"][0]["text"], right)
            self.times(got["timings"])
            if more:
                self.assertFalse(got["deadline"]["ended_by_deadline"])
                self.assertTrue(0 < got["deadline"]["forecast_ms"] < 60000)
        self.is_error(self.server.ask(TEXT, {**ENDLESS, "max_tokens": 19000, "deadline_ms": 1000}), 422,
                      "deadline_ms", "are enough")

    def test_connections(self):
        """Neither is taken for dead, nor do timers stand still: pings come."""
        kept, socket = self.server.client(), ws_client.connect(self.server.port, timeout=serve.WAIT)
        self.assertEqual(serve.ask(kept, "/health")[0], 200)
        for _ in range(3):
            opcode, data = socket.receive_frame()
            self.assertEqual(opcode, ws_client.PING)
            socket.send_frame(data, opcode=ws_client.PONG)
        self.times(socket.ask(id="a", **PROMPT, max_tokens=3)["last"]["timings"])
        self.assertEqual(serve.ask(kept, "/health")[0], 200)
        kept.close()
        socket.close()


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000


def trace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_long(request), ctypes.c_long(thread), ctypes.c_void_p(), ctypes.c_void_p()]
    if libc.ptrace(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def hanging(thread):
    """One thread is stopped, and the others are not."""
    trace(PTRACE_SEIZE, thread)
    trace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        trace(PTRACE_DETACH, thread)


def busiest(pid):
    """The thread that computes, in the middle of an answer."""
    def ticks(thread):
        with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii") as stat:
            return int(stat.read().rpartition(")")[2].split()[11])
    return max((int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid), key=ticks)


class Watched(serve.Case):
    """As systemd watches a service with WatchdogSec=."""
    EVERY_MS = 100

    def watched(self, **more):
        path = str(serve.OUT / "watchdog")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.inbox.close)
        self.inbox.bind(path)
        self.inbox.settimeout(serve.WAIT)
        usec = str(2 * self.EVERY_MS * 1000)
        server = self.start("-c", "90000", "-j", "1", model=LONG,
                            env={**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": usec, **more})
        self.assertEqual(self.inbox.recv(100), b"READY=1")
        return server

    def is_well(self, times):
        for _ in range(times):
            self.assertEqual(self.inbox.recv(100), b"WATCHDOG=1")

    def says_nothing(self, times):
        self.inbox.settimeout(times * self.EVERY_MS / 1e3)
        with self.assertRaises(TimeoutError):
            self.inbox.recv(100)
        self.inbox.settimeout(serve.WAIT)

    def test_a_thread_that_hangs(self):
        server = self.watched()
        self.is_well(2)  # with nothing to do
        stream = server.stream(TEXT, **ENDLESS, max_tokens=80000)
        self.addCleanup(stream.hang_up)
        events = stream.events()
        for _ in range(200):
            next(events)
        self.is_well(2)
        try:
            with hanging(busiest(server.process.pid)):
                time.sleep(3 * self.EVERY_MS / 1e3)
                self.inbox.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:  # from before, and of what went on since the look before
                        self.inbox.recv(100)
                self.says_nothing(8)
        except PermissionError as error:
            self.skipTest(f"a thread cannot be stopped here: {error}")
        self.is_well(3)
        stream.hang_up()
        self.ends_well(server)

    def test_another_process_is_meant(self):
        server = self.watched(WATCHDOG_PID="1")
        self.says_nothing(6)
        self.ends_well(server)


if __name__ == "__main__":
    unittest.main(argv=serve.sys.argv[:1], verbosity=2)
