#!/usr/bin/env python3
"""JSON schemas to grammars (docs/SCHEMA.md), judged from outside.

    python3 tests/test_schema.py SCHEMA_TEXT

SCHEMA_TEXT is the program of tests/schema_text.c. A reader of grammars of this test's own
(tests/gbnf.py) draws sentences, which must satisfy the schema; values that are made from the schema
must be sentences. What satisfies a schema is said by a small validator here and, where it is
installed, by the package jsonschema too.
"""
import copy
import datetime
import json
import os
import random
import re
import subprocess
import sys
import unittest
import uuid

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gbnf  # noqa: E402

try:
    import jsonschema
except ImportError:
    jsonschema = None

PROGRAM = sys.argv[1]


def read_all(texts):
    """(status, text) for each schema: a grammar or an error."""
    lines = "".join(text + "\n" for text in texts).encode()
    out = subprocess.run([PROGRAM], input=lines, stdout=subprocess.PIPE, check=True).stdout
    found, at = [], 0
    for _ in texts:
        end = out.index(b"\n", at)
        status, size = out[at:end].split()
        at = end + 1 + int(size)
        found.append((status.decode(), out[end + 1:at].decode()))
        at += 1
    if at != len(out):
        raise ValueError("more than was asked for")
    return found


def grammar_of(schema):
    status, text = read_all([schema if isinstance(schema, str) else json.dumps(schema)])[0]
    if status != "ok":
        raise ValueError(text)
    return gbnf.Grammar(text)


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


# ---- a validator ------------------------------------------------------------------------------

TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: is_number(v) and v == int(v),
    "number": lambda v: is_number(v),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same(a, b):
    if is_number(a) and is_number(b):
        return a == b
    return type(a) is type(b) and a == b


def is_format(name, text):
    try:
        if name == "uuid":
            return str(uuid.UUID(text)) == text.lower()
        if name == "date":
            return str(datetime.date.fromisoformat(text)) == text
        if name == "time":
            return bool(re.match(r"\d\d:\d\d:\d\d", text)) and bool(
                datetime.datetime.fromisoformat("2000-01-01T" + text).tzinfo)
        return text[10] == "T" and bool(datetime.datetime.fromisoformat(text).tzinfo)
    except ValueError:
        return False


def find_ref(root, ref):
    for token in ref[2:].split("/") if ref != "#" else []:
        root = root[int(token) if isinstance(root, list) else
                    token.replace("~1", "/").replace("~0", "~")]
    return root


def holds(s, v, root):
    """Does the value satisfy the schema?"""
    if isinstance(s, bool):
        return s
    types = s.get("type", list(TYPES))
    types = types if isinstance(types, list) else [types]
    return (any(TYPES[t](v) for t in types)
            and ("$ref" not in s or holds(find_ref(root, s["$ref"]), v, root))
            and ("const" not in s or same(s["const"], v))
            and ("enum" not in s or any(same(one, v) for one in s["enum"]))
            and all(holds(one, v, root) for one in s.get("allOf", []))
            and ("anyOf" not in s or any(holds(one, v, root) for one in s["anyOf"]))
            and ("oneOf" not in s or sum(holds(one, v, root) for one in s["oneOf"]) == 1)
            and (not isinstance(v, dict) or holds_object(s, v, root))
            and (not isinstance(v, list) or holds_list(s, v, root))
            and (not isinstance(v, str) or holds_string(s, v))
            and (not is_number(v) or holds_number(s, v)))


def holds_object(s, v, root):
    named = s.get("properties", {})
    return (all(name in v for name in s.get("required", []))
            and all(holds(named.get(name, s.get("additionalProperties", True)), inner, root)
                    for name, inner in v.items())
            and s.get("minProperties", 0) <= len(v) <= s.get("maxProperties", len(v)))


def holds_list(s, v, root):
    first = s.get("prefixItems", [])
    return (all(holds(one, inner, root) for one, inner in zip(first, v))
            and all(holds(s.get("items", True), inner, root) for inner in v[len(first):])
            and s.get("minItems", 0) <= len(v) <= s.get("maxItems", len(v)))


def holds_string(s, v):
    return (s.get("minLength", 0) <= len(v) <= s.get("maxLength", len(v))
            and ("pattern" not in s or bool(re.search(s["pattern"], v)))
            and ("format" not in s or is_format(s["format"], v)))


def holds_number(s, v):
    return (s.get("minimum", v) <= v <= s.get("maximum", v)
            and ("exclusiveMinimum" not in s or v > s["exclusiveMinimum"])
            and ("exclusiveMaximum" not in s or v < s["exclusiveMaximum"]))


# ---- schemas and their values, made at random -------------------------------------------------

