#!/usr/bin/env python3
"""examples/smart_home.py and machine_monitor.py as their users run them: run by `make test-examples`.

    python3 tests/real_examples.py EDGELLM MODEL.tm2.bin MOSQUITTO

A broker, a server with the real model, the examples, and Mosquitto's own clients. Answers are those of a
greedy choice, so the same everywhere: how many are right is held to what examples/README.md says. Needs the
package paho-mqtt.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

EDGELLM, MODEL, MOSQUITTO = sys.argv[1:4]
EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
PLENTY_MS = 120000  # a deadline that a busy machine keeps too
COMMANDS = (
    ("Turn on the lamp in the bedroom", "on lamp bedroom"),
    ("Turn off the lamp in the kitchen", "off lamp kitchen"),
    ("Switch on the fan in the office", "on fan office"),
    ("Please switch off the radio in the bathroom", "off radio bathroom"),
    ("Close the blinds in the bedroom", "down blinds bedroom"),
    ("Open the blinds in the kitchen", "up blinds kitchen"),
    ("Turn the heating in the office up", "up heating office"),
    ("Turn the heating down in the kitchen", "down heating kitchen"),
    ("Play some music in the bedroom", "on radio bedroom"),
    ("Stop the music in the office", "off radio office"),
    ("Make it warmer in the bedroom", "up heating bedroom"),
    ("It is too dark in the bathroom", "on lamp bathroom"),
    ("I am cold in the office", "up heating office"),
    ("Lights out in the bedroom", "off lamp bedroom"),
    ("Radio on in the kitchen", "on radio kitchen"),
    ("Could you turn off the fan in the bathroom?", "off fan bathroom"),
    ("Let the sun into the office", "up blinds office"),
    ("It is too hot in the bathroom, turn the heating down", "down heating bathroom"),
    ("The bedroom needs some light", "on lamp bedroom"),
    ("No more music in the kitchen", "off radio kitchen"),
    ("Start the fan in the bedroom", "on fan bedroom"),
    ("Lower the blinds in the bathroom", "down blinds bathroom"),
    ("Switch the kitchen lamp on", "on lamp kitchen"),
    ("Turn off the bathroom lamp", "off lamp bathroom"),
)
COMMANDS_RIGHT = 0
READINGS = (  # temperature, vibration, pressure: state, check
    ((60, 2.0, 4.0), "ok nothing"),
    ((82, 2.0, 4.0), "watch coolant"),
    ((60, 5.5, 4.0), "watch bearing"),
    ((60, 2.0, 7.0), "watch valve"),
    ((60, 2.0, 1.0), "watch filter"),
    ((1, 2.0, 4.0), "watch heater"),
    ((97, 1.0, 3.0), "stop coolant"),
    ((70, 9.0, 5.0), "stop bearing"),
    ((50, 3.0, 8.5), "stop valve"),
    ((20, 0.5, 5.9), "ok nothing"),
    ((74.9, 4.4, 2.1), "ok nothing"),
    ((95, 8.0, 4.0), "stop coolant or bearing"),
    ((80, 2.0, 1.5), "watch coolant or filter"),
    ((60, 6.0, 7.0), "watch bearing or valve"),
    ((2, 5.0, 4.0), "watch heater or bearing"),
    ((78, 2.0, 7.5), "watch coolant or valve"),
)
READINGS_RIGHT = 0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def started(*command, end=signal.SIGTERM, codes=(0,), **more):
    process = subprocess.Popen(list(map(str, command)), text=True, **more)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(end)
        with process:
            code = process.wait(timeout=60)
    if code not in codes:
        raise AssertionError(f"{command}: {code}")


def wait_for(port):
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens at {port}")


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.enterClassContext(started(MOSQUITTO, "-p", port, stderr=subprocess.DEVNULL))
        server = cls.enterClassContext(started(
            EDGELLM, "serve", MODEL, "--port", 0, "--sessions", 1, "--queue", 0, "-c", 1024,
            stdout=subprocess.PIPE))
        cls.url = server.stdout.readline().split(" at ")[1].split(" ")[0]
        wait_for(port)
        cls.broker = f"127.0.0.1:{port}"
        cls.to_broker = "-h", "127.0.0.1", "-p", str(port)

    @classmethod
    def enterClassContext(cls, context):  # unittest's own is of Python 3.11
        value = context.__enter__()
        cls.addClassCleanup(context.__exit__, None, None, None)
        return value

    @contextlib.contextmanager
    def busy(self):
        """The only session is taken by an answer that goes on and on."""
        client = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=120)
        client.request("POST", "/v1/completions", json.dumps(
            {"prompt": "Once upon a time", "stream": True, "ignore_eos": True, "seed": 1}),
            {"Content-Type": "application/json"})
        reply = client.getresponse()
        self.assertEqual(reply.status, 200)
        self.assertTrue(reply.readline().startswith(b"data:"))
        try:
            yield
        finally:
            client.close()


class Home(Case):
    @contextlib.contextmanager
    def home(self, deadline_ms):
        """(what the example prints, what goes over the broker but what is said)"""
        with started(sys.executable, EXAMPLES / "smart_home.py", "--broker", self.broker, "--server", self.url,
                     "--deadline-ms", deadline_ms, stdout=subprocess.PIPE) as home, \
                started("mosquitto_sub", *self.to_broker, "-v", "-t", "home/#", "-T", "home/say", codes=(0, 1, -15),
                        stdout=subprocess.PIPE) as heard:
            self.assertIn("listens", home.stdout.readline())
            self.publish("home/ready", "ready", "-r")  # kept for who listens later
            self.assertEqual(heard.stdout.readline(), "home/ready ready\n")
            yield home, heard

    def publish(self, topic, text, *options):
        subprocess.run(["mosquitto_pub", *self.to_broker, "-q", "1", "-t", topic, "-m", text, *options],
                       check=True, timeout=60)

    def say(self, heard, text):
        """The topic and the message that come of it."""
        self.publish("home/say", text)
        topic, _, message = heard.stdout.readline().partition(" ")
        return topic, json.loads(message)

    def test_commands(self):
        wrong = []
        with self.home(PLENTY_MS) as (home, heard):
            for text, right in COMMANDS:
                topic, message = self.say(heard, text)
                _, room, device, verb = topic.split("/")
                self.assertEqual((verb, list(message)), ("set", ["action"]))
                if f"{message['action']} {device} {room}" != right:
                    wrong.append(f"{text}: {message['action']} {device} {room}")
                self.assertRegex(home.stdout.readline(), r"\{.*\} in \d+ ms$")
            home.send_signal(signal.SIGINT)
            summary = home.stdout.readline()
        print(f"\n{len(COMMANDS) - len(wrong)} of {len(COMMANDS)} commands are right", *wrong, summary.strip(),
              sep="\n    ")
        self.assertRegex(summary, rf"^{len(COMMANDS)} answers, 0 refused, P50 \d+ ms, max \d+ ms$")
        self.assertEqual(len(COMMANDS) - len(wrong), COMMANDS_RIGHT)

    def test_too_late(self):
        with self.home(5) as (home, heard):
            for _ in range(2):
                topic, message = self.say(heard, COMMANDS[0][0])
                self.assertEqual((topic, message["said"]), ("home/failed", COMMANDS[0][0]))
                self.assertRegex(message["why"], r"would take \d+ ms|its time was over")
            home.send_signal(signal.SIGINT)
            self.assertRegex(home.stdout.read(), r"0 answers, 2 refused\n$")

    def test_busy(self):
        with self.home(900) as (_, heard), self.busy():
            topic, message = self.say(heard, COMMANDS[0][0])
            self.assertEqual(topic, "home/failed")
            self.assertRegex(message["why"], r"busy for \d+ s")
        with self.home(PLENTY_MS) as (home, heard):
            with self.busy():
                self.publish("home/say", COMMANDS[0][0])
                time.sleep(1)
            self.assertRegex(home.stdout.readline(), r"\{.*\} in \d+ ms$")  # it asked again


class Monitor(Case):
    @contextlib.contextmanager
    def monitor(self, deadline_ms):
        with started(sys.executable, EXAMPLES / "machine_monitor.py", "--server", self.url, "--deadline-ms",
                     deadline_ms, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as it:
            yield it

    def feed(self, it, *readings, machine="pump1"):
        for temperature, vibration, pressure in readings:
            it.stdin.write(f"{machine} temperature={temperature} vibration={vibration} pressure={pressure}\n")
        it.stdin.flush()

    def test_readings(self):
        wrong = []
        with self.monitor(PLENTY_MS) as it:
            for values, right in READINGS:
                self.feed(it, values)
                said = json.loads(it.stdout.readline())
                self.assertEqual(list(said), ["machine", "state", "check", "by", "ms"])
                self.assertEqual((said["state"], said["by"]), (right.split()[0], "model"))
                if said["check"] not in right.split()[1:]:
                    wrong.append(f"{values}: {said['check']}, not {right}")
            for values, _ in READINGS[:4]:  # the same again, for a percentile
                self.feed(it, values)
                it.stdout.readline()
            summary = it.communicate(timeout=60)[1]
        print(f"\n{len(READINGS) - len(wrong)} of {len(READINGS)} readings are right", *wrong, summary.strip(),
              sep="\n    ")
        self.assertRegex(summary, rf"^{len(READINGS) + 4} answers, 0 refused, P50 \d+ ms, max \d+ ms; 0 lines")
        self.assertEqual(len(READINGS) - len(wrong), READINGS_RIGHT)

    def test_only_the_newest_counts(self):
        with self.monitor(PLENTY_MS) as it:
            self.feed(it, *(values for values, _ in READINGS[:4]), (97, 1, 3))
            it.stdin.write("no reading\n\n")
            self.feed(it, (60, 2, 4), machine="pump2")
            out, err = it.communicate(timeout=120)
        said = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([s["state"] for s in said if s["machine"] == "pump1"][-1], "stop")
        self.assertEqual([s["state"] for s in said if s["machine"] == "pump2"], ["ok"])
        self.assertEqual(err.count("no reading: "), 2)
        self.assertEqual(int(re.search(r"(\d+) lines had a newer", err).group(1)), 6 - len(said))

    def test_without_an_answer_in_time(self):
        with self.monitor(5) as it:
            self.feed(it, (97, 1, 3))
            said = json.loads(it.stdout.readline())
            err = it.communicate(timeout=60)[1]
        self.assertEqual((said["state"], said["check"], said["by"]), ("stop", "temperature", "rules"))
        self.assertRegex(err, r"would take \d+ ms|its time was over")
        with self.busy(), self.monitor(900) as it:
            self.feed(it, (60, 9, 3))
            said = json.loads(it.stdout.readline())
            self.assertRegex(it.communicate(timeout=60)[1], r"busy for \d+ s")
        self.assertEqual((said["state"], said["check"], said["by"]), ("stop", "vibration", "rules"))


if __name__ == "__main__":
    os.environ["EDGELLM_CACHE"] = "none"
    unittest.main(argv=sys.argv[:1], verbosity=2)
