"""Readings of machines in, one line each; a line of JSON of known size out, in time.

    edgellm serve models/SmolLM2-135M-Instruct.tm2.bin &      # which `make source` makes
    python3 machine_monitor.py < /dev/ttyUSB0
        pump1 temperature=91 vibration=2.1 pressure=4.0
    {"machine": "pump1", "state": "stop", "note": "The temperature of pump1 is 91, at most 75 is allowed.", ...

Whether a reading is within its limits, and so the state, is decided here, by comparison: the model only
words the note. Without an answer in time the line comes all the same, with "by": "rules" and a note of
numbers. Only the newest line of each machine counts.
"""
import argparse
import json
import sys
import threading
import time

from edgellm_ask import Asker, Refused

#            low, high, far too high
LIMITS = {"temperature": (5, 75, 90), "vibration": (0, 4.5, 7.1), "pressure": (2, 6, 8)}
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["note"],
          "properties": {"note": {"type": "string", "minLength": 10, "maxLength": 80}}}
SHOWN = (
    ("pump4, temperature 83, at most 75", "The temperature of pump4 is 83, at most 75 is allowed."),
    ("fan2, vibration 6.1, at most 4.5", "The vibration of fan2 is 6.1, at most 4.5 is allowed."),
    ("pump7, pressure 1.2, at least 2", "The pressure of pump7 is 1.2, at least 2 is allowed."),
)


def read(line):
    """(machine, {name: value}); None: the line is no reading."""
    machine, *pairs = line.split()[:16] or [""]
    try:
        values = {name: float(value) for name, value in (pair.split("=") for pair in pairs)}
    except ValueError:
        return None
    return (machine, values) if set(values) == set(LIMITS) else None


def judge(machine, values):
    """(state, the worst reading beside its limit, or nothing), by comparison."""
    state, note = "ok", ""
    for name, (low, high, too_high) in LIMITS.items():
        value = values[name]
        limit = f"at least {low:g}" if value < low else f"at most {high:g}"
        if value > too_high:
            return "stop", f"{machine}, {name} {value:g}, {limit}"
        if not low <= value <= high and state == "ok":
            state, note = "watch", f"{machine}, {name} {value:g}, {limit}"
    return state, note


def prompt_of(note):
    shown = "".join(f"Reading: {read}\nJSON: {json.dumps({'note': said})}\n\n" for read, said in SHOWN)
    return f"{shown}Reading: {note}\nJSON: "


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
        state, note = judge(machine, values)
        said = {"machine": machine, "state": state, "note": note, "by": "rules"}
        try:
            if note:
                said.update(self.asker.ask(prompt_of(note), SCHEMA, came, self.deadline_ms), by="model")
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