NAMES = ["a", "b", "name", "x y", "quote\"", "back\\slash", "tab\t", "ü", "😀", "$ref", "", "a~b/c"]
TEXTS = ["", "a", "on", "é漢😀", "\"\\/\b\f\n\r\t", "{}", "0"]
# with strings that satisfy them
PATTERNS = {
    r"^[A-Z]{2}-\d{3,5}$": ["AB-123", "ZZ-00000"],
    r"^(on|off|dim:[0-9]+)$": ["on", "off", "dim:55"],
    r"a.c": ["abc", "xx a\"c yy", "a\\c"],
    r"^[^\"\\]*$": ["", "plain, ü"],
    r"^\\\w+\s?[\"'\n]$": ["\\abc \"", "\\_'", "\\a\t\n"],
    r"^x|y$": ["x...", "...y"],
    r"^(?:a|b(c|))+?d*$": ["a", "bcbaddd"],
    r"^[\]\-^a]{1,3}$": ["]-^", "a"],
    r"^\u00e9[\u4e00-\u9fff]?$": ["é", "é漢"],
    r"": ["", "anything"],
    r"^$": [""],
    r"^[\S]\D\W$": ["ab!", "x. "],
    r"^/[a-z]+(/[a-z0-9_]+){0,3}\.json$": ["/a.json", "/a/b_1/c.json"],
}


