#!/usr/bin/env python3
"""/v1/stream of `edgellm serve` asked by the Python package websockets, and by the example that uses it.

    python3 tests/clients/test_websockets.py EDGELLM MAKE_TINY OUT_DIR

Needs the package websockets: `make test-clients`.
"""
import asyncio
import base64
import json
import os
import pathlib
import subprocess
import sys
import unittest

import websockets
import served
from served import HEADERS, KEY, run


EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "stream.py"


class Client(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = served.Server("--heartbeat", "1")
        cls.url = cls.server.url.replace("http", "ws", 1)
        cls.right = run("-p", "the fox", "-n", 20, "-t", 0)

    @classmethod
    def tearDownClass(cls):
        cls.server.end()

    def connect(self, **options):
        return websockets.connect(self.url + "/v1/stream", **{
            "additional_headers": HEADERS, **options})

    async def ask(self, socket, name, **body):
        await socket.send(json.dumps({"type": "request", "id": name, "max_tokens": 20,
                                      "temperature": 0, **body}))

    async def answers(self, socket, n):
        """The texts of the next n that end, by their names."""
        texts, ended = {}, 0
        while ended < n:
            message = json.loads(await socket.recv())
            texts[message["id"]] = texts.get(message["id"], "") + message.get("text", "")
            ended += message["type"] in ("done", "error")
        return texts

    async def test_several(self):
        fox = [{"role": "user", "content": "the fox"}]
        async with self.connect() as socket:
            for name in "abc":
                await self.ask(socket, name, messages=fox)
            self.assertEqual(await self.answers(socket, 3), dict.fromkeys("abc", self.right["text"]))

    async def test_compression_is_declined(self):
        async with self.connect(compression="deflate") as socket:
            self.assertEqual(socket.protocol.extensions, [])
            await socket.send('{"type":"ping"}')
            self.assertEqual(json.loads(await socket.recv()), {"type": "pong"})

    async def test_fragments(self):
        async with self.connect() as socket:
            await socket.send(part for part in ('{"type', '":"p', 'ing"}'))
            self.assertEqual(json.loads(await socket.recv()), {"type": "pong"})

    async def test_heartbeats(self):
        async with self.connect() as socket:
            await asyncio.sleep(3.5)  # the package answers pings
            await (await socket.ping())
            await socket.send('{"type":"ping"}')
            self.assertEqual(json.loads(await socket.recv()), {"type": "pong"})

    async def test_keys(self):
        key = "edgellm.key." + base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("=")
        async with self.connect(additional_headers=None, subprotocols=["edgellm.v1", key]) as socket:
            self.assertEqual(socket.subprotocol, "edgellm.v1")
        with self.assertRaises(websockets.InvalidStatus) as caught:
            await self.connect(additional_headers=None)
        self.assertEqual(caught.exception.response.status_code, 401)

    async def test_origin(self):
        with self.assertRaises(websockets.InvalidStatus) as caught:
            await self.connect(origin="http://evil.example")
        self.assertEqual(caught.exception.response.status_code, 403)

    def test_example(self):
        done = subprocess.run([sys.executable, EXAMPLE, self.url, "the fox"], timeout=60,
                              capture_output=True, env={**os.environ, "EDGELLM_API_KEY": KEY})
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertGreater(len(done.stdout), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
