#!/usr/bin/env python3
"""What becomes of the tools of a request: the grammar of its answer, by tests/gbnf.py, and its messages.

    python3 tests/test_tool_text.py TOOL_TEXT

Standard library only.
"""
import json
import os
import random
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gbnf  # noqa: E402

TOOL_TEXT = os.path.abspath(sys.argv[1])
LAMP = {"type": "function", "function": {
    "name": "switch_lamp", "description": "Switches a lamp.", "parameters": {
        "type": "object", "required": ["room", "on"],
        "properties": {"room": {"enum": ["kitchen", "hall"]}, "on": {"type": "boolean"},
                       "level": {"type": "integer", "minimum": 0, "maximum": 100}}}}}
TIME = {"type": "function", "function": {"name": "get_time"}}
TREE = {"type": "function", "function": {"name": "tree", "parameters": {
    "type": "object", "properties": {"root": {"$ref": "#/$defs/node"}}, "required": ["root"],
    "$defs": {"node": {"type": "object", "required": ["n"], "properties": {
        "n": {"type": "integer"}, "in": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}}}}
SAY = {"type": "function", "function": {"name": "say", "parameters": {
    "type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}}
TOOLS = [LAMP, TIME, TREE, SAY]
USER = [{"role": "user", "content": "Light!"}]
FORMS = {"chatml": ("<tool_call>\n", "arguments", "\n</tool_call>"), "llama3": ("", "parameters", "")}
RIGHT = [("switch_lamp", {"room": "hall", "on": True}), ("get_time", {}),
         ("switch_lamp", {"room": "kitchen", "on": False, "level": 100}),
         ("tree", {"root": {"n": 1, "in": [{"n": 2}, {"n": 3, "in": []}]}}),
         ("say", {"text": "a \"quoted\" <tool_call> } in {\n"})]
WRONG = [("switch_lamp", {"room": "attic", "on": True}), ("switch_lamp", {"room": "hall"}),
         ("switch_lamp", {"room": "hall", "on": True, "level": 101}), ("get_time", {"a": 1}),
         ("tree", {"root": {"in": []}}), ("get_tim", {}), ("", {}), ("say", {}), ("say", {"text": 1})]


def ask(form, what, body, *more):
    done = subprocess.run([TOOL_TEXT, form, what, *more], input=json.dumps(body).encode(),
                          capture_output=True, timeout=60)
    assert done.returncode in (0, 1) and not done.stderr, done
    return done.returncode, done.stdout.decode()


def call(form, name, arguments):
    before, field, behind = FORMS[form]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f'{before}{{"name": "{name}", "{field}": {text}}}{behind}'


class Grammars(unittest.TestCase):
    def grammar(self, form, **more):
        code, text = ask(form, "grammar", {"messages": USER, "tools": TOOLS, **more})
        self.assertEqual(code, 0, text)
        return gbnf.Grammar(text)

    def test_calls(self):
        for form in FORMS:
            for choice in ("auto", "required"):
                grammar = self.grammar(form, tool_choice=choice)
                for one in RIGHT:
                    self.assertTrue(grammar.matches(call(form, *one)), (form, one))
                for one in WRONG:
                    self.assertEqual(grammar.matches(call(form, *one)), False, (form, one))
                whole = call(form, *RIGHT[0])
                for end in range(1, len(whole)):  # a call that has begun is closed
                    is_text = choice == "auto" and end < len(
                        "<tool_call>" if form == "chatml" else '{"name": "')
                    self.assertEqual(grammar.matches(whole[:end]), is_text, whole[:end])
                self.assertFalse(grammar.matches(whole + " more"))

    def test_what_takes_nothing(self):
        """{} is the arguments of a tool that says nothing of them, where {} is right."""
        def grammar(**schema):
            tool = {"type": "function", "function": {"name": "f",
                                                     "parameters": {"type": "object", **schema}}}
            return self.grammar("chatml", tools=[tool], tool_choice="required")
        empty, one = call("chatml", "f", {}), call("chatml", "f", {"a": 1})
        for schema in ({}, {"properties": {}}, {"additionalProperties": False}, {"required": []},
                       {"minProperties": 0}, {"const": {}}, {"title": "x", "$defs": {}}):
            self.assertTrue(grammar(**schema).matches(empty), schema)
            self.assertFalse(grammar(**schema).matches(one), schema)
        for schema in ({"minProperties": 1}, {"const": {"a": 1}}):
            self.assertFalse(grammar(**schema).matches(empty), schema)
            self.assertTrue(grammar(**schema).matches(one), schema)

    def test_text(self):
        """Any, that is no call."""
        pieces = ["<", "<tool", "_call>", "tool_call>", "<tool_call", ">", "a", "\n", "<<", "</tool_call>",
                  '{"name": "', '{"name"', ": ", "{", "}", '"', "é😀", ""]
        draw = random.Random(1)
        auto = {form: self.grammar(form) for form in FORMS}
        required = {form: self.grammar(form, tool_choice="required") for form in FORMS}
        kinds = set()
        for _ in range(500):
            text = "".join(draw.choices(pieces, k=draw.randrange(6)))
            is_text = {"chatml": "<tool_call>" not in text, "llama3": not text.startswith('{"name": "')}
            for form in FORMS:
                kinds.add((form, is_text[form]))
                self.assertEqual(auto[form].matches(text), is_text[form], (form, text))
                self.assertFalse(required[form].matches(text))
                behind = text + call(form, *RIGHT[0])
                self.assertEqual(auto[form].matches(behind),
                                 is_text[form] if form == "chatml" else text == "" or
                                 not behind.startswith('{"name": "'), (form, behind))
        self.assertEqual(len(kinds), 4)

    def test_choice_and_number(self):
        one = {"type": "function", "function": {"name": "get_time"}}
        for form in FORMS:
            grammar = self.grammar(form, tool_choice=one)
            self.assertTrue(grammar.matches(call(form, "get_time", {})))
            self.assertFalse(grammar.matches(call(form, *RIGHT[0])))
            for many in (True, False):
                grammar = self.grammar(form, tool_choice="required", parallel_tool_calls=many)
                several = [call(form, *RIGHT[i % len(RIGHT)]) for i in range(17)]
                for n in (1, 2, 16, 17):
                    most = 16 if many and form == "chatml" else 1
                    between = "\n" if form == "chatml" else ""
                    self.assertEqual(grammar.matches(between.join(several[:n])), n <= most, (form, n))

    def test_drawn(self):
        """Whatever the grammar allows can be read back."""
        draw = random.Random(2)
        for form in FORMS:
            before, field, behind = FORMS[form]
            grammar = self.grammar(form, tool_choice="required", parallel_tool_calls=False)
            for _ in range(200):
                text = grammar.draw(draw)
                self.assertTrue(text.startswith(before) and text.endswith(behind))
                value = json.loads(text[len(before):len(text) - len(behind)])
                self.assertEqual(list(value), ["name", field])
                self.assertIn(value["name"], [tool["function"]["name"] for tool in TOOLS])
                self.assertIsInstance(value[field], dict)

    def test_format(self):
        """Text beside calls may keep to a schema, where it can be told from them."""
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
        for more in ({"json_schema": schema}, {"response_format": {"type": "json_object"}}):
            grammar = self.grammar("chatml", **more)
            self.assertTrue(grammar.matches('{"a": 5}'))
            self.assertTrue(grammar.matches(call("chatml", "get_time", {})))
            self.assertFalse(grammar.matches("text") or grammar.matches(""))
            self.assertEqual(grammar.matches('{"b": 5}'), "response_format" in more)
            code, text = ask("llama3", "grammar", {"messages": USER, "tools": TOOLS, **more})
            self.assertEqual((code, text.partition(":")[0]), (1, list(more)[0]))
            grammar = self.grammar("llama3", tool_choice="required", **more)
            self.assertFalse(grammar.matches('{"a": 5}'))


class Refused(unittest.TestCase):
    def check(self, param, words, body, *more, form="chatml"):
        code, text = ask(form, "grammar" if "tools" in body else "layout",
                         {"messages": USER, "model": "m", **body}, *more)
        self.assertEqual((code, text.partition(": ")[0]), (1, param), text)
        self.assertIn(words, text)

    def test_tools(self):
        def tool(**function):
            return {"tools": [TIME, {"type": "function", "function": {"name": "f", **function}}]}

        def schema(name, **more):
            properties = {"a": {"type": "object", "properties": {"b": {"type": "string", **more}}}}
            return tool(name=name, parameters={"type": "object", "properties": properties})
        at = "tools[1].function"
        for more in ((), ("ollama",)):
            self.check("tools", "a list", {"tools": {"a": 1}}, *more)
            self.check("tools", "at most 128", {"tools": [TIME] * 129}, *more)
            self.check("tools[0].function", "must be", {"tools": ["x"]}, *more)
            self.check("tools[0].function", "must be",
                       {"tools": [{"type": "retrieval", "function": {"name": "f"}}]}, *more)
            for name in ("", "two words", "x" * 65, "é", 5, None):
                self.check(at + ".name", "1 to 64", tool(name=name), *more)
            self.check(at + ".name", "another", {"tools": [TIME, TIME]}, *more)
            self.check(at + ".description", "string", tool(description=5), *more)
            for parameters in ("x", [], {"type": "string"}, {"type": ["object"]}, {"enum": [1]}):
                self.check(at + ".parameters", "schema of an object", tool(parameters=parameters), *more)
            self.check(at + ".parameters.properties.a.properties.b.pattern", "pattern",
                       schema("g", pattern="(?=x)"), *more)
            self.check(at + ".parameters.properties.a.properties.b.multipleOf", "not supported",
                       schema("g", multipleOf=3), *more)
            self.check(at + ".parameters.properties.a.$ref", "there is no",
                       tool(parameters={"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}}))
            self.check(at + ".parameters.$defs.x.not", "not supported",
                       tool(parameters={"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}},
                                        "$defs": {"x": {"not": {}}}}))
            for word, value in (("not", {}), ("if", {"required": ["a"]}), ("required", ["a"]), ("const", 5),
                                ("enum", [5]), ("enum", []), ("$ref", ""), ("anyOf", [])):
                self.check(f"{at}.parameters.{word}", "",
                           tool(parameters={"type": "object", word: value}), *more)

    def test_choice(self):
        for wrong in ("any", 5, [], {"type": "function"}, {"type": "tool", "function": {"name": "f"}}):
            self.check("tool_choice", "none, auto, required", {"tools": TOOLS, "tool_choice": wrong})
        self.check("tool_choice", "no tool has that name", {"tools": TOOLS, "tool_choice": {
            "type": "function", "function": {"name": "f"}}})
        self.check("tool_choice", "no 'tools'", {"tool_choice": "required"})
        self.check("parallel_tool_calls", "true or false", {"tools": TOOLS, "parallel_tool_calls": 1})
        self.check("tools", "one thing", {"tools": TOOLS, "grammar": 'root ::= "x"'})
        self.check("ignore_eos", "'tools'", {"tools": TOOLS, "ignore_eos": True})

    def test_messages(self):
        def message(**calls):
            return {"messages": [*USER, {"role": "assistant", **calls}]}

        def arguments(value):
            return message(tool_calls=[{"function": {"name": "f", "arguments": value}}])
        at = "messages[1].tool_calls"
        for more in ((), ("ollama",)):
            self.check(at, "list of at most", message(tool_calls={"a": 1}), *more)
            self.check(at, "list of at most", message(tool_calls=[{}] * 17), *more)
            self.check(at, "of the assistant",
                       {"messages": [*USER, {"role": "user", "tool_calls": [{}]}]}, *more)
            self.check(at + "[0].function", "must be", message(tool_calls=[{}]), *more)
            self.check(at + "[0].function.name", "name",
                       message(tool_calls=[{"function": {"name": "a b"}}]), *more)
            for wrong in (5, [], True):
                self.check(at + "[0].function.arguments", "an object", arguments(wrong), *more)
            for wrong in ("[]", "{", '{"a": }', "x", "1", "[" * 40, '{"a":' * 40 + "1" + "}" * 40):
                self.check(at + "[0].function.arguments", "JSON object", arguments(wrong), *more)
            self.check("messages[1].content", "needs a 'content'", message(tool_calls=[]), *more)
        self.check("messages[0].tool_call_id", "'id'", {"messages": [{"role": "tool", "content": "x"}]})
        self.check("messages[0].content", "content",
                   {"messages": [{"role": "tool", "tool_call_id": "x"}]})


class Layouts(unittest.TestCase):
    def layout(self, form, body, *more):
        code, text = ask(form, "layout", {"messages": USER, "model": "m", **body}, *more)
        self.assertEqual(code, 0, text)
        return json.loads(text)

    def test_tools(self):
        chat = ["user", "Light!"]
        one = json.dumps(LAMP, ensure_ascii=False)
        for more in ((), ("ollama",)):
            self.assertEqual(self.layout("chatml", {"tools": [LAMP, TIME]}, *more),
                             [["tools", one + "\n" + json.dumps(TIME)], chat])
            self.assertEqual(self.layout("llama3", {"tools": [LAMP, TIME]}, *more),
                             [["tools", json.dumps(LAMP, indent=4) + "\n\n" +
                               json.dumps(TIME, indent=4)], chat])
            self.assertEqual(self.layout("chatml", {}, *more), [chat])
        self.assertEqual(self.layout("chatml", {"tools": [LAMP], "tool_choice": "none"}), [chat])
        wide = {"type": "function", "function": {"name": "f", "description": 'é "q" \\ \n/\x0b\x1f\x7f',
                                                 "strict": True, "parameters": None}}
        self.assertEqual(self.layout("chatml", {"tools": [wide]})[0][1],
                         json.dumps(wide, ensure_ascii=False))

    def test_second_round(self):
        value = {"room": "hall", "level": 0.5, "in": [1, None]}
        result = '{"ok": "é"}'
        for arguments, text in ((value, json.dumps(value)), (json.dumps(value), json.dumps(value)),
                                ('{"a":1}', '{"a":1}'), ("", "{}"), (None, "{}"), ({}, "{}")):
            one = {"id": "x", "type": "function",
                   "function": {"name": "switch_lamp", "arguments": arguments}}
            messages = [*USER, {"role": "assistant", "content": "Well.", "tool_calls": [one, one]},
                        {"role": "tool", "tool_call_id": "x", "content": result}]
            said = call("chatml", "switch_lamp", text)
            self.assertEqual(self.layout("chatml", {"messages": messages})[1:],
                             [["assistant", f"Well.\n{said}\n{said}"], ["tool", result]])
            messages[1] = {"role": "assistant", "tool_calls": [one]}
            self.assertEqual(self.layout("chatml", {"messages": messages})[1:],
                             [["assistant", said], ["tool", result]])
            messages[2] = {"role": "tool", "tool_name": "switch_lamp", "content": result}
            self.assertEqual(self.layout("llama3", {"messages": messages}, "ollama")[1:],
                             [["assistant", call("llama3", "switch_lamp", text)],
                              ["tool", json.dumps(result, ensure_ascii=False)]])

    def test_many(self):
        """Messages with several calls each, and all tools that there may be."""
        one = {"function": {"name": "f", "arguments": {"a": "x" * 50}}}
        messages = [{"role": "assistant", "tool_calls": [one] * 16}] * 20
        tools = [{"type": "function", "function": {"name": f"t{i}"}} for i in range(128)]
        got = self.layout("chatml", {"messages": messages, "tools": tools})
        self.assertEqual(len(got), 21)
        self.assertEqual(got[0][1].count("\n"), 127)
        said = "\n".join([call("chatml", "f", {"a": "x" * 50})] * 16)
        self.assertTrue(all(message == ["assistant", said] for message in got[1:]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