class Maker:
    """Schemas; and values for them, by other means than grammars."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def bounds(self, low, high, digits):
        s, r = {}, self.random
        a, b = sorted(round(r.uniform(low, high), r.randint(0, digits)) for _ in range(2))
        if digits == 0:
            a, b = int(a), int(b)
        elif a == b or r.random() < 0.2:
            b = round(a + 1, 3)
        if r.random() < 0.8:
            s[r.choice(["minimum", "minimum", "exclusiveMinimum"])] = a
        if r.random() < 0.8:
            s[r.choice(["maximum", "maximum", "exclusiveMaximum"])] = b
        if "exclusiveMinimum" in s and digits == 0:
            s["exclusiveMinimum"] = a - 2
        return s

    def schema(self, deep):
        kinds = [self.integer, self.number, self.string, self.constant, self.plain]
        if deep > 0:
            kinds += [self.object, self.object, self.array, self.pairs, self.any_of, self.one_of,
                      self.types, self.all_of]
        s = self.random.choice(kinds)(deep)
        if self.random.random() < 0.2:
            s["description"] = "what it is"
        return s

    def plain(self, _):
        return {"type": self.random.choice(["string", "integer", "number", "boolean", "null"])}

    def integer(self, _):
        wide = 10 ** self.random.randint(0, 9)
        return {"type": "integer", **self.bounds(-wide * self.random.randint(0, 1), wide, 0)}

    def number(self, _):
        wide = 10 ** self.random.randint(0, 4)
        return {"type": "number", **self.bounds(-wide * self.random.randint(0, 1), wide, 3)}

    def string(self, _):
        r = self.random
        kind = r.randrange(4)
        if kind == 0:
            return {"type": "string", "pattern": r.choice(list(PATTERNS))}
        if kind == 1:
            return {"type": "string", "format": r.choice(["date", "time", "date-time", "uuid"])}
        a, b = sorted(r.randint(0, 20) for _ in range(2))
        return {"type": "string", **r.choice([{"minLength": a}, {"maxLength": b},
                                              {"minLength": a, "maxLength": b}, {}])}

    def scalar(self):
        r = self.random
        return r.choice([None, True, False, r.randint(-99, 99), 1.5, 0.1, 3.0] + TEXTS)

    def constant(self, _):
        r = self.random
        if r.random() < 0.3:
            return {"const": r.choice([self.scalar(), [1, self.scalar()], {"k": self.scalar()}, []])}
        return {"enum": [self.scalar() for _ in range(r.randint(1, 5))]}

    def object(self, deep, names=None):
        r = self.random
        names = names if names is not None else r.sample(NAMES, r.randint(0, 6))
        s = {"type": "object", "properties": {name: self.schema(deep - 1) for name in names},
             "required": [name for name in names if r.random() < 0.5]}
        if r.random() < 0.3:
            s["additionalProperties"] = False
        if r.random() < 0.2:
            del s["type"]
        return s

    def pairs(self, deep):
        s = {"type": "object", "additionalProperties": self.schema(deep - 1)}
        if self.random.random() < 0.5:
            s["minProperties"] = self.random.randint(0, 1)
        if self.random.random() < 0.5:
            s["maxProperties"] = self.random.randint(1, 4)
        return s

    def array(self, deep):
        r = self.random
        s = {"type": "array"}
        if r.random() < 0.3:
            s["prefixItems"] = [self.schema(deep - 1) for _ in range(r.randint(1, 3))]
        if r.random() < 0.8 or "prefixItems" not in s:
            s["items"] = self.schema(deep - 1)
        a, b = sorted(r.randint(0, 5) for _ in range(2))
        if "items" not in s:
            a = min(a, len(s["prefixItems"]))
        s.update(r.choice([{}, {"minItems": a}, {"maxItems": b}, {"minItems": a, "maxItems": b}]))
        return s

    def any_of(self, deep):
        return {"anyOf": [self.schema(deep - 1) for _ in range(self.random.randint(1, 3))]}

    def one_of(self, deep):
        r = self.random
        if r.random() < 0.5:
            types = r.sample(["string", "integer", "boolean", "null"], r.randint(1, 4))
            return {"oneOf": [{"type": one} for one in types]}
        alternatives = []
        for kind in ("lamp", "fan", 3):
            s = self.object(deep, r.sample(NAMES, 2))
            s["type"] = "object"
            s["properties"]["kind"] = {"const": kind}
            s["required"].append("kind")
            alternatives.append(s)
        return {"oneOf": alternatives}

    def types(self, deep):
        s = {**self.string(deep), **self.array(deep), **self.integer(deep)}
        s["type"] = ["string", "array", "integer", "null"]
        return s

    def all_of(self, deep):
        r = self.random
        names = r.sample(NAMES, 4)
        parts = [self.object(deep, names[:2]), self.object(deep, names[2:])]
        for part in parts:
            part.pop("additionalProperties", None)
        if r.random() < 0.5:
            return {"allOf": parts}
        return {"allOf": parts[:1], **parts[1]}

    # ---- values ----

    def value(self, s, root, deep=6):
        if "$ref" in s:
            return self.value(find_ref(root, s["$ref"]), root, deep - 1)
        if "const" in s:
            return s["const"]
        if "enum" in s:
            return self.random.choice(s["enum"])
        for keyword in ("anyOf", "oneOf"):
            if keyword in s:
                return self.value(self.random.choice(s[keyword]), root, deep)
        if "allOf" in s:
            parts = [self.value(one, root, deep) for one in s["allOf"]]
            own = {name: one for name, one in s.items() if name != "allOf"}
            parts.append(self.value(own, root, deep) if "properties" in own else {})
            return {name: one for part in parts for name, one in part.items()}
        types = s.get("type", "object")
        kind = self.random.choice(types) if isinstance(types, list) else types
        return getattr(self, "value_" + kind)(s, root, deep)

    def value_null(self, *_):
        return None

    def value_boolean(self, *_):
        return self.random.random() < 0.5

    def value_integer(self, s, *_):
        low = s.get("minimum", s.get("exclusiveMinimum", -10**6) + 1)
        high = s.get("maximum", s.get("exclusiveMaximum", max(low, 10**6) + 2) - 1)
        low = min(low, high) if "minimum" not in s and "exclusiveMinimum" not in s else low
        return self.random.choice([low, high, self.random.randint(low, high)])

    def value_number(self, s, *_):
        low = s.get("minimum", s.get("exclusiveMinimum", s.get("maximum", s.get(
            "exclusiveMaximum", 0)) - 1000))
        high = s.get("maximum", s.get("exclusiveMaximum", low + 1000))
        for _ in range(50):
            digits = self.random.randint(0, 8)
            tried = [low, high, round(self.random.uniform(low, high), digits), int(high)]
            value = self.random.choice(tried) + 0  # no -0
            if holds_number(s, value) and "e" not in repr(value):
                return value
        return low + (high - low) / 2

    def value_string(self, s, *_):
        r = self.random
        if "pattern" in s:
            return r.choice(PATTERNS[s["pattern"]])
        moment = datetime.datetime(r.randint(1000, 9999), r.randint(1, 12), r.randint(1, 28),
                                   r.randint(0, 23), r.randint(0, 59), r.randint(0, 59),
                                   r.choice([0, 120000]), r.choice([datetime.timezone.utc, datetime.
                                            timezone(datetime.timedelta(hours=-3, minutes=-30))]))
        if "format" in s:
            return {"uuid": str(uuid.UUID(int=r.getrandbits(128))), "date": str(moment.date()),
                    "time": moment.isoformat()[11:], "date-time": moment.isoformat()}[s["format"]]
        least = s.get("minLength", 0)
        return "".join(r.choice(" aé漢😀\"\\/\n\t~") for _ in
                       range(r.randint(least, s.get("maxLength", least + 9))))

    def value_array(self, s, root, deep):
        first = s.get("prefixItems", [])
        least = s.get("minItems", 0)
        most = s.get("maxItems", least + 3)
        if first and "items" not in s:
            most = min(most, len(first))
        n = least if deep <= 0 else self.random.randint(least, most)
        return [self.value(first[i] if i < len(first) else s.get("items", {"type": "null"}), root,
                           deep - 1) for i in range(n)]

    def value_object(self, s, root, deep):
        if "properties" not in s:
            n = self.random.randint(s.get("minProperties", 0), s.get("maxProperties", 3))
            inner = s.get("additionalProperties", {"type": "null"})
            return {name: self.value(inner, root, deep - 1) for name in self.random.sample(NAMES, n)}
        required = s.get("required", [])
        return {name: self.value(one, root, deep - 1) for name, one in s["properties"].items()
                if name in required or (deep > 0 and self.random.random() < 0.5)}


# ---- the tests --------------------------------------------------------------------------------

class Random(unittest.TestCase):
    """Schemas at random, always the same ones."""

    @classmethod
    def setUpClass(cls):
        made = [Maker(seed).schema(seed % 4) for seed in range(400)]
        done = read_all([json.dumps(schema) for schema in made])
        cls.refused = [(s, text) for s, (status, text) in zip(made, done) if status != "ok"]
        cls.pairs = [(s, gbnf.Grammar(text)) for s, (status, text) in zip(made, done)
                     if status == "ok"]

    def test_few_are_refused(self):
        for schema, text in self.refused:
            self.assertRegex(text, r"no number of at most 15 digits|no value in it is allowed"
                             "|of pattern, format and lengths only one", schema)
        self.assertLess(len(self.refused), 40)

    def test_sentences_satisfy_the_schema(self):
        for i, (schema, grammar) in enumerate(self.pairs):
            r = random.Random(i)
            for _ in range(10):
                text = grammar.draw(r)
                self.assertTrue(holds(schema, json.loads(text), schema), (schema, text))
                self.assertNotRegex(text, r'[,:]  |[{\[] |[\x00-\x1f]')

    @unittest.skipUnless(jsonschema, "needs the package jsonschema")
    def test_jsonschema_says_the_same(self):
        checker = getattr(jsonschema.Draft202012Validator, "FORMAT_CHECKER", None)
        for i, (schema, grammar) in enumerate(self.pairs):
            r = random.Random(i)
            jsonschema.Draft202012Validator.check_schema(schema)
            judge = jsonschema.Draft202012Validator(schema, format_checker=checker)
            for _ in range(10):
                judge.validate(json.loads(grammar.draw(r)))

    def test_values_are_sentences(self):
        for i, (schema, grammar) in enumerate(self.pairs):
            maker = Maker(i + 1000)
            for _ in range(5):
                value = maker.value(schema, schema)
                self.assertTrue(holds(schema, value, schema), (schema, value))
                self.assertTrue(grammar.matches(dumps(value)), (schema, dumps(value)))

    def test_what_is_invalid_is_no_sentence(self):
        """Values of other schemas, and a schema's own with a character more, less or changed."""
        refused = 0
        for i, (schema, grammar) in enumerate(self.pairs):
            other = self.pairs[i - 1][0]
            texts = [dumps(Maker(i).value(other, other))]
            texts += [self.disturbed(dumps(Maker(i).value(schema, schema)), random.Random(i))]
            for text in texts:
                if len(text) > 300 or not grammar.matches(text):
                    refused += 1
                    continue
                self.assertTrue(holds(schema, json.loads(text), schema), (schema, text))
        self.assertGreater(refused, 400)

    @staticmethod
    def disturbed(text, r):
        at = r.randrange(len(text))
        return text[:at] + r.choice(["", "\"", "0", "\\", ",", text[at] * 2]) + text[at + 1:]


