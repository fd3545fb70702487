"""Readings of machines in, one line each; what to do out, in JSON of known size and in time.

    edgellm serve models/SmolLM2-135M-Instruct.tm2.bin &
    python3 machine_monitor.py < /dev/ttyUSB0
        pump1 temperature=91 vibration=2.1 pressure=4.0
    {"machine": "pump1", "state": "stop", "check": "coolant", "by": "model", "ms": 412}

Whether a reading is within its limits, and so the state, is decided here, by comparison: the model only
says what to look at. Without an answer in time the line comes all the same, with "by": "rules" and the
reading that is worst. Only the newest line of each machine counts.
"""
import argparse
import json
import sys
import threading
import time

from edgellm_ask import Asker, Refused

#            low, high, far too high
LIMITS = {"temperature": (5, 75, 90), "vibration": (0, 4.5, 7.1), "pressure": (2, 6, 8)}
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["check"], "properties": {
    "check": {"enum": ["coolant", "bearing", "valve", "filter", "heater", "nothing"]}}}
SHOWN = (
    ("temperature high, vibration normal, pressure normal", "coolant"),
    ("temperature normal, vibration normal, pressure normal", "nothing"),
    ("temperature normal, vibration high, pressure normal", "bearing"),
    ("temperature normal, vibration normal, pressure high", "valve"),
    ("temperature normal, vibration normal, pressure low", "filter"),
    ("temperature low, vibration normal, pressure normal", "heater"),
)


def read(line):
    """(machine, {name: value}); None: the line is no reading."""
    machine, *pairs = line.split()[:16] or [""]
    try:
        values = {name: float(value) for name, value in (pair.split("=") for pair in pairs)}
    except ValueError:
        return None
    return (machine, values) if set(values) == set(LIMITS) else None


def judge(values):
    """(state, in words, the worst reading), by comparison."""
    state, words, worst = "ok", [], "nothing"
    for name, (low, high, too_high) in LIMITS.items():
        value = values[name]
        words.append(f"{name} {'low' if value < low else 'normal' if value <= high else 'high'}")
        if value > too_high:
            state, worst = "stop", name
        elif not low <= value <= high and state == "ok":
            state, worst = "watch", name
    return state, ", ".join(words), worst


def prompt_of(words):
    shown = "".join(f"Readings: {said}\nJSON: {json.dumps({'check': right})}\n\n" for said, right in SHOWN)
    return f"{shown}Readings: {words}\nJSON: "


class Monitor:
    def __init__(self, options):
        self.deadline_ms = options.deadline_ms
        self.asker = Asker(options.server)
        self.newest, self.has_ended, self.passed_over = {}, False, 0
        self.changed = threading.Condition()

    def listen(self, lines):
        """In a thread of its own, so that lines are taken while the model answers."""
        for line in lines:
            reading = read(line)
            if reading is None:
                print(f"no reading: {line.strip()[:60]!r}", file=sys.stderr, flush=True)
                continue
            with self.changed:
                self.passed_over += reading[0] in self.newest
                self.newest[reading[0]] = time.monotonic(), reading[1]
                self.changed.notify()
        with self.changed:
            self.has_ended = True
            self.changed.notify()

    def next(self):
        """(machine, when it came, values), the oldest first; None at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.newest or self.has_ended)
            if not self.newest:
                return None
            machine = min(self.newest, key=lambda name: self.newest[name][0])
            return machine, *self.newest.pop(machine)

    def answer(self, machine, came, values):
        state, words, worst = judge(values)
        said = {"machine": machine, "state": state, "check": worst, "by": "rules"}
        try:
            said.update(self.asker.ask(prompt_of(words), SCHEMA, came, self.deadline_ms), by="model")
        except Refused as why:
            print(f"{machine}: {why}", file=sys.stderr, flush=True)
        said["ms"] = round(1000 * (time.monotonic() - came))
        print(json.dumps(said), flush=True)

    def run(self):
        threading.Thread(target=self.listen, args=(sys.stdin,), daemon=True).start()
        try:
            while reading := self.next():
                self.answer(*reading)
        except KeyboardInterrupt:
            pass
        print(f"{self.asker.summary()}; {self.passed_over} lines had a newer one before they were asked",
              file=sys.stderr)


def main():
    options = argparse.ArgumentParser(description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--server", default="http://127.0.0.1:11435")
    options.add_argument("--deadline-ms", type=int, default=1000)
    Monitor(options.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
