#!/usr/bin/env python3
"""A data set for one job: what people say to a smart home, as JSON. Made by rules from the tables
of command_grammar.py; the same seed gives the same bytes. Standard library only.

    PYTHONPATH=tools python3 -m distil.commands [--seed N] [--train ROWS] [--test ROWS] -o FOLDER

FOLDER gets train.jsonl and test.jsonl. A row: {"messages": [system, user], "answer": JSON as text}.
What the test asks is new: its templates, some polite forms and some pairs of device and room never
occur in training.
"""
import argparse
import json
import pathlib
import random
import re
import sys
import zlib
from collections import namedtuple

from . import command_grammar as grammar

Row = namedtuple("Row", "template user answer")
Template = namedtuple("Template", "text imperative constants slots")

POLITE_SHARE, TYPO_SHARE, WRITTEN_SHARE, NEW_PAIR_SHARE = 0.55, 0.08, 0.5, 0.5
OUTDOORS = ("light", "lamp", "plug", "music", "volume", "temperature", "humidity", "motion")


def parse_template(line, constants):
    text, _, more = line.lstrip("~").partition(" -> ")
    pairs = (pair.split("=") for pair in more.split())
    slots = re.findall(r"\{(\w+)\}", text)
    return Template(text, not line.startswith("~"), {**constants, **dict(pairs)}, slots)


def templates(intent, held):
    return [parse_template(line, intent.constants)
            for line in (intent.held if held else intent.train)]


def is_held_pair(answer):
    """One in eight pairs of device and room is asked for in the test only."""
    if "device" not in answer or answer.get("room", "all") == "all":
        return False
    return zlib.crc32(f"{answer['device']}/{answer['room']}".encode()) % 8 == 0


def is_likely(answer, values):
    """No room twice, and in the garden only what one has there."""
    rooms = [values[slot] for slot in ("room", "but", "other") if slot in values]
    if len(set(rooms)) < len(rooms):
        return False
    return "garden" not in rooms or answer["device"] in OUTDOORS


def fill(rng, template):
    """Draws the slots: (sentence, answer)."""
    while True:
        drawn = {slot: grammar.SLOTS[slot].draw(rng) for slot in template.slots}
        values = {slot: value for slot, (_, value) in drawn.items()}
        found = {**template.constants,
                 **{grammar.SLOTS[slot].key: value for slot, value in values.items()}}
        answer = {key: found[key] for key in grammar.KEYS if key in found}
        if is_likely(answer, values):
            said = {slot: text for slot, (text, _) in drawn.items()}
            return template.text.format(**said), answer


def fill_allowed(rng, template, held):
    """In training no held pair; in the test one if that was drawn and the template has both."""
    wanted = held and rng.random() < NEW_PAIR_SHARE
    for _ in range(50):
        sentence, answer = fill(rng, template)
        if is_held_pair(answer) == wanted or (held and not wanted):
            break
    else:
        assert held, template
    return sentence, answer


def with_typo(rng, sentence):
    """Two letters inside a word change places, or one is missing or twice."""
    words = [match for match in re.finditer(r"[A-Za-z]{5,}", sentence)]
    if not words:
        return sentence
    word = rng.choice(words)
    at = rng.randint(word.start() + 1, word.end() - 3)
    a, b = sentence[at], sentence[at + 1]
    return sentence[:at] + rng.choice((b + a, b, a + a + b)) + sentence[at + 2:]


def as_written(sentence):
    """With a capital and an end; as spoken it has neither."""
    if not sentence.endswith("?"):
        asks = re.match(r"(could|can|would) ", sentence)
        sentence += "?" if asks else "."
    return sentence[0].upper() + sentence[1:]


def say(rng, sentence, imperative, forms):
    if imperative and rng.random() < POLITE_SHARE:
        sentence = rng.choice(forms).format(sentence)
    if rng.random() < TYPO_SHARE:
        sentence = with_typo(rng, sentence)
    if rng.random() < WRITTEN_SHARE:
        return as_written(sentence)
    return sentence.rstrip("?")


def make_row(rng, intents, forms, held):
    weights = [intent.weight for intent, _ in intents]
    _, choices = rng.choices(intents, weights)[0]
    template = rng.choice(choices)
    sentence, answer = fill_allowed(rng, template, held)
    return Row(template.text, say(rng, sentence, template.imperative, forms), json.dumps(answer))


def make_rows(seed, count, held=False, without=()):
    """count rows, no sentence twice (whatever its capitals and ends), none of those in without."""
    rng = random.Random(f"{seed} {'test' if held else 'train'}")
    intents = [(intent, templates(intent, held)) for intent in grammar.INTENTS]
    forms = grammar.POLITE + (grammar.POLITE_HELD if held else ())
    seen, rows = set(map(plain, without)), []
    while len(rows) < count:
        row = make_row(rng, intents, forms, held)
        if plain(row.user) not in seen:
            seen.add(plain(row.user))
            rows.append(row)
    return rows


def plain(sentence):
    return sentence.lower().rstrip(".?")


def make_sets(seed, train, test):
    first = make_rows(seed, train)
    return first, make_rows(seed, test, held=True, without=[row.user for row in first])


def as_line(row):
    messages = [{"role": "system", "content": grammar.SYSTEM},
                {"role": "user", "content": row.user}]
    return json.dumps({"messages": messages, "answer": row.answer}) + "\n"


def write(folder, **sets):
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in sets.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(map(as_line, rows)), encoding="ascii", newline="\n")
        print(f"{path}: {len(rows)} rows, {len({row.template for row in rows})} templates")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="distil.commands", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", type=int, default=6000, metavar="ROWS")
    parser.add_argument("--test", type=int, default=400, metavar="ROWS")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="FOLDER")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    train, test = make_sets(options.seed, options.train, options.test)
    try:
        write(options.output, train=train, test=test)
    except OSError as error:
        print(f"commands: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