SMART_HOME = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Command",
    "type": "object",
    "properties": {
        "device": {"type": "string", "enum": ["lamp", "blinds", "thermostat"]},
        "room": {"type": "string", "pattern": "^[a-z]+( [a-z]+)*$"},
        "action": {"oneOf": [
            {"type": "object", "properties": {"set": {"const": "level"}, "to": {
                "type": "integer", "minimum": 0, "maximum": 100}}, "required": ["set", "to"]},
            {"type": "object", "properties": {"set": {"const": "temperature"}, "to": {
                "type": "number", "minimum": 5, "maximum": 30.5}}, "required": ["set", "to"]}]},
        "at": {"type": ["string", "null"], "format": "date-time"},
    },
    "required": ["device", "action"],
    "additionalProperties": False,
}
TOOL_CALL = {
    "anyOf": [
        {"type": "object", "properties": {
            "name": {"const": "get_weather"},
            "arguments": {"type": "object", "properties": {
                "city": {"type": "string", "minLength": 1, "maxLength": 40},
                "unit": {"enum": ["C", "F"], "default": "C"}}, "required": ["city"]}},
         "required": ["name", "arguments"]},
        {"type": "object", "properties": {
            "name": {"const": "list_files"},
            "arguments": {"type": "object", "properties": {}}}, "required": ["name", "arguments"]}],
}
EXTRACTION = {
    "$defs": {"Person": {"type": "object", "properties": {
        "name": {"type": "string"}, "born": {"anyOf": [{"type": "string", "format": "date"},
                                                       {"type": "null"}], "default": None},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Person"}}},
        "required": ["name", "children"]}},
    "type": "object",
    "properties": {"people": {"type": "array", "items": {"$ref": "#/$defs/Person"}, "maxItems": 3},
                   "confidence": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["people", "confidence"],
}

# schema: sentences, and what is none
SENTENCES = [
    (SMART_HOME,
     ['{"device": "lamp", "action": {"set": "level", "to": 100}}',
      '{"device": "blinds", "room": "living room", "action": {"set": "level", "to": 7}, "at": null}',
      '{"device": "lamp", "action": {"set": "temperature", "to": 30.5}, '
      '"at": "2024-02-29T23:59:59Z"}'],
     ['{"device": "lamp"}', '{"device": "lamp", "action": {"set": "level", "to": 101}}',
      '{"device": "lamp", "action": {"set": "level", "to": 1.5}}',
      '{"device": "lamp", "action": {"set": "temperature", "to": 30.51}}',
      '{"device":"lamp","action":{"set":"level","to":100}}',
      '{"action": {"set": "level", "to": 100}, "device": "lamp"}',
      '{"device": "lamp", "action": {"set": "level", "to": 1}, "at": "2023-02-29T23:59:59Z"}']),
    (TOOL_CALL,
     ['{"name": "get_weather", "arguments": {"city": "Zürich"}}',
      '{"name": "get_weather", "arguments": {"city": "a\\n", "unit": "F"}}',
      '{"name": "list_files", "arguments": {}}'],
     ['{"name": "get_weather", "arguments": {}}', '{"name": "rm", "arguments": {}}',
      '{"name": "get_weather", "arguments": {"city": ""}}',
      '{"name": "get_weather", "arguments": {"city": "\\ud800"}}',
      '{"name": "list_files", "arguments": {"city": "x"}}']),
    (EXTRACTION,
     ['{"people": [], "confidence": 0}',
      '{"people": [{"name": "A", "born": "1815-12-10", "children": [{"name": "B", "children": []}]}'
      '], "confidence": 0.97}'],
     ['{"people": [], "confidence": 1.01}', '{"people": []}',
      '{"people": [{"name": "A", "born": "1815-11-31", "children": []}], "confidence": 1}']),
    ({"type": "object"}, ["{}", '{"a": [1, {"b": null}], "": "x"}', '{"a": {"b": {"c": true}}}'],
     ["[]", "1", '{"a" : 1}', "{'a': 1}", '{"a": 01}', '{"a": .5}', '{"a": 1,}']),
    (True, ["1", "-0.5e+10", '"x"', "null", "[[[[[[1]]]]]]"], ["[[[[[[[1]]]]]]]", "", "nul", "1 "]),
    ({"type": "string"}, ['""', '"\\"\\\\\\n"', '"a/é😀"'], ['"\n"', '"\\u00e9"', '"\\x"', '"', '"\x7f"']),
    ({"enum": [1e21, 1e-7, 0.30000000000000004, -0.0, 1.0, 12345678901234567]},
     ["1e21", "1e-7", "0.30000000000000004", "-0.0", "1.0", "12345678901234567"], ["1", "1e+21"]),
    ({"type": "integer"}, ["0", "-1", "999999999999999"], ["-0", "01", "1.0", "1e3", "1000000000000000"]),
    ({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}, "c": {
        "type": "null"}}, "required": ["b"]},
     ['{"b": null}', '{"a": null, "b": null}', '{"b": null, "c": null}'],
     ["{}", '{"a": null}', '{"b": null, "a": null}', '{"a": null, "c": null}']),
    ({"type": "string", "format": "date"}, ['"2000-02-29"', '"1999-12-31"', '"2024-02-29"'],
     ['"1900-02-29"', '"2023-02-29"', '"2024-02-30"', '"2024-04-31"', '"2024-13-01"', '"2024-00-10"',
      '"2024-01-00"', '"0999-01-01"']),
    ({"type": "string", "format": "time"}, ['"23:59:59Z"', '"00:00:00.5+05:30"'],
     ['"24:00:00Z"', '"12:60:00Z"', '"12:00:60Z"', '"12:00:00"']),
]

