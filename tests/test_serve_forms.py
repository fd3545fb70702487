#!/usr/bin/env python3
"""`edgellm serve` where an answer has to keep to a grammar, a JSON schema, or be any JSON object.

    python3 tests/test_serve_forms.py EDGELLM MAKE_TINY OUT_DIR

The models have random weights: whatever an answer keeps to, it keeps to by its grammar alone. Answers
are read by Python's json and tests/gbnf.py. Standard library only.
"""
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gbnf  # noqa: E402

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TINY = str(OUT / "tiny.tm2.bin")
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
WAIT = 60
os.environ["EDGELLM_CACHE"] = "none"
os.environ.pop("EDGELLM_API_KEY", None)

LAMP = {"type": "object", "additionalProperties": False, "required": ["device", "on"],
        "properties": {"device": {"enum": ["lamp", "heating"]}, "on": {"type": "boolean"},
                       "level": {"type": "integer", "minimum": 0, "maximum": 100}}}
DIALOGUE = 'root ::= ("yes" | "no") " " [0-9]{2,4} "." # an answer\n'


def is_lamp(value):
    return (set(value) - {"level"} == {"device", "on"} and value["device"] in ("lamp", "heating")
            and isinstance(value["on"], bool) and value.get("level", 5) in range(101))


class Forms(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir(parents=True)
        gguf = str(OUT / "tiny.gguf")
        subprocess.run([MAKE_TINY, gguf], check=True, timeout=WAIT)
        subprocess.run([EDGELLM, "quantize", gguf, "-o", TINY, "-q"], check=True, timeout=WAIT)
        cls.process = subprocess.Popen(
            [EDGELLM, "serve", TINY, "--port", "0", "--calibrate", "20", "--sessions", "4"],
            stdout=subprocess.PIPE)
        line = cls.process.stdout.readline().decode()
        cls.port = int(re.search(r":(\d+) ", line).group(1))

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.communicate(timeout=WAIT)

    def ask(self, path, **body):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        client.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = client.getresponse()
        text = response.read().decode()
        client.close()
        return response.status, text

    def text(self, **body):
        """Of an answer to a text that goes on."""
        status, text = self.ask(TEXT, **{"prompt": "fox", "temperature": 2, **body})
        self.assertEqual(status, 200, text)
        choice = json.loads(text)["choices"][0]
        self.assertEqual(choice["finish_reason"], "stop", text)
        return choice["text"]

    def test_grammar(self):
        grammar = gbnf.Grammar(DIALOGUE.split(" #")[0])
        found = {self.text(grammar=DIALOGUE, seed=seed) for seed in range(20)}
        for text in found:
            self.assertTrue(grammar.matches(text), text)
        self.assertGreater(len(found), 10)

    def test_the_same_as_run(self):
        path = OUT / "dialogue.gbnf"
        path.write_text(DIALOGUE)
        for seed in (1, 2):
            done = subprocess.run([EDGELLM, "run", TINY, "--raw", "-p", "fox", "-t", "2", "--seed",
                                   str(seed), "--grammar", str(path), "-n", "100", "--json"],
                                  check=True, capture_output=True, timeout=WAIT)
            self.assertEqual(self.text(grammar=DIALOGUE, seed=seed, max_tokens=100),
                             json.loads(done.stdout)["text"])

    def test_schema_in_every_interface(self):
        form = {"type": "json_schema", "json_schema": {"name": "lamp", "schema": LAMP}}
        user = [{"role": "user", "content": "fox"}]
        for seed in range(4):
            options = {"seed": seed, "temperature": 2}
            texts = [self.text(response_format=form, **options),
                     self.text(json_schema=LAMP, **options)]
            self.assertEqual(*texts)
            status, text = self.ask(CHAT, messages=user, response_format=form, **options)
            self.assertEqual(status, 200, text)
            texts.append(json.loads(text)["choices"][0]["message"]["content"])
            status, text = self.ask("/api/chat", model="tiny", messages=user, format=LAMP,
                                    stream=False, options=options)
            self.assertEqual(status, 200, text)
            self.assertEqual(json.loads(text)["message"]["content"], texts[-1])
            status, text = self.ask("/api/generate", model="tiny", prompt="fox", raw=True,
                                    format=LAMP, options=options)
            pieces = [json.loads(line) for line in text.splitlines()]
            self.assertEqual("".join(piece["response"] for piece in pieces), texts[0])
            self.assertEqual(pieces[-1]["done_reason"], "stop")
            for one in texts:
                self.assertTrue(is_lamp(json.loads(one)), one)

    def test_any_object(self):
        for seed in range(6):
            value = json.loads(self.text(response_format={"type": "json_object"}, seed=seed,
                                         max_tokens=60))
            self.assertIsInstance(value, dict)
        status, text = self.ask("/api/generate", model="tiny", prompt="fox", format="json",
                                stream=False, options={"temperature": 2, "num_predict": 40})
        self.assertIsInstance(json.loads(json.loads(text)["response"]), dict, (status, text))

    def test_budgets_close_the_object(self):
        """As few tokens as the shortest answer takes, and every number above that."""
        schema = {"type": "object", "properties": {"words": {"type": "array", "items": {
            "type": "string"}}, "n": {"type": "number"}}, "required": ["words", "n"]}
        status, text = self.ask(TEXT, prompt="fox", json_schema=schema, max_tokens=3)
        self.assertEqual(status, 400, text)
        least = int(re.search(r"may need (\d+) tokens", json.loads(text)["error"]["message"]).group(1))
        for more in range(0, 40, 3):
            value = json.loads(self.text(json_schema=schema, max_tokens=least + more, seed=more))
            self.assertEqual(set(value), {"words", "n"})
        status, text = self.ask(TEXT, prompt="fox", json_schema=schema, max_tokens=least - 1)
        self.assertEqual(status, 400, text)

    def test_deadlines_close_it_too(self):
        """But for a machine that stood still until there was no time for it any more, which is told."""
        body = {"prompt": "fox", "json_schema": {"type": "array", "items": {"type": "string"}}, "temperature": 2}
        for deadline in (60, 200) * 10:
            status, text = self.ask(TEXT, **body, deadline_ms=deadline)
            if status == 422:  # a busy machine: told before anything is computed
                continue
            self.assertEqual(status, 200, text)
            got = json.loads(text)
            if got["choices"][0]["finish_reason"] == "stop":
                self.assertIsInstance(json.loads(got["choices"][0]["text"]), list)
                if deadline == 200:
                    return
            else:
                self.assertTrue(got["deadline"]["ended_by_deadline"], text)
        self.assertEqual(status, 422, "none was closed")

    def test_side_by_side(self):
        """With others, with another grammar or none, each has the answer that it has alone."""
        rows = [{"grammar": DIALOGUE}, {"json_schema": LAMP}, {}, {"json_schema": {"const": "é"}}]
        asked = [{"prompt": "fox", "temperature": 2, "max_tokens": 80, "seed": i, **rows[i % 4]}
                 for i in range(12)]
        alone = [self.ask(TEXT, **body)[1] for body in asked]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            together = list(pool.map(lambda body: self.ask(TEXT, **body)[1], asked))
        for one, other in zip(alone, together):
            self.assertEqual(json.loads(one)["choices"], json.loads(other)["choices"])

    def test_errors(self):
        for body, param, said in (
                ({"grammar": "root ::= x"}, "grammar", "x"),
                ({"grammar": "root ::= \"a"}, "grammar", "line 1"),
                ({"json_schema": {"type": "object", "properties": {"a": {"multipleOf": 3}}}},
                 "json_schema", "#/properties/a"),
                ({"response_format": {"type": "json_schema", "json_schema": {"schema": {
                    "type": "set"}}}}, "response_format.json_schema.schema", "#/type"),
                ({"response_format": {"type": "json_schema"}},
                 "response_format.json_schema.schema", "must be a JSON schema"),
                ({"response_format": {"type": "json_object"}, "grammar": DIALOGUE}, "grammar",
                 "one thing"),
                ({"grammar": DIALOGUE, "ignore_eos": True}, "ignore_eos", "end")):
            status, text = self.ask(TEXT, prompt="fox", **body)
            error = json.loads(text)["error"]
            self.assertEqual((status, error["param"]), (400, param), error)
            self.assertIn(said, error["message"])
        self.text(grammar=DIALOGUE)


if __name__ == "__main__":
    sys.argv[1:] = sys.argv[4:]
    unittest.main()
