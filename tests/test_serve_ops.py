#!/usr/bin/env python3
"""How `edgellm serve` is run: what sessions keep between requests, in files too; TLS; certificates;
and the small routes that clients of llama.cpp's server look for.

    python3 tests/test_serve_ops.py EDGELLM MAKE_TINY OUT_DIR

Needs the command openssl; else the standard library only. How a server is started and asked is
test_serve.py's.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import unittest
import zlib

import test_certify as certify
import test_serve as serve
import ws_client
from test_serve import CHAT, FORMAT, IO, LONG, TEXT, TINY, USAGE, user

UNSUPPORTED = 5
KEY = {**os.environ, "EDGELLM_API_KEY": "s3cret"}
ENDLESS = {"prompt": "fox", "ignore_eos": True}
FOX = "the quick brown fox jumps over the lazy dog"
setUpModule = serve.setUpModule


class Case(serve.Case):
    def folder(self):
        return pathlib.Path(tempfile.mkdtemp(dir=serve.OUT))

    def fails(self, code, *arguments, words, **options):
        process = serve.start("--port", "0", *arguments, **options)
        out, err = process.communicate(timeout=serve.WAIT)
        self.assertEqual((process.returncode, out), (code, b""), err)
        self.assertRegex(err.decode(), r"\Aedgellm: [^\n]+\n\Z")
        self.assertIn(words, err.decode())

    def tokens(self, server, text, **more):
        return server.answer("/tokenize", content=text, **more)["tokens"]

    def slots(self, server):
        status, _, slots = server.ask("/slots")
        self.assertEqual(status, 200)
        return slots


def cached_of(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def common(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


# ---- what sessions keep ------------------------------------------------------------------------

class Reuse(Case):
    def one(self, *more):
        """A server of one session."""
        folder = self.folder()
        return self.start("--sessions", "1", "--slot-save-path", folder, *more), folder

    def ask_all(self, server, prompt):
        """Answers by every way, each with its log-probabilities where they are told."""
        body = {"prompt": prompt, "max_tokens": 30, "seed": 3, "temperature": 1.5}
        whole = server.answer(TEXT, **body)
        stream = server.stream(TEXT, stream_options={"include_usage": True}, **body).all()
        client = ws_client.connect(server.port)
        socket_ = client.ask(id="x", logprobs=True, **body)
        client.close()
        tokens = [(t["token"], t["logprob"]) for t in socket_["tokens"]]
        return whole, stream, tokens, socket_["last"]

    def test_bits_are_the_same(self):
        """The answer, the probabilities of its tokens, and all that the session holds then: the
        tokens, the KV cache, the logits and the sampler."""
        (kept, kept_folder), (fresh, fresh_folder) = self.one(), self.one()
        first = kept.answer(TEXT, prompt=FOX, max_tokens=1)
        self.assertEqual(cached_of(first), 0)
        longer = FOX + " and runs away"
        held = common(self.tokens(kept, FOX), self.tokens(kept, longer))
        self.assertGreater(held, 5)
        body = {"prompt": longer, "max_tokens": 40, "seed": 7, "temperature": 2, "ignore_eos": True}
        with_, without = (server.answer(TEXT, **body) for server in (kept, fresh))
        self.assertEqual((cached_of(with_), cached_of(without)), (held, 0))
        self.assertEqual(with_["choices"], without["choices"])
        for server in (kept, fresh):
            self.assertEqual(server.ask("/slots/0?action=save", {"filename": "end"})[0], 200)
        files = [(folder / "end").read_bytes() for folder in (kept_folder, fresh_folder)]
        self.assertEqual(files[0], files[1])
        again, fresh_again = self.ask_all(kept, longer), self.ask_all(fresh, longer)
        self.assertEqual(again[0]["choices"], fresh_again[0]["choices"])
        self.assertEqual(serve.text_of(again[1]), again[0]["choices"][0]["text"])
        self.assertEqual(again[2], fresh_again[2])
        for server in (kept, fresh):
            self.ends_well(server)

    def test_numbers(self):
        """Never all of a prompt: what follows its last token is computed."""
        server, _ = self.one()
        n = len(self.tokens(server, FOX))
        server.answer(TEXT, prompt=FOX, max_tokens=1)
        whole, stream, _, last = self.ask_all(server, FOX)
        for answer in (whole, {**stream[-2], **stream[-1]}, last):
            self.assertEqual(answer["usage"]["prompt_tokens"], n)
            self.assertEqual(cached_of(answer), n - 1)
            self.assertEqual((answer["timings"]["cache_n"], answer["timings"]["prompt_n"]), (n - 1, 1))
        slot, = self.slots(server)
        self.assertEqual((slot["id"], slot["n_ctx"], slot["cache_n"]), (0, 256, n - 1))
        self.assertGreaterEqual(slot["n_past"], n)
        self.ends_well(server)

    def test_the_one_that_holds_most(self):
        server = self.start("--sessions", "3", "-c", "50000", model=LONG)
        prompts = [FOX, FOX[::-1], FOX.upper()]
        streams = []
        for prompt in prompts:  # each has a session of its own, since the others are taken
            streams.append(server.stream(TEXT, prompt=prompt, ignore_eos=True))
            next(streams[-1].events())
        for stream in streams:
            stream.hang_up()
        self.soon(lambda: not any(slot["is_processing"] for slot in self.slots(server)))
        for prompt in prompts[::-1]:
            longer = prompt + " ever so far"
            held = common(self.tokens(server, prompt), self.tokens(server, longer))
            self.assertGreater(held, 3)
            answer = server.answer(TEXT, prompt=longer, max_tokens=1)
            self.assertGreaterEqual(cached_of(answer), held)
        self.assertTrue(all(slot["cache_n"] > 3 for slot in self.slots(server)))
        self.ends_well(server)

    def test_a_full_context(self):
        server, _ = self.one("-c", "20")
        text = "x y " * 20
        for stream in (False, True):
            for path, body in ((TEXT, {"prompt": text}), (CHAT, {"messages": user(text)})):
                reply = server.ask(path, {"stream": stream, **body})
                self.is_error(reply, 400, "prompt" if path == TEXT else "messages", "20")
                self.assertEqual(reply[2]["error"]["code"], "context_length_exceeded")
        answer = server.answer(TEXT, prompt="x", ignore_eos=True)  # no shift: it ends there
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")
        self.assertEqual(answer["usage"]["total_tokens"], 21)
        self.ends_well(server)


class Files(Case):
    @classmethod
    def setUpClass(cls):
        cls.place = pathlib.Path(tempfile.mkdtemp(dir=serve.OUT))
        cls.options = ("--sessions", "1", "--slot-save-path", cls.place)
        super().setUpClass()

    def act(self, action, body=None, server=None, slot=0, **headers):
        return (server or self.server).ask(f"/slots/{slot}?action={action}", body or {}, headers)

    def done(self, action, file=None, server=None):
        status, _, reply = self.act(action, {"filename": file} if file else {}, server)
        self.assertEqual(status, 200, reply)
        self.assertEqual(reply["id_slot"], 0)
        return reply

    def test_goes_on(self):
        """With the same bits, in this server and in another."""
        request = {"prompt": FOX + " and on", "max_tokens": 40, "seed": 9, "temperature": 2}
        self.server.answer(TEXT, prompt=FOX, max_tokens=1)
        n = len(self.tokens(self.server, FOX))
        saved = self.done("save", "fox.slot")
        self.assertEqual((saved["n_saved"], saved["filename"]), (n, "fox.slot"))
        self.assertEqual(saved["n_written"], (self.place / "fox.slot").stat().st_size)
        self.assertGreater(saved["timings"]["save_ms"], 0)
        right = self.server.answer(TEXT, **request)
        self.done("save", "right")
        uncomputed = right["choices"][0]["finish_reason"] == "length"  # the last token
        self.assertEqual(self.done("erase")["n_erased"], right["usage"]["total_tokens"] - uncomputed)
        self.assertEqual(self.done("save", "none")["n_saved"], 0)
        self.assertEqual(self.slots(self.server)[0]["n_past"], 0)
        self.server.answer(TEXT, prompt="something else", max_tokens=9)
        other = self.start("--sessions", "1", "-c", "200", "--slot-save-path", self.place)
        for server in (self.server, other):
            restored = self.done("restore", "fox.slot", server)
            self.assertEqual((restored["n_restored"], restored["n_read"]), (n, saved["n_written"]))
            again = server.answer(TEXT, **request)
            self.assertEqual(again["choices"], right["choices"])
            self.assertEqual(cached_of(again), cached_of(right))
            self.assertGreater(cached_of(again), 5)
            self.done("save", "again", server)
            self.assertEqual((self.place / "again").read_bytes(), (self.place / "right").read_bytes())
        self.ends_well(other)
        self.assertEqual({path.name for path in self.place.iterdir()} - {"bad"},
                         {"fox.slot", "right", "none", "again"})

    def test_names(self):
        for name in ("", ".", "..", ".x", "a/b", "../x", "/x", "a\\b", "a b", "\u00e9", "x" * 129, 5,
                     "a\nb", None, ["x"]):
            for action in ("save", "restore"):
                self.is_error(self.act(action, {"filename": name}), 400, "filename", "filename")
        for action in ("", "x", "saved", "save" * 100, "SAVE"):
            self.is_error(self.act(action), 400, "action", "action=save")
        self.is_error(self.server.ask("/slots/0", {"filename": "x"}), 400, "action")
        self.is_error(self.act("save", {"filename": "x"}, slot=1), 404, None, "0 to 0")
        for slot in ("", "x", "-1", "0x", "0/0", "00000", "99999999999"):
            self.is_error(self.act("save", slot=slot), 404)
        self.is_error(self.server.ask("/slots/0"), 405)
        self.is_error(self.act("save", **{"Content-Type": "text/plain"}), 415)

    def broken(self, edit, seal=True):
        """A file of a slot with something else in it, and right checksums."""
        self.server.answer(TEXT, prompt=FOX, max_tokens=1)
        self.done("save", "bad")
        data = bytearray((self.place / "bad").read_bytes())
        changed = edit(data)
        data = data if changed is None else changed
        if seal:
            struct.pack_into("<I", data, 24, zlib.crc32(data[128:]))
            struct.pack_into("<I", data, 124, zlib.crc32(data[:124]))
        (self.place / "bad").write_bytes(data)

    def test_wrong_files(self):
        def replace(old, new):
            def edit(data):
                self.assertEqual(len(re.findall(old, data)), 1)
                return bytearray(re.sub(old, new, data))
            return edit

        def other_model(data):
            data[28] ^= 1

        def flip(data):
            data[300] ^= 1
        for edit, seal, words in (
                (lambda data: data[:-1], False, "bad"), (flip, False, "checksum"),
                (lambda data: bytearray(b"x" * 500), False, "bad"), (lambda data: bytearray(), False, "bad"),
                (replace(rb"edgellm [\d.]{5} server slot", b"edgellm 0.0.9 server slot"), True, "0.0.9"),
                (replace(rb"server slot", b"prompt cach"), True, "was not saved by this version"),
                (other_model, True, "another model file")):
            self.broken(edit, seal)
            before = self.slots(self.server)
            reply = self.act("restore", {"filename": "bad"})
            self.is_error(reply, 400, "filename", words)
            self.assertEqual(self.slots(self.server), before)  # it is as it was
        os.truncate(self.place / "bad", 1 << 32)
        self.is_error(self.act("restore", {"filename": "bad"}), 400, "filename", "more than")
        self.is_error(self.act("restore", {"filename": "never"}), 400, "filename", "cannot be opened")
        (self.place / "bad").unlink()
        (self.place / "bad").mkdir()
        self.is_error(self.act("restore", {"filename": "bad"}), 400, "filename", "no file")
        self.is_error(self.act("save", {"filename": "bad"}), 500, None, "bad")
        (self.place / "bad").rmdir()
        self.still_works()

    def test_longer_than_a_slot(self):
        long = self.start("--sessions", "1", "--slot-save-path", self.place)
        long.answer(TEXT, prompt="fox", ignore_eos=True)
        self.done("save", "bad", long)
        short = self.start("--sessions", "1", "-c", "30", "--slot-save-path", self.place)
        self.is_error(self.act("restore", {"filename": "bad"}, short), 400, "filename")
        for server in (long, short):
            self.ends_well(server)

    def test_without_a_folder(self):
        server = self.start("--sessions", "1")
        for action in ("save", "restore"):
            self.is_error(self.act(action, {"filename": "x"}, server), 404, None, "--slot-save-path")
        server.answer(TEXT, prompt=FOX, max_tokens=1)
        n = len(self.tokens(server, FOX))
        self.assertEqual(self.act("erase", None, server)[2]["n_erased"], n)
        self.ends_well(server)
        self.fails(IO, "--slot-save-path", serve.OUT / "none", words="--slot-save-path")
        self.fails(IO, "--slot-save-path", TINY, words="--slot-save-path")

    def test_not_while_it_answers(self):
        server = self.start("--sessions", "2", "-c", "50000", "--slot-save-path", self.place, model=LONG)
        stream = server.stream(TEXT, **ENDLESS)
        next(stream.events())
        taken = [slot["is_processing"] for slot in self.slots(server)].index(True)
        for action in ("save", "restore", "erase"):
            reply = self.act(action, {"filename": "bad"}, server, taken)
            self.is_error(reply, 409, None, "try again")
            self.assertEqual(reply[2]["error"]["code"], "slot_busy")
            self.assertEqual(reply[1]["retry-after"], "1")
        # The other may be, unless a promise could wait for it.
        self.assertEqual(self.act("save", {"filename": "bad"}, server, 1 - taken)[0], 200)
        stream.hang_up()
        self.soon(lambda: not self.slots(server)[taken]["is_processing"])
        promised = server.stream(TEXT, max_tokens=40000, deadline_ms=86400000, **ENDLESS)
        next(promised.events())
        taken = [slot["is_processing"] for slot in self.slots(server)].index(True)
        self.is_error(self.act("save", {"filename": "bad"}, server, 1 - taken), 409, None, "deadline")
        promised.hang_up()
        self.soon(lambda: self.act("save", {"filename": "bad"}, server)[0] == 200)
        self.ends_well(server)
        (self.place / "bad").unlink()

    def test_who_leaves(self):
        for _ in range(20):
            client = self.server.client()
            client.request("POST", "/slots/0?action=save", b'{"filename": "bad"}', serve.JSON)
            client.close()
        self.still_works()
        self.soon(lambda: self.act("erase")[0] == 200)

    def test_keys(self):
        server = self.start("--slot-save-path", self.place, env=KEY)
        for path, body in (("/slots", None), ("/slots/0?action=save", {"filename": "x"}), ("/props", None),
                           ("/tokenize", {"content": "x"}), ("/detokenize", {"tokens": [1]}),
                           ("/apply-template", {"messages": user("x")})):
            self.is_error(server.ask(path, body), 401)
        self.assertFalse((self.place / "x").exists())
        self.ends_well(server)


# ---- texts and tokens --------------------------------------------------------------------------

class Texts(Case):
    def test_tokens(self):
        texts = ["", "fox", FOX, "<|im_end|>", "\u00e9\u00df \U0001f600 \n\t", "a" * 200]
        for text in texts:
            for special in (True, False):
                told = subprocess.run([serve.EDGELLM, "tokenize", TINY, "--json", text,
                                       *(["--special"] if special else [])], capture_output=True)
                right = json.loads(told.stdout)["ids"] if text else []
                self.assertEqual(self.tokens(self.server, text, parse_special=special), right, text)
            pieces = self.tokens(self.server, text, with_pieces=True)
            self.assertEqual([piece["id"] for piece in pieces], self.tokens(self.server, text))
            whole = b"".join(p["piece"].encode() if isinstance(p["piece"], str) else bytes(p["piece"])
                             for p in pieces)
            back = self.server.answer("/detokenize", tokens=[piece["id"] for piece in pieces])
            self.assertEqual(whole.decode(errors="replace"), back["content"])
        self.assertEqual(self.server.answer("/detokenize", tokens=[])["content"], "")

    def test_a_token_of_a_beginning(self):
        """Where the vocabulary asks for one: of a text if it is said, of what is embedded always."""
        gguf, path = str(serve.OUT / "bos.gguf"), str(serve.OUT / "bos.tm2.bin")
        subprocess.run([serve.MAKE_TINY, gguf, "bos"], check=True)
        subprocess.run([serve.EDGELLM, "quantize", gguf, "-o", path, "-q"], check=True)
        server = self.start(model=path)
        begin = self.tokens(server, "<|im_start|>")
        for text in ("", "fox", FOX):
            plain = self.tokens(server, text)
            self.assertEqual(self.tokens(server, text, add_special=False), plain)
            self.assertEqual(self.tokens(server, text, add_special=True), begin + plain)
            self.assertEqual(self.tokens(self.server, text, add_special=True), self.tokens(self.server, text))
        for asked, tokens in ((server, 1), (self.server, 0)):
            told = asked.answer("/v1/embeddings", input="fox")["usage"]["prompt_tokens"]
            self.assertEqual(told, tokens + len(self.tokens(asked, "fox")))
        self.ends_well(server)

    def test_template(self):
        messages = [{"role": "system", "content": "Be brief."}] + user("the fox")
        prompt = self.server.answer("/apply-template", messages=messages)["prompt"]
        answer = self.server.answer(CHAT, messages=messages, max_tokens=4, temperature=0)
        text = self.server.answer(TEXT, prompt=prompt, max_tokens=4, temperature=0)
        self.assertEqual(text["choices"][0]["text"], answer["choices"][0]["message"]["content"])
        self.assertEqual(text["usage"]["prompt_tokens"], answer["usage"]["prompt_tokens"])

    def test_bounds(self):
        long = "x " * 400
        self.is_error(self.server.ask("/tokenize", {"content": long}), 400, "content", "256")
        self.is_error(self.server.ask("/apply-template", {"messages": user(long)}), 400, "messages", "256")
        self.is_error(self.server.ask("/detokenize", {"tokens": [1] * 257}), 400, "tokens", "256")
        self.is_error(self.server.ask("/detokenize", {"tokens": [1] * 9000}), 413, None, "values")
        self.is_error(self.server.ask("/detokenize", {"tokens": [10 ** 6]}), 400, "tokens", "1000000")
        for path, field, bad in (("/tokenize", "content", 5), ("/tokenize", "content", None),
                                 ("/tokenize", "with_pieces", 1), ("/detokenize", "tokens", "x"),
                                 ("/detokenize", "tokens", [1.5]), ("/detokenize", "tokens", [-1]),
                                 ("/detokenize", "tokens", ["1"]), ("/detokenize", "tokens", None),
                                 ("/apply-template", "messages", []),
                                 ("/apply-template", "messages", None)):
            body = {"content": "x", field: bad} if path == "/tokenize" else {field: bad}
            self.is_error(self.server.ask(path, body), 400, field, field)

    def test_a_reply_that_is_too_long(self):
        server = self.start("-c", 50000, "--sessions", 1, "--max-body", 70000, model=serve.LONG)
        text = "\u00e9" * 5000
        tokens = self.tokens(server, text)
        self.assertEqual(server.answer("/detokenize", tokens=tokens[:1000])["content"], text[:500])
        self.is_error(server.ask("/tokenize", {"content": text, "with_pieces": True}), 413, None, "70000")
        self.ends_well(server)

    def test_on_one_connection(self):
        """Long replies to a body, one behind the other."""
        client = self.server.client()
        for _ in range(5):
            for content in (FOX, "", FOX * 3):
                status, _, reply = serve.ask(client, "/tokenize", {"content": content, "with_pieces": True})
                self.assertEqual(status, 200)
                self.assertEqual("".join(t["piece"] for t in reply["tokens"]), content)
        client.close()

    def test_props(self):
        status, _, props = self.server.ask("/props")
        self.assertEqual(status, 200)
        self.assertEqual((props["total_slots"], props["model_alias"], props["slot_files"],
                          props["has_chat_template"], props["chat_form"], props["context_shift"],
                          props["forecasts_by"]),
                         (4, "tiny", False, True, "chatml", False, "a calibration"))
        settings = props["default_generation_settings"]
        self.assertEqual(settings["n_ctx"], 256)
        self.assertEqual((settings["params"]["temperature"], settings["params"]["top_k"]), (0.8, 40))


class Template(Case):
    def test_by_name(self):
        server = self.start("--template", "zephyr", "-c", "128", "--sessions", "1")
        self.assertEqual(server.ask("/props")[2]["chat_form"], "zephyr")
        prompt = server.answer("/apply-template", messages=user("the fox"))["prompt"]
        self.assertEqual(prompt, "<|user|>\nthe fox<|im_end|>\n<|assistant|>\n")
        tool = {"type": "function", "function": {"name": "f"}}
        self.is_error(server.ask(CHAT, {"messages": user("fox"), "tools": [tool]}), 400, "tools",
                      "no chat template in which there are tools")
        self.fails(USAGE, "--template", "alpaca", words="known are: chatml")


# ---- certificates ------------------------------------------------------------------------------

class Certificates(Case):
    SETUP = ("-c", "128", "-b", "16", "-j", "1")

    def certify(self, *more, sessions=2, cache="none"):
        subprocess.run([serve.EDGELLM, "certify", TINY, *self.SETUP, "--duration", "0.05", "--sessions",
                        str(sessions), *map(str, more)], check=True, capture_output=True,
                       env={**os.environ, "EDGELLM_CACHE": str(cache)})

    def by(self, *more, sessions=2, cache="none"):
        """By what forecasts are made, and the server."""
        server = self.start(*self.SETUP, "--sessions", sessions, *more,
                            env={**os.environ, "EDGELLM_CACHE": str(cache)})
        told = server.line.rstrip("\n").partition(" | forecasts by ")[2]
        self.assertEqual(server.ask("/props")[2]["forecasts_by"], told)
        return told, server

    def test_one_that_is_named(self):
        file = self.folder() / "c.json"
        self.certify("-o", file)
        told, server = self.by("--certificate", file)
        self.assertEqual(told, f"the certificate '{file}'")
        self.assertEqual(server.answer(TEXT, prompt="x", max_tokens=2, deadline_ms=3600000)
                         ["deadline"]["max_tokens"], 2)
        self.ends_well(server)
        slow = json.loads(file.read_text())  # a token is said to take an hour
        slow["costs"].update(step_ms=3.6e6)
        slow["checksum"] = certify.checksum(slow)
        file.write_text(json.dumps(slow))
        _, server = self.by("--certificate", file)
        reply = server.ask(TEXT, {"prompt": "x", "max_tokens": 3, "deadline_ms": 3600000})
        self.is_error(reply, 422, "deadline_ms")
        self.assertGreater(reply[2]["error"]["forecast"]["answer_ms"], 7e6)
        self.ends_well(server)

    def test_that_of_the_cache(self):
        cache = self.folder()
        for words, sessions, more in (("the certificate '", 2, ()), ("a calibration", 2, ("none",)),
                                      ("a calibration: the certificate '", 3, ())):
            if not list(cache.glob("latency-*")):
                self.certify(cache=cache)
            told, server = self.by(*(("--certificate", *more) if more else ()), sessions=sessions,
                                   cache=cache)
            self.assertTrue(told.startswith(words), told)
            self.assertEqual("passes of 3" in told, sessions == 3)
            self.ends_well(server)

    def test_wrong_ones(self):
        file = self.folder() / "c.json"
        self.certify("-o", file)
        given = (*self.SETUP, "--sessions", "2", "--certificate", file)
        self.fails(UNSUPPORTED, *given, model=LONG, words="another model")
        self.fails(UNSUPPORTED, *given, "--sessions", "3", words="certify with --sessions 3")
        self.fails(UNSUPPORTED, *given, "-c", "200", words="certify with -c 200")
        file.write_text(file.read_text().replace('"step_ms"', '"step_mz"', 1))
        self.fails(FORMAT, *given, words="changed or is damaged")
        file.unlink()
        self.fails(IO, *given, words="c.json")


# ---- TLS ---------------------------------------------------------------------------------------

def make_certificate(folder, name, *more, kind=("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")):
    """PEM files of a certificate for this machine, that vouches for itself, and of its key."""
    files = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", files[0],
                    "-keyout", files[1], *(more or ["-nodes"])], check=True, capture_output=True)
    return files


class SecretServer(serve.Server):
    """With TLS: as others see it."""

    def __init__(self, certificate, key, *arguments, **options):
        super().__init__("--tls-cert", certificate, "--tls-key", key, *arguments, **options)
        self.port = int(self.line.partition("https://")[2].partition(" ")[0].rpartition(":")[2])
        self.trust = certificate

    def tls(self):
        return ssl.create_default_context(cafile=self.trust)

    def client(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=serve.WAIT, context=self.tls())

    def wrapped(self, context=None):
        sock = super().connect()
        try:
            return (context or self.tls()).wrap_socket(sock, server_hostname="127.0.0.1")
        except BaseException:
            sock.close()
            raise


class Tls(Case):
    @classmethod
    def setUpClass(cls):
        cls.place = pathlib.Path(tempfile.mkdtemp(dir=serve.OUT))
        cls.files = make_certificate(cls.place, "one")
        cls.server = SecretServer(*cls.files, "--connections", "20")

    def start(self, *arguments, certificate=None, **options):
        if certificate is None:
            return super().start(*arguments, **options)
        server = SecretServer(*certificate, *arguments, **options)
        self.addCleanup(server.process.communicate)
        self.addCleanup(server.process.kill)
        return server

    def tearDown(self):
        self.still_works()

    def test_answers(self):
        self.assertRegex(self.server.line, r" at https://127\.0\.0\.1:\d+ ")
        right = serve.run("the fox", "-n", 20, "-t", 0)["text"]
        body = {"messages": user("the fox"), "max_tokens": 20, "temperature": 0}
        whole = self.server.answer(CHAT, **body)
        self.assertEqual(whole["choices"][0]["message"]["content"], right)
        self.assertEqual(serve.text_of(self.server.stream(CHAT, **body).all()), right)

    def test_long_ones(self):
        status, _, api = self.server.ask("/openapi.json")
        file = pathlib.Path(__file__).resolve().parent.parent / "src/server/openapi.json"
        self.assertEqual((status, api), (200, json.loads(file.read_text())))
        padded = json.dumps({"prompt": "x", "max_tokens": 1, "user": "y" * 200000}).encode()
        self.assertEqual(self.server.ask(TEXT, padded)[0], 200)
        self.is_error(self.server.ask(TEXT, padded * 2), 413)
        client = self.server.client()  # one handshake for several
        for _ in range(5):
            self.assertEqual(serve.ask(client, "/health")[0], 200)
            self.assertEqual(serve.ask(client, TEXT, {"prompt": "x", "max_tokens": 3})[0], 200)
        client.close()

    def test_websocket(self):
        right = serve.run("the fox", "--raw", "-n", 20, "-t", 0)["text"]
        client = ws_client.WebSocket(self.server.wrapped(), Host=f"127.0.0.1:{self.server.port}")
        for name in ("a", "b"):
            answer = client.ask(id=name, prompt="the fox", max_tokens=20, temperature=0)
            self.assertEqual(ws_client.text_of(answer), right)
        client.close()

    def test_versions(self):
        with self.server.wrapped() as sock:
            self.assertEqual(sock.version(), "TLSv1.3")
        old = self.server.tls()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.set_alpn_protocols(["h2", "http/1.1"])
        with self.server.wrapped(old) as sock:
            self.assertEqual((sock.version(), sock.selected_alpn_protocol()), ("TLSv1.2", "http/1.1"))
        older = self.server.tls()
        older.set_ciphers("ALL:@SECLEVEL=0")
        with contextlib.suppress(ValueError):
            older.minimum_version = ssl.TLSVersion.TLSv1
        older.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.server.wrapped(older)

    def test_who_speaks_none(self):
        """Plain text, nonsense, silence, and who stops in the middle of a handshake."""
        for data in (serve.head("GET", "/health"), b"x" * 5000, bytes(100), bytes.fromhex("1603010200"),
                     bytes.fromhex("16030100c8010000c40303") + bytes(range(200))):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=serve.WAIT) as sock:
                with contextlib.suppress(OSError):  # it may have hung up already
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                self.assertNotIn(b"HTTP/", serve.read_all(sock))
        with self.assertRaises(ssl.SSLError):
            self.server.wrapped(ssl.create_default_context())  # that does not trust it
        plain = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=serve.WAIT)
        with self.assertRaises((http.client.HTTPException, ConnectionError)):
            plain.request("GET", "/health")
            plain.getresponse()
        plain.close()

    def test_more_than_there_is_room_for(self):
        kept = [self.server.connect() for _ in range(22)]
        for sock in kept:
            sock.close()

        def is_free():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.server.ask("/health")[0] == 200
            return False
        self.soon(is_free)

    def test_wrong_files(self):
        certificate, key = self.files
        other = make_certificate(self.place, "other", kind=("rsa:2048",))
        locked = make_certificate(self.place, "locked", "-passout", "pass:x")
        text = self.place / "text"
        text.write_text("no certificate\n")
        for files, code, words in (
                ((self.place / "none", key), IO, "none' cannot be opened"),
                ((certificate, self.place / "none"), IO, "none' cannot be opened"),
                ((self.place, key), IO, "is no file"), ((certificate, self.place), IO, "is no file"),
                ((text, key), FORMAT, "has no certificate"), ((certificate, text), FORMAT, "no private key"),
                ((key, certificate), FORMAT, "has no certificate"),
                ((certificate, other[1]), FORMAT, "is not that of the certificate"),
                ((other[0], key), FORMAT, "is not that of the certificate"),
                (locked, FORMAT, "pass phrase")):
            self.fails(code, "--tls-cert", files[0], "--tls-key", files[1], words=words)
        self.fails(USAGE, "--tls-cert", certificate, words="go together")
        self.fails(USAGE, "--tls-key", key, words="go together")
        self.fails(USAGE, "--tls-cert", certificate, "--tls-key", key, "--unix", self.place / "s",
                   words="--unix")

    def test_keys_are_needed(self):
        certificate, key = self.files
        self.fails(USAGE, "--host", "0.0.0.0", "--tls-cert", certificate, "--tls-key", key,
                   words="--insecure")
        server = self.start("--host", "0.0.0.0", certificate=self.files, env=KEY)
        self.is_error(server.ask("/v1/models"), 401)
        self.assertEqual(server.ask("/v1/models", headers={"Authorization": "Bearer s3cret"})[0], 200)
        self.assertEqual(server.end(), (b"", b"", 0))

    def shown(self, server):
        """The certificate that a new connection gets."""
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with server.wrapped(trusting) as sock:
            return sock.getpeercert(True)

    def test_read_again(self):
        """A new certificate, of another kind, for new connections; those that are open go on."""
        place = self.folder()
        files = make_certificate(place, "now")
        server = self.start(certificate=files)
        old, client = self.shown(server), server.client()
        self.assertEqual(serve.ask(client, "/health")[0], 200)
        new = make_certificate(place, "new", kind=("rsa:2048",))
        for ours, other in zip(files, new):
            ours.write_bytes(other.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        self.assertEqual(server.process.stderr.readline(), b"edgellm: certificate read again\n")
        self.assertEqual(server.process.stderr.readline(), b"edgellm: tiny: the model is the same\n")
        self.assertNotEqual(self.shown(server), old)
        self.assertEqual(self.shown(server), ssl.PEM_cert_to_DER_cert(new[0].read_text()))
        self.assertEqual(serve.ask(client, "/health")[0], 200)
        files[1].write_text("nothing\n")
        server.process.send_signal(signal.SIGHUP)
        self.assertRegex(server.process.stderr.readline(),
                         rb"\Aedgellm: --tls-key .*; the certificate stays as it was\n\Z")
        self.assertEqual(server.process.stderr.readline(), b"edgellm: tiny: the model is the same\n")
        self.assertEqual(self.shown(server), ssl.PEM_cert_to_DER_cert(new[0].read_text()))
        client.close()
        self.assertEqual(server.end(), (b"", b"", 0))


if __name__ == "__main__":
    unittest.main(argv=serve.sys.argv[:1], verbosity=2)