# schema: the whole grammar
GRAMMARS = [
    ({"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"const": "x\"y"}},
      "required": ["a"]},
     'root ::= "{" "\\"a\\": " boolean (", \\"b\\": " r1)? "}"\n'
     'r1 ::= "\\"x\\\\\\"y\\""\n'
     'boolean ::= "true" | "false"\n'),
    ({"properties": {"a": {"type": "null"}, "b": {"$ref": "#"}}},
     'root ::= "{" ("\\"a\\": " null r0-1 | "\\"b\\": " root)? "}"\n'
     'r0-1 ::= (", \\"b\\": " root)?\n'
     'null ::= "null"\n'),
    ({"type": "array", "items": {"type": "integer", "minimum": -3, "maximum": 250}, "minItems": 2},
     'root ::= "[" r1 (", " r1)+ "]"\n'
     'r1 ::= "-" ([1-3]) | "0" | [1-9] [0-9]? | ("1" [0-9]{2} | "2" ([0-4] [0-9] | "5" "0"))\n'),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 2.5},
     'root ::= "0." "0"{0,13} [1-9] [0-9]{0,13} | "1" ("." [0-9]{1,14})? | "2" | '
     '"2." ([0-4] [0-9]{0,13} | "5" "0"{0,13})\n'),
    ({"type": "string", "pattern": "^[a-c\"]+x?$"},
     'root ::= "\\"" (([a-c] | "\\\\" [\\x22])+ "x"?) "\\""\n'),
    ({"anyOf": [{"type": "string", "maxLength": 2}, {"enum": [1, None, 0.1]}]},
     'root ::= r1 | r2\n'
     'r1 ::= "\\"" char{0,2} "\\""\n'
     'r2 ::= "1" | "null" | "0.1"\n'
     'char ::= [^"\\\\\\x00-\\x1F\\x7F] | "\\\\" ["\\\\bfnrt]\n'),
]

