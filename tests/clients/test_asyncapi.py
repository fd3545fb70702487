#!/usr/bin/env python3
"""docs/asyncapi.yaml: against AsyncAPI's own JSON schema, and against what `edgellm serve` says on /v1/stream: each
message that goes over the connection is one of those described, and what is not is refused.

    python3 tests/clients/test_asyncapi.py EDGELLM MAKE_TINY OUT_DIR

Needs the packages jsonschema, websockets and PyYAML, and of Node's packages @asyncapi/specs: `make test-clients`.
"""
import json
import os
import pathlib
import sys
import unittest

import jsonschema
import served
import websockets
import yaml
from served import HEADERS

ROOT = pathlib.Path(__file__).resolve().parents[2]
API = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
SPECS = pathlib.Path(os.environ.get("NODE_PACKAGES", "build/node"), "node_modules/@asyncapi/specs/schemas")
PROMPT = {"prompt": "the fox", "seed": 1, "ignore_eos": True}
WRONG = (
    {"type": "request", "prompt": "x"},
    {"type": "request", "id": "", "prompt": "x"},
    {"type": "request", "id": "w", "prompt": 5},
    {"type": "request", "id": "w", "prompt": "x", "max_tokens": 0},
    {"type": "request", "id": "w", "prompt": "x", "deadline_ms": 0},
    {"type": "request", "id": "w", "prompt": "x", "deadline_ms": 86400001},
    {"type": "request", "id": "w", "prompt": "x", "logprobs": "yes"},
    {"type": "request", "id": "w", "messages": []},
    {"type": "request", "id": "w", "messages": [{"role": "wizard", "content": "x"}]},
    {"type": "cancel"},
    {"type": "deadline", "id": "w"},
    {"type": "deadline", "id": "w", "deadline_ms": "soon"},
    {"type": "resume"},
    {"type": "resume", "resume": "x" * 32},
    {"type": "resume", "resume": "0" * 32, "from": -1},
    {"type": "song"},
    {},
)


def names(operation):
    return {message["$ref"].rpartition("/")[2] for message in API["operations"][operation]["messages"]}


def judge(name):
    schema = {"$ref": f"#/components/messages/{name}/payload", "components": API["components"]}
    return jsonschema.Draft202012Validator(schema)


JUDGES = {operation: {name: judge(name) for name in names(operation)} for operation in API["operations"]}


def kinds(operation, message):
    return {name for name, judge_ in JUDGES[operation].items() if judge_.is_valid(message)}


class Document(unittest.TestCase):
    def test_it_is_asyncapi(self):
        schema = json.loads((SPECS / f"{API['asyncapi']}-without-$id.json").read_text())
        jsonschema.Draft7Validator(schema).validate(API)
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.Draft7Validator(schema).validate({**API, "operations": {"ask": {"action": "sing"}}})

    def test_every_message_is_said_by_somebody(self):
        listed = API["channels"]["stream"]["messages"]
        self.assertEqual(set(listed), names("ask") | names("answer"))
        self.assertEqual(set(listed), set(API["components"]["messages"]))


class Talk(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = served.Server("-c", "20000", "--sessions", "1", kind=("long",))
        cls.url = cls.server.url.replace("http", "ws", 1) + "/v1/stream"
        cls.said, cls.heard, cls.statuses = set(), set(), set()

    @classmethod
    def tearDownClass(cls):
        cls.server.end()

    def connect(self):
        return websockets.connect(self.url, additional_headers=HEADERS)

    async def say(self, socket, **message):
        found = kinds("ask", message)
        self.assertEqual(len(found), 1, message)
        self.said.update(found)
        await socket.send(json.dumps(message))

    async def hear(self, socket, until):
        """The first of that type; each until then is one of those described."""
        while True:
            message = json.loads(await socket.recv())
            if message["type"] == "token" and message["index"] > 20 and until != "token":
                continue  # judging takes longer than computing
            found = kinds("answer", message)
            self.assertEqual(len(found), 1, message)
            self.heard.update(found)
            self.statuses.add(message.get("status"))
            if message["type"] == until:
                return message

    async def test_all_there_is_to_say(self):
        async with self.connect() as socket:
            await self.say(socket, type="ping")
            await self.hear(socket, "pong")
            await self.say(socket, type="request", id="a", messages=served.MESSAGES, max_tokens=8, logprobs=True,
                           logits_hash=True, deadline_ms=3600000)
            await self.hear(socket, "done")
            await self.say(socket, type="request", id="b", **PROMPT)
            await self.hear(socket, "token")
            await self.say(socket, type="deadline", id="b", deadline_ms=3600000)
            await self.hear(socket, "deadline")
            await self.say(socket, type="deadline", id="b", deadline_ms=1)
            await self.hear(socket, "error")
            await self.say(socket, type="cancel", id="b")
            await self.hear(socket, "done")
            await self.say(socket, type="request", id="late", **PROMPT, max_tokens=19000, deadline_ms=1)
            await self.hear(socket, "error")
            await self.say(socket, type="request", id="c", **PROMPT, max_tokens=300)
            secret = (await self.hear(socket, "accepted"))["resume"]
            await socket.close(4000)  # 1000 would end what runs
        async with self.connect() as socket:
            await self.say(socket, type="resume", resume=secret, **{"from": 1})
            self.assertEqual((await self.hear(socket, "token"))["index"], 1)
            await self.hear(socket, "done")
            await self.say(socket, type="resume", resume="0" * 32)
            await self.hear(socket, "error")
            for i in range(17):
                await self.say(socket, type="request", id=f"many{i}", **PROMPT, max_tokens=2000)
            await self.hear(socket, "error")
        self.assertEqual((self.said, self.heard), (names("ask"), names("answer")))
        self.assertEqual(self.statuses, {None, 404, 422, 429})

    async def test_what_it_does_not_allow_is_refused(self):
        async with self.connect() as socket:
            for message in WRONG:
                self.assertEqual(kinds("ask", message), set(), message)
                await socket.send(json.dumps(message))
                said = await self.hear(socket, "error")
                self.assertEqual(said["status"], 404 if message.get("resume") == "x" * 32 else 400, (message, said))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
