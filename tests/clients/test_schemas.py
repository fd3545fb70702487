#!/usr/bin/env python3
"""Answers of `edgellm serve` under random JSON schemas, judged by the package jsonschema.

    python3 tests/clients/test_schemas.py EDGELLM MAKE_TINY OUT_DIR

500 schemas (those of tests/test_schema.py), each with another seed, and budgets from what the shortest
answer takes up. The model has random weights. Needs the package jsonschema: `make test-clients`.
"""
import http.client
import json
import pathlib
import re
import sys
import unittest

import jsonschema
import served


sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import test_schema  # noqa: E402

SCHEMAS, CONTEXT = 500, 1024


class Schemas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = served.Server("-c", str(CONTEXT), kind=("long",))
        cls.client = http.client.HTTPConnection(cls.server.url.removeprefix("http://"), timeout=60)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.end()

    def ask(self, schema, seed, max_tokens):
        body = {"prompt": "fox", "json_schema": schema, "temperature": 1.5, "seed": seed,
                "max_tokens": max_tokens}
        self.client.request("POST", "/v1/completions", json.dumps(body),
                            {"Content-Type": "application/json", **served.HEADERS})
        response = self.client.getresponse()
        return response.status, json.loads(response.read())

    def judge(self, schema, seed, max_tokens):
        status, answer = self.ask(schema, seed, max_tokens)
        if status == 400:  # told before anything is computed
            return answer["error"]["message"]
        self.assertEqual(status, 200, answer)
        choice = answer["choices"][0]
        self.assertEqual(choice["finish_reason"], "stop", (schema, answer))
        value = json.loads(choice["text"])
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator(schema, format_checker=checker).validate(value)
        return None

    def test_wide_schemas(self):
        """As many properties as an object may have, and lists of 400 values."""
        names = [f"{'set' if i % 3 else 'get'}_{i:03}" for i in range(256)]
        values = [f"{'Port' if i % 4 else 'North'} {i * 7919 % 1000}" for i in range(400)]
        flag, one_of = {"type": "boolean"}, {"enum": values}
        seen = set()
        for seed in range(12):
            required = names[::64] if seed % 2 else names[seed::100] if seed % 3 else []
            schema = {"type": "object", "properties": {n: one_of if n == names[200] else flag for n in names},
                      "required": required, "additionalProperties": False}
            self.assertIsNone(self.judge(schema, seed, 900))
            self.assertIsNone(self.judge({"type": "array", "items": one_of, "minItems": 2, "maxItems": 4}, seed, 200))
            answer = self.ask({"type": "object", "properties": dict.fromkeys(names, flag)}, seed, 900)[1]
            seen |= set(json.loads(answer["choices"][0]["text"]))
        self.assertGreater(len(seen), 5)

    def test_random_schemas(self):
        refused = []
        for seed in range(SCHEMAS):
            schema = {"type": "object", "properties": {"it": test_schema.Maker(seed).schema(seed % 4)},
                      "required": ["it"]}
            said = self.judge(schema, seed, CONTEXT - 16)
            if said:
                refused.append(said)
                continue
            said = self.judge(schema, seed, 1)
            least = int(re.search(r"may need (\d+) tokens", said).group(1))
            for more in (0, seed % 20):
                self.assertIsNone(self.judge(schema, seed, least + more), schema)
        for said in refused:
            self.assertRegex(said, r"no number of at most 15 digits|no value in it is allowed"
                                   r"|of pattern, format and lengths only one|may need \d+ tokens")
        self.assertLess(len(refused), SCHEMAS // 10)
        print(f"{SCHEMAS} schemas, {len(refused)} refused")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