DEEP = '{"items": ' * 70 + "true" + "}" * 70

# schema, or its text: status, place, and words of the message
REFUSED = [
    ("", "format", "line 1", "end of file"),
    ("{", "format", "line 1", "end of file"),
    ('{"a": 1, "a": 2}', "format", "line 1", "duplicate"),
    ("1", "format", "#:", "a schema is an object"),
    ("false", "format", "#:", "no value"),
    (DEEP, "unsupported", "#:", "deeper than 64"),
    ('{"description": "%s"}' % ("x" * 65536), "unsupported", "", "longer than 65536"),
    ({"properties": {"a": {"type": "string", "contentEncoding": "base64"}}}, "unsupported",
     "#/properties/a/contentEncoding:", "not supported"),
    ({"properties": {"a/b~": {"not": {}}}}, "unsupported", "#/properties/a~1b~0/not:", "not supported"),
    ({"multipleOf": 2, "type": "integer"}, "unsupported", "#/multipleOf:", "not supported"),
    ({"type": "array", "uniqueItems": True}, "unsupported", "#/uniqueItems:", "cannot compare"),
    ({"patternProperties": {}}, "unsupported", "#/patternProperties:", ""),
    ({"if": {}}, "unsupported", "#/if:", ""),
    ({"items": {"$id": "x"}}, "unsupported", "#/items/$id:", "root only"),
    ({"type": "text"}, "format", "#/type:", "no type"),
    ({"type": []}, "format", "#/type:", "no type"),
    ({"type": "string", "minimum": 1}, "unsupported", "#:", "does nothing"),
    ({"minLength": 1, "minItems": 1}, "unsupported", "#:", "several types"),
    ({"type": "string", "minLength": -1}, "format", "#/minLength:", "at least 0"),
    ({"type": "string", "minLength": 1.5}, "format", "#/minLength:", "at least 0"),
    ({"type": "string", "maxLength": 70000}, "unsupported", "#/maxLength:", "65535"),
    ({"type": "string", "maxLength": 1, "minLength": 2}, "format", "#/maxLength:", "less than"),
    ({"type": "string", "format": "email"}, "unsupported", "#/format:", "date-time"),
    ({"type": "string", "format": "date", "pattern": "a"}, "unsupported", "#/pattern:", "only one"),
    ({"type": "string", "pattern": 1}, "format", "#/pattern:", "string"),
    ({"enum": []}, "format", "#/enum:", "no value"),
    ({"enum": 1}, "format", "#/enum:", "no value"),
    ({"enum": ["a"], "type": "integer"}, "format", "#/enum:", "no value"),
    ({"enum": ["a"], "minLength": 1}, "unsupported", "#/enum:", "beside"),
    ({"enum": ["a"], "const": "a"}, "unsupported", "#/const:", "beside"),
    ({"anyOf": [{}], "type": "string"}, "unsupported", "#/anyOf:", "beside"),
    ({"anyOf": [{}], "oneOf": [{}]}, "unsupported", "#/anyOf:", "beside"),
    ({"anyOf": []}, "format", "#/anyOf:", "list"),
    ({"anyOf": [1]}, "format", "#/anyOf/0:", "an object"),
    ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "format", "#:", "leads to itself"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "unsupported", "#/oneOf:", "0 and 1"),
    ({"oneOf": [{"type": "object"}, {"type": "object"}]}, "unsupported", "#/oneOf:", "may both"),
    ({"oneOf": [{"enum": [1, 2]}, {"enum": [3, 2.0]}]}, "unsupported", "#/oneOf:", "may both"),
    ({"oneOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"a": {"const": 2}}}]},
     "unsupported", "#/oneOf:", "may both"),
    ({"oneOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]},
                {"properties": {"a": {"const": 2}}, "required": ["a"]}]},
     "unsupported", "#/oneOf:", "may both"),
    ({"$ref": "#"}, "format", "#:", "itself"),
    ({"$ref": "#/$defs/a"}, "format", "#/$ref:", "there is no"),
    ({"$ref": 1}, "format", "#/$ref:", "string"),
    ({"$ref": "other.json"}, "unsupported", "#/$ref:", "same schema"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}, "type": "null"}, "unsupported", "#/$ref:",
     "beside"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"foo": 1}}}, "unsupported", "#/$defs/a/foo:", ""),
    ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "format", "#:", "without an end"),
    ({"items": {"$ref": "#"}, "minItems": 1}, "format", "#:", "without an end"),
    ({"properties": {"o": {"type": "null"}, "a": {"$ref": "#"}, "b": {"$ref": "#"}},
      "required": ["b"]}, "format", "#:", "without an end"),
    ({"additionalProperties": {"$ref": "#"}, "minProperties": 1}, "format", "#:", "without an end"),
    ({"properties": 1}, "format", "#/properties:", "object"),
    ({"required": ["a"]}, "unsupported", "#/required:", "'a' is not among"),
    ({"properties": {}, "required": 1}, "format", "#/required:", "list"),
    ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, "unsupported",
     "#/additionalProperties:", "say false"),
    ({"properties": {"a": {}}, "minProperties": 1}, "unsupported", "#/minProperties:", "named"),
    ({"additionalProperties": True, "minProperties": 2}, "unsupported", "#/minProperties:", "at most 1"),
    ({"type": "object", "minProperties": 1, "maxProperties": 0}, "format", "#/maxProperties:", "less"),
    ({"allOf": []}, "format", "#/allOf:", "list"),
    ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "unsupported", "#/allOf/0:", "than objects"),
    ({"allOf": [{"properties": {"a": {}}}, {"properties": {"a": {}}}]}, "unsupported",
     "#/allOf/1/properties:", "two parts"),
    ({"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"properties": {}}]},
     "unsupported", "#/allOf/0/additionalProperties:", "forbids"),
    ({"items": [{}]}, "unsupported", "#/items:", "prefixItems"),
    ({"prefixItems": []}, "format", "#/prefixItems:", "list"),
    ({"prefixItems": [{}] * 33}, "unsupported", "#/prefixItems:", "32"),
    ({"minItems": 3, "maxItems": 2}, "format", "#/minItems:", "more than"),
    ({"minItems": 3, "prefixItems": [{}]}, "format", "#/minItems:", "more than"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "format", "#:", "no number"),
    ({"type": "integer", "minimum": 1.2, "maximum": 1.9}, "format", "#:", "no number"),
    ({"type": "integer", "minimum": 1e15}, "format", "#:", "no number"),
    ({"type": "integer", "minimum": "1"}, "format", "#/minimum:", "number"),
    ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, "format", "#/exclusiveMinimum:",
     "number"),
    ({"type": "number", "minimum": 1, "exclusiveMaximum": 1}, "format", "#:", "no number"),
    ({"type": "number", "minimum": 1e-9}, "unsupported", "#/minimum:", "exponent"),
    ({"type": "number", "exclusiveMinimum": 1.01234567890123}, "unsupported", "#:", "14 digits"),
    ({"properties": {"p%d" % i: {} for i in range(257)}}, "unsupported", "#/properties:", "256"),
    ({"anyOf": [{"enum": ["x" * 300] * 100}] * 40}, "unsupported", "", "longer than 65536"),
]

