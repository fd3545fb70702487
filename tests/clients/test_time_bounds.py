#!/usr/bin/env python3
"""Connections that are idle or too slow are closed when docs/SERVER.md says: a minute, in which all of them wait at once.

    python3 tests/clients/test_time_bounds.py EDGELLM MAKE_TINY OUT_DIR

Standard library only, but too slow for `make test`.
"""
import concurrent.futures
import pathlib
import socket
import sys
import time
import unittest

import served

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import ws_client  # noqa: E402

LATE = 60  # seconds that a busy machine may be late by
HEAD = (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + served.KEY.encode() +
        b"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
ALIVE = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def wait(client, more, limit):
    """Seconds until it is closed, and what came; `more` is sent each second meanwhile."""
    began, told = time.monotonic(), b""
    client.settimeout(1)
    while time.monotonic() - began < limit:
        try:
            piece = client.recv(4096)
            told += piece
            if not piece or b"\x88\x19" in told:  # a WebSocket's last frame, which nobody answers
                break
        except socket.timeout:
            try:
                client.sendall(more)
            except OSError:
                break
        except OSError:
            break
    return time.monotonic() - began, told


class Bounds(unittest.TestCase):
    def setUp(self):
        self.server = served.Server()
        self.addCleanup(self.server.end)
        self.port = int(self.server.url.rsplit(":", 1)[1])

    def connect(self, data, port=None):
        client = socket.create_connection(("127.0.0.1", port or self.port), timeout=60)
        self.addCleanup(client.close)
        client.sendall(data)
        return client

    def test_the_end_waits_for_nobody_silent(self):
        """Neither who does not answer a WebSocket's farewell, nor half a body, lasts as long as the drain."""
        for begin, seconds in ((lambda port: ws_client.connect(port, **served.HEADERS), 5),
                               (lambda port: self.connect(HEAD + b"{", port), 20)):
            server = served.Server("--drain", "600")
            self.addCleanup(server.process.kill)
            client = begin(int(server.url.rsplit(":", 1)[1]))
            time.sleep(0.5)  # so that the head is there; if it is not, the server ends at once
            server.process.terminate()
            self.assertEqual(server.process.wait(timeout=seconds + LATE), 0)
            server.process.stdout.close()
            client.close()

    def begin_message(self):
        client = ws_client.connect(self.port, **served.HEADERS)
        self.addCleanup(client.close)
        client.send_frame(b"{", final=False)
        return client.sock

    def test_all(self):
        part = ws_client.frame(b" ", opcode=0, final=False)
        rows = (("nothing", self.connect(b""), b"", 20), ("a slow head", self.connect(ALIVE[:-2] + b"X-Y: "), b"a", 20),
                ("a body that stops", self.connect(HEAD + b"{"), b"", 20),
                ("a slow body", self.connect(HEAD + b"{"), b" ", 30),
                ("after a reply", self.connect(ALIVE), b"", 60),
                ("a slow message", self.begin_message(), part, 30))
        with concurrent.futures.ThreadPoolExecutor(len(rows)) as pool:
            waits = [pool.submit(wait, client, more, seconds + LATE) for _, client, more, seconds in rows]
        for (name, _, _, seconds), waited in zip(rows, waits):
            with self.subTest(name):
                took, told = waited.result()
                self.assertGreater(took, seconds - 2)
                self.assertLess(took, seconds + LATE)
                self.assertEqual(told.startswith(b"HTTP/1.1 200 "), name == "after a reply")
                self.assertEqual(b"\x03\xf0a message took too long" in told, name == "a slow message")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
