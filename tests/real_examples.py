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
    ("Turn on the lamp in the bedroom", "bedroom lamp on"),
    ("Turn off the lamp in the kitchen", "kitchen lamp off"),
    ("Switch on the fan in the office", "office fan on"),
    ("Please switch off the radio in the bathroom", "bathroom radio off"),
    ("Close the blinds in the bedroom", "bedroom blinds down"),
    ("Open the blinds in the kitchen", "kitchen blinds up"),
    ("Turn the heating in the office up", "office heating up"),
    ("Turn the heating down in the kitchen", "kitchen heating down"),
    ("Play some music in the bedroom", "bedroom radio on"),
    ("Stop the music in the office", "office radio off"),
    ("Make it warmer in the bedroom", "bedroom heating up"),
    ("It is too dark in the bathroom", "bathroom lamp on"),
    ("I am cold in the office", "office heating up"),
    ("Lights out in the bedroom", "bedroom lamp off"),
    ("Radio on in the kitchen", "kitchen radio on"),
    ("Could you turn off the fan in the bathroom?", "bathroom fan off"),
    ("Let the sun into the office", "office blinds up"),
    ("It is too hot in the bathroom, turn the heating down", "bathroom heating down"),
    ("The bedroom needs some light", "bedroom lamp on"),
    ("No more music in the kitchen", "kitchen radio off"),
    ("Start the fan in the bedroom", "bedroom fan on"),
    ("Lower the blinds in the bathroom", "bathroom blinds down"),
    ("Switch the kitchen lamp on", "kitchen lamp on"),
    ("Turn off the bathroom lamp", "bathroom lamp off"),
)
COMMANDS_RIGHT = 20
READINGS = (  # machine, temperature, vibration, pressure: state, and what is out of its limits
    ("pump1", 82, 2.0, 4.0, "watch", "temperature", "82, at most 75"),
    ("fan3", 60, 5.5, 4.0, "watch", "vibration", "5.5, at most 4.5"),
    ("mixer2", 60, 2.0, 7.0, "watch", "pressure", "7, at most 6"),
    ("press9", 60, 2.0, 1.0, "watch", "pressure", "1, at least 2"),
    ("pump12", 1, 2.0, 4.0, "watch", "temperature", "1, at least 5"),
    ("saw1", 97, 1.0, 3.0, "stop", "temperature", "97, at most 75"),
    ("pump1", 70, 9.0, 5.0, "stop", "vibration", "9, at most 4.5"),
    ("fan3", 50, 3.0, 8.5, "stop", "pressure", "8.5, at most 6"),
    ("mixer2", 95, 8.0, 4.0, "stop", "temperature", "95, at most 75"),
    ("press9", 60, 8.0, 4.0, "stop", "vibration", "8, at most 4.5"),
    ("pump12", 80, 2.0, 1.5, "watch", "temperature", "80, at most 75"),
    ("saw1", 60, 2.0, 1.5, "watch", "pressure", "1.5, at least 2"),
    ("pump1", 60, 6.0, 7.0, "watch", "vibration", "6, at most 4.5"),
    ("fan3", 70, 2.0, 6.5, "watch", "pressure", "6.5, at most 6"),
    ("mixer2", 2, 5.0, 4.0, "watch", "temperature", "2, at least 5"),
    ("press9", 60, 5.0, 4.0, "watch", "vibration", "5, at most 4.5"),
    ("pump12", 78, 2.0, 7.5, "watch", "temperature", "78, at most 75"),
    ("saw1", 4, 2.0, 8.1, "stop", "pressure", "8.1, at most 6"),
    ("conveyor4", 99.5, 2.0, 4.0, "stop", "temperature", "99.5, at most 75"),
    ("lathe22", 40, 7.7, 4.0, "stop", "vibration", "7.7, at most 4.5"),
)
READINGS_RIGHT = 20
FINE = (("pump1", 60, 2.0, 4.0), ("fan3", 20, 0.5, 5.9), ("saw1", 75, 4.5, 2))


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
        self.publish("home/ready", "ready", "-r")  # kept for who listens later
        with started(sys.executable, EXAMPLES / "smart_home.py", "--broker", self.broker, "--server", self.url,
                     "--deadline-ms", deadline_ms, stdout=subprocess.PIPE) as home, \
                started("mosquitto_sub", *self.to_broker, "-v", "-t", "home/#", "-T", "home/say", codes=(0, 1, -15),
                        stdout=subprocess.PIPE) as heard:
            self.assertIn("listens", home.stdout.readline())
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
                if f"{room} {device} {message['action']}" != right:
                    wrong.append(f"{text}: {room} {device} {message['action']}")
                self.assertRegex(home.stdout.readline(), r"\{.*\} in \d+ ms$")
            home.send_signal(signal.SIGINT)
            summary = home.stdout.readline()
            self.assertEqual(home.wait(timeout=60), 0)
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
            self.assertEqual(home.wait(timeout=60), 0)
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

    def feed(self, it, *readings):
        for machine, temperature, vibration, pressure, *_ in readings:
            it.stdin.write(f"{machine} temperature={temperature} vibration={vibration} pressure={pressure}\n")
        it.stdin.flush()

    def test_readings(self):
        wrong = []
        with self.monitor(PLENTY_MS) as it:
            for reading in READINGS:
                machine, *_, state, name, limit = reading
                self.feed(it, reading)
                said = json.loads(it.stdout.readline())
                self.assertEqual(list(said), ["machine", "state", "note", "by", "ms"])
                self.assertEqual((said["machine"], said["state"], said["by"]), (machine, state, "model"))
                if said["note"] != f"The {name} of {machine} is {limit} is allowed.":
                    wrong.append(f"{reading}: {said['note']}")
            for reading in FINE:  # nothing to say, and nothing is asked
                self.feed(it, reading)
                said = json.loads(it.stdout.readline())
                self.assertEqual((said["state"], said["note"], said["by"]), ("ok", "", "rules"))
            summary = it.communicate(timeout=60)[1]
        print(f"\n{len(READINGS) - len(wrong)} of {len(READINGS)} notes are right", *wrong, summary.strip(),
              sep="\n    ")
        self.assertRegex(summary, rf"^{len(READINGS)} answers, 0 refused, P50 \d+ ms, max \d+ ms; 0 lines")
        self.assertEqual(len(READINGS) - len(wrong), READINGS_RIGHT)

    def test_only_the_newest_counts(self):
        with self.monitor(PLENTY_MS) as it:
            self.feed(it, *(("pump1", *reading[1:4]) for reading in READINGS[:6]))
            it.stdin.write("no reading\n\n")
            self.feed(it, ("pump2", 60, 2, 4))
            out, err = it.communicate(timeout=120)
        said = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([s["state"] for s in said if s["machine"] == "pump1"][-1], "stop")
        self.assertEqual([s["state"] for s in said if s["machine"] == "pump2"], ["ok"])
        self.assertEqual(err.count("no reading: "), 2)
        self.assertEqual(int(re.search(r"(\d+) lines had a newer", err).group(1)), 7 - len(said))

    def test_without_an_answer_in_time(self):
        with self.monitor(5) as it:
            self.feed(it, ("pump1", 97, 1, 3))
            said = json.loads(it.stdout.readline())
            err = it.communicate(timeout=60)[1]
        self.assertEqual((said["state"], said["note"], said["by"]),
                         ("stop", "pump1, temperature 97, at most 75", "rules"))
        self.assertRegex(err, r"would take \d+ ms|its time was over")
        with self.busy(), self.monitor(900) as it:
            self.feed(it, ("pump1", 60, 9, 3))
            said = json.loads(it.stdout.readline())
            self.assertRegex(it.communicate(timeout=60)[1], r"busy for \d+ s")
        self.assertEqual((said["state"], said["note"], said["by"]),
                         ("stop", "pump1, vibration 9, at most 4.5", "rules"))


if __name__ == "__main__":
    os.environ["EDGELLM_CACHE"] = "none"
    unittest.main(argv=sys.argv[:1], verbosity=2)