# pattern: words of the message
BAD_PATTERNS = {
    "(": "without its )", "a)": "without its (", "[a": "without its ]", "[]": "empty class",
    "[^]": "empty class", "[z-a]": "less to more", "[a-\\d]": "less to more", "*": "backslash",
    "a**": "repetition of a repetition", "a{2,1}": "less to more", "a{": "counts", "a{1": "without its }",
    "a{x}": "counts", "(a*)*": "may be empty", "(a|)+": "may be empty", "(?=a)": "only (?: )",
    "(?<n>a)": "only (?: )", "(a)\\1": "escape", "\\bword": "escape", "\\p{L}": "escape", "a\\": "end",
    "\\x4": "hexadecimal", "\\ud83d": "half", "a^": "^ only", "(a$)": "$ only", "$a": "$ only",
    "(a{300}){300}": "too long", "a{65536}": "too long", "[\\x01]": "no string", "}": "backslash",
    "(" * 40 + ")" * 40: "too deep", "]": "backslash",
}


class Fixed(unittest.TestCase):
    def test_sentences(self):
        for schema, yes, no in SENTENCES:
            grammar = grammar_of(schema)
            for text in yes:
                self.assertTrue(grammar.matches(text), (schema, text))
                self.assertTrue(holds(schema, json.loads(text), schema), (schema, text))
            for text in no:
                self.assertFalse(grammar.matches(text), (schema, text))

    def test_grammars(self):
        for schema, expected in GRAMMARS:
            self.assertEqual(read_all([json.dumps(schema)]), [("ok", expected)])

    def test_what_is_refused(self):
        texts = [s if isinstance(s, str) else json.dumps(s) for s, *_ in REFUSED]
        for (schema, *expected), (status, message) in zip(REFUSED, read_all(texts)):
            self.assertEqual(status, expected[0], (schema, message))
            for part in ["schema: ", *expected[1:]]:
                self.assertIn(part, message, schema)

    def test_bad_patterns(self):
        texts = [json.dumps({"pattern": pattern}) for pattern in BAD_PATTERNS]
        for (pattern, words), (status, message) in zip(BAD_PATTERNS.items(), read_all(texts)):
            self.assertEqual(status, "unsupported", (pattern, message))
            self.assertIn("schema: #/pattern: ", message)
            self.assertIn(words, message, pattern)

    def test_integers_in_all_ranges(self):
        """Every range between some places where the digits change; every number around them."""
        ends = [-1001, -100, -99, -12, -10, -9, -1, 0, 1, 7, 9, 10, 11, 99, 100, 101, 989, 1000, 1099]
        pairs = [(a, b) for a in ends for b in ends if a <= b]
        done = read_all([json.dumps({"type": "integer", "minimum": a, "maximum": b})
                         for a, b in pairs])
        tried = sorted({end + step for end in ends for step in (-2, -1, 0, 1, 2, 35)})
        for (a, b), (_, text) in zip(pairs, done):
            grammar = gbnf.Grammar(text)
            for number in tried:
                self.assertEqual(grammar.matches(str(number)), a <= number <= b, (a, b, number))

    def test_numbers_in_all_ranges(self):
        ends = [-10, -2.5, -1, -0.25, 0, 0.05, 0.5, 0.55, 1, 1.5, 9.99, 10, 36.6]
        asked = [({low: a, high: b}, a, b) for a in ends for b in ends if a < b
                 for low in ("minimum", "exclusiveMinimum") for high in ("maximum", "exclusiveMaximum")]
        done = read_all([json.dumps({"type": "number", **s}) for s, _, _ in asked])
        tried = sorted({round(end + step, 4) for end in ends for step in
                        (0, 0.001, -0.001, 0.01, -0.01, 0.3, -0.7, 3)})
        for (s, _, _), (_, text) in zip(asked, done):
            grammar = gbnf.Grammar(text)
            for number in tried:
                number = 0 if number == 0 else number
                wanted = holds_number(s, number)
                self.assertEqual(grammar.matches(repr(number)), wanted, (s, number, text))
                whole = int(number)
                if whole == number:
                    self.assertEqual(grammar.matches(str(whole)), wanted, (s, number, text))

    def test_long_objects_have_short_grammars(self):
        sizes = []
        for n in (60, 120, 240):
            schema = {"properties": {"property%03d" % i: {"type": "null"} for i in range(n)}}
            status, text = read_all([json.dumps(schema)])[0]
            self.assertEqual(status, "ok")
            sizes.append(len(text))
        self.assertLess(sizes[2] - sizes[1], 2.2 * (sizes[1] - sizes[0]))

    def test_annotations_change_nothing(self):
        plain = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
        noted = copy.deepcopy(plain)
        noted.update({"$schema": "s", "$id": "i", "$comment": "c", "examples": [1], "default": {}})
        noted["properties"]["a"].update({"title": "t", "description": "d", "deprecated": True,
                                         "readOnly": True, "writeOnly": False})
        self.assertEqual(*read_all([json.dumps(plain), json.dumps(noted)]))


