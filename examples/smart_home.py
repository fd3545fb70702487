"""What people say to their home becomes commands for devices: text in by MQTT, JSON out.

    apt-get install mosquitto mosquitto-clients python3-paho-mqtt      # or: pip install paho-mqtt
    edgellm serve models/SmolLM2-135M-Instruct.tm2.bin &      # which `make source` makes
    python3 smart_home.py &
    mosquitto_sub -v -t 'home/#' &
    mosquitto_pub -t home/say -m "Turn on the lamp in the kitchen"
        home/kitchen/lamp/set {"action": "on"}

What cannot be answered in time is told on home/failed, as JSON with `said` and `why`.
"""
import argparse
import collections
import json
import queue
import re
import signal
import sys
import time

import paho.mqtt.client as mqtt

from edgellm_ask import Asker, Refused

SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["room", "device", "action"],
    "properties": {
        "room": {"enum": ["kitchen", "bedroom", "bathroom", "office"]},
        "device": {"enum": ["lamp", "heating", "fan", "blinds", "radio"]},
        "action": {"enum": ["on", "off", "up", "down"]}}}
SHOWN = (
    ("Turn on the lamp in the kitchen", "kitchen", "lamp", "on"),
    ("Turn off the lamp in the office", "office", "lamp", "off"),
    ("Switch the fan in the bedroom off", "bedroom", "fan", "off"),
    ("Switch the fan in the bathroom on", "bathroom", "fan", "on"),
    ("Turn up the heating in the bathroom", "bathroom", "heating", "up"),
    ("Turn down the heating in the bedroom", "bedroom", "heating", "down"),
    ("Close the blinds in the office", "office", "blinds", "down"),
    ("Open the blinds in the bedroom", "bedroom", "blinds", "up"),
    ("Turn off the radio in the office", "office", "radio", "off"),
    ("Switch on the radio in the bedroom", "bedroom", "radio", "on"),
    ("Stop the music in the kitchen", "kitchen", "radio", "off"),
    ("Play music in the bathroom", "bathroom", "radio", "on"),
    ("It is too dark in the office", "office", "lamp", "on"),
    ("No light in the kitchen", "kitchen", "lamp", "off"),
    ("I am cold in the bedroom", "bedroom", "heating", "up"),
    ("It is too hot in the kitchen", "kitchen", "heating", "down"),
    ("Make it warmer in the bathroom", "bathroom", "heating", "up"),
    ("Let more sun into the kitchen", "kitchen", "blinds", "up"),
)
SHOWN_AT_ONCE = 3
TEXT_MAX, WAITING_MAX = 120, 8


def words_of(text):
    return set(re.findall(r"\w+", text.lower()))


COUNTS = collections.Counter(word for said, *_ in SHOWN for word in words_of(said))


def nearest(text):
    """The examples with most words in common, the nearest last; a word counts more where it is rare."""
    words = words_of(text)
    return sorted(SHOWN, key=lambda one: sum(1 / COUNTS[w] for w in words & words_of(one[0])))[-SHOWN_AT_ONCE:]


def prompt_of(text):
    shown = "".join(f"Command: {said}\nJSON: {json.dumps(dict(zip(SCHEMA['required'], right)))}\n\n"
                    for said, *right in nearest(text))
    return f"{shown}Command: {' '.join(text.split())[:TEXT_MAX]}\nJSON: "


class Home:
    def __init__(self, options):
        self.deadline_ms = options.deadline_ms
        self.asker = Asker(options.server)
        self.said = queue.Queue(WAITING_MAX)
        by_version = (mqtt.CallbackAPIVersion.VERSION2,) if hasattr(mqtt, "CallbackAPIVersion") else ()
        self.client = mqtt.Client(*by_version)
        self.client.on_connect = lambda client, *_: client.subscribe("home/say", qos=1)
        self.client.on_subscribe = lambda *_: print("listens on home/say", flush=True)
        self.client.on_message = self.on_message
        host, _, port = options.broker.partition(":")
        self.client.connect(host, int(port or 1883))
        self.client.loop_start()

    def on_message(self, client, _, message):
        """In the thread of MQTT, which must not wait."""
        try:
            self.said.put_nowait((time.monotonic(), message.payload.decode("utf-8", "replace")))
        except queue.Full:
            self.fail(message.payload.decode("utf-8", "replace"), f"{WAITING_MAX} commands wait already")

    def fail(self, text, why):
        self.client.publish("home/failed", json.dumps({"said": text, "why": why}), qos=1)
        print(f"{text!r}: {why}", flush=True)

    def do(self, came, text):
        try:
            answer = self.asker.ask(prompt_of(text), SCHEMA, came, self.deadline_ms)
        except Refused as why:
            self.fail(text, str(why))
            return
        topic = f"home/{answer['room']}/{answer['device']}/set"
        self.client.publish(topic, json.dumps({"action": answer["action"]}), qos=1)
        print(f"{text!r}: {json.dumps(answer)} in {self.asker.times_ms[-1]:.0f} ms", flush=True)

    def run(self):
        try:
            while True:
                self.do(*self.said.get())
        except KeyboardInterrupt:
            print(self.asker.summary(), flush=True)
        self.client.disconnect()
        self.client.loop_stop()


def main():
    options = argparse.ArgumentParser(description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--broker", default="127.0.0.1:1883")
    options.add_argument("--server", default="http://127.0.0.1:11435")
    options.add_argument("--deadline-ms", type=int, default=1500)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    Home(options.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