class Reader(unittest.TestCase):
    """The judge is judged."""

    def test_membership(self):
        grammar = gbnf.Grammar('root ::= "a" (b | "c")* [^x-z]{2,3}\nb ::= "\\x62" | ""')
        for text, wanted in (("abcqq", True), ("aqqq", True), ("aq", False), ("abxq", False),
                             ("abbccqqqq", False), ("", False)):
            self.assertEqual(grammar.matches(text), wanted, text)

    def test_what_is_wrong(self):
        for text in ('root ::= a', 'root ::= "a', 'root ::= ("a"', 'root ::= root "a"',
                     'root ::= "a"\nb ::= "c"', 'root ::= "a" )', 'root ::= [b-a]'):
            with self.assertRaises((ValueError, KeyError), msg=text):
                gbnf.Grammar(text)

    def test_validator(self):
        for schema, right, wrong in (({"type": "integer"}, 1.0, True), ({"const": 1}, 1.0, True),
                                     ({"oneOf": [{"type": "number"}, {"minimum": 3}]}, 1, 4),
                                     ({"format": "date"}, "2024-02-29", "2023-02-29"),
                                     ({"required": ["a"]}, {"a": 1}, {"b": 1}),
                                     ({"additionalProperties": False}, {}, {"a": 1})):
            self.assertTrue(holds(schema, right, schema), schema)
            self.assertFalse(holds(schema, wrong, schema), schema)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
