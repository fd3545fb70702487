#!/usr/bin/env python3
"""`edgellm chat` from outside, on a tiny model: through pipes, on a dumb terminal and on a real one
(a pseudo-terminal): editing, history, paste, Ctrl-C, commands, saved sessions, a full context.

    python3 tests/test_chat_cli.py EDGELLM MAKE_TINY OUT_DIR [editline]

editline: the program was built with line editing. Standard library only.
"""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
import zlib

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
EDITLINE = "editline" in sys.argv[4:]
USAGE, IO, FORMAT, UNSUPPORTED, MEMORY, CONTEXT = range(2, 8)
TM2, LONG, OTHER = (str(OUT / f"{name}.tm2.bin") for name in ("tiny", "long", "other"))
PROMPT = b">>> "


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    for path, kind, options in ((TM2, [], []), (LONG, ["long"], []), (OTHER, [], ["--bits", "8", "--calibrate", "none"])):
        gguf = path.replace(".tm2.bin", ".gguf")
        subprocess.run([MAKE_TINY, gguf, *kind], check=True, timeout=60)
        subprocess.run([EDGELLM, "quantize", gguf, "-o", path, *options], check=True, timeout=60,
                       capture_output=True)


class Case(unittest.TestCase):
    def temporary(self):
        folder = tempfile.mkdtemp(dir=OUT)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return pathlib.Path(folder)

    def chat(self, text, *options, code=0, model=TM2):
        """What a pipe gets: (standard output, standard error) as bytes."""
        data = text if isinstance(text, bytes) else text.encode()
        done = subprocess.run([EDGELLM, "chat", model, "-s", "7", "-n", "8", *map(str, options)],
                              input=data, capture_output=True, timeout=120)
        self.assertEqual(done.returncode, code, (text[:200], done.stdout[-300:], done.stderr[-300:]))
        return done.stdout, done.stderr

    def answers(self, text, *options, **more):
        """The JSON objects of the answers, without their times and what the board tells."""
        objects = [json.loads(line) for line in
                   self.chat(text, "--json", "--hash", *options, **more)[0].splitlines()]
        for o in objects:
            self.assertEqual("conditions" in o, "timings" in o)
            o.pop("timings", None)
            o.pop("conditions", None)
        return objects


def fields(path):
    """A session file, read by docs/SESSION.md: tokens and note."""
    data = pathlib.Path(path).read_bytes()
    position = struct.unpack_from("<I", data, 56)[0]
    at, parts = 128, []
    for size in struct.unpack_from("<5Q", data, 64):
        at = (at + 63) // 64 * 64
        parts.append(data[at:at + size])
        at += size
    assert at == len(data) and zlib.crc32(data[128:]) == struct.unpack_from("<I", data, 24)[0]
    tokens = list(struct.unpack(f"<{position}I", parts[1]))
    return tokens, json.loads(parts[4]) if parts[4] else None


def with_note(path, note):
    """The same session file with another note."""
    data = bytearray(pathlib.Path(path).read_bytes())
    size = struct.unpack_from("<Q", data, 96)[0]
    data[len(data) - size:] = note
    struct.pack_into("<Q", data, 96, len(note))
    struct.pack_into("<Q", data, 16, len(data))
    struct.pack_into("<I", data, 24, zlib.crc32(data[128:]))
    struct.pack_into("<I", data, 124, zlib.crc32(data[:124]))
    return bytes(data)


class Pipes(Case):
    def test_each_line_is_a_message_and_standard_output_holds_only_answers(self):
        out, err = self.chat("the quick\nbrown fox\n\n   \nlast line without end")
        objects = self.answers("the quick\nbrown fox\nlast line without end\n")
        self.assertEqual(len(objects), 3)
        text = "".join(o["text"] + "\n" for o in objects)
        self.assertEqual(out.decode(errors="replace"), text)
        self.assertNotIn(b"\x1b", out + err)
        self.assertNotIn(PROMPT, out + err)
        line = r"\[\d+ tokens?(, [\d.]+ tok/s)?(, first after \d+ ms)? \| context \d+ of 256[^]]*\]\n"
        self.assertRegex(err.decode(), rf"\A({line}){{3}}\Z")
        self.assertEqual(self.chat("the quick\n", "-q")[1], b"")

    def test_line_ends_of_other_systems(self):
        self.assertEqual(self.answers("the quick\r\nfox\r\n"), self.answers("the quick\nfox\n"))

    def test_json(self):
        objects = self.answers("the quick\nfox\n")
        for o in objects:
            self.assertEqual(set(o), {"text", "tokens", "prompt_tokens", "finish", "seed", "hash",
                                      "dropped", "used", "context", "certificate", "prompt_cache"})
            self.assertIsNone(o["certificate"])
            self.assertIsNone(o["prompt_cache"])
            self.assertIn(o["finish"], ("end", "length"))
            self.assertEqual((o["seed"], o["context"], o["dropped"]), (7, 256, 0))
        self.assertLess(objects[1]["prompt_tokens"], objects[0]["used"])
        self.assertEqual(json.loads(self.chat("fox\n", "--json")[0])["timings"]["token_ms"]["samples"]
                         + 1, 8)

    def test_answers_keep_to_a_schema_or_a_grammar(self):
        folder = self.temporary()
        flag, long, words = folder / "flag.json", folder / "long.json", folder / "words.gbnf"
        flag.write_text('{"type": "boolean"}')
        long.write_text('{"const": "more than eight tokens can hold"}')
        words.write_text('root ::= "yes" | "no"')
        objects = self.answers("the quick\nfox\n", "--json-schema", flag, "--save", folder / "talk.els")
        objects += self.answers("dog\nfox\n", "--json-schema", flag, "--load", folder / "talk.els")
        self.assertEqual([o["finish"] for o in objects], ["end"] * 4)
        self.assertTrue({o["text"] for o in objects} <= {"true", "false"})
        self.assertIn(self.chat("fox\n", "--grammar", words)[0], (b"yes\n", b"no\n"))
        for o in self.answers("the\nfox\n", "--json-schema", long, code=USAGE):
            self.assertIn("shortest answer", o["error"]["message"])
        for wrong in (["--ignore-eos"], ["--grammar", words]):
            self.assertIn(b"leave one out" if len(wrong) == 1 else b"one thing", self.chat(
                "fox\n", "--json-schema", flag, *wrong, code=USAGE)[1])

    def test_an_answer_comes_before_the_next_question_is_there(self):
        process = subprocess.Popen([EDGELLM, "chat", TM2, "-q"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        for _ in range(2):
            process.stdin.write(b"fox\n")
            process.stdin.flush()
            self.assertTrue(select.select([process.stdout], [], [], 60)[0])
            os.read(process.stdout.fileno(), 65536)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)

    def test_the_way_of_computing_changes_nothing(self):
        text = "the quick\nbrown fox\njumps\n"
        expected = self.answers(text)
        for options in (["-j", "1", "-b", "1"], ["--kernel", "scalar", "-b", "3"], ["-b", "64"]):
            self.assertEqual(self.answers(text, *options), expected)
        self.assertNotEqual(self.answers(text, "-s", "8"), expected)

    def test_the_first_answer_is_that_of_run(self):
        done = subprocess.run([EDGELLM, "run", TM2, "-s", "7", "-n", "8", "-p", "the quick", "--json",
                               "--hash"], capture_output=True, timeout=60)
        once, first = json.loads(done.stdout), self.answers("the quick\n")[0]
        for key in ("text", "tokens", "prompt_tokens", "finish", "hash"):
            self.assertEqual(first[key], once[key])

    def test_quoted_lines_are_one_message(self):
        folder = self.temporary()
        for number, (text, message) in enumerate((
                ('"""one\ntwo"""\n', "one\ntwo"), ('"""\none\n\n two\n"""\n', "one\n\n two"),
                ('"""one"""\n', "one"), ('"""/help"""\n', "/help"), ('"""\n/reset\n"""', "/reset"),
                ("//help\n", "/help"), ('say """ now\n', 'say """ now'), ('"""a" """\n', 'a" '))):
            path = folder / f"{number}.els"
            self.assertEqual(len(self.answers(text, "--save", path)), 1, text)
            self.assertEqual([e["user"] for e in fields(path)[1]["exchanges"]], [message])
        self.assertIn(b"has no end", self.chat('"""one\ntwo\n', code=USAGE)[1])

    def test_a_nul_byte_is_refused_and_the_chat_goes_on(self):
        out, err = self.chat(b"a\0b\nfox\n", "--json", code=USAGE)
        first, second = map(json.loads, out.splitlines())
        self.assertEqual(first["error"]["status"], "usage")
        self.assertIn(b"NUL", err)
        self.assertEqual(second["tokens"], self.answers("fox\n")[0]["tokens"])

    def test_any_bytes_are_a_message(self):
        self.assertEqual(len(self.answers(b"\xff\xfe \xc3\n\xe2\x82\n")), 2)

    def test_a_model_without_a_template(self):
        data = bytearray(pathlib.Path(TM2.replace(".tm2.bin", ".gguf")).read_bytes())
        path = self.temporary() / "plain.gguf"
        path.write_bytes(bytes(data).replace(b"chat_template", b"chat_t_mplate"))
        plain = str(path).replace(".gguf", ".tm2.bin")
        subprocess.run([EDGELLM, "quantize", path, "-o", plain], check=True, capture_output=True)
        self.assertIn(b"--raw", self.chat("fox\n", model=plain, code=UNSUPPORTED)[1])

    def test_a_full_disk_ends_it(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([EDGELLM, "chat", TM2, "-q"], input=b"fox\nfox\n", stdout=full,
                                  stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, IO)
        self.assertRegex(done.stderr.decode(), r"\Aedgellm: cannot write to standard output[^\n]+\n\Z")


class Commands(Case):
    def test_errors_are_lines_and_the_chat_goes_on(self):
        cases = {"/foo": "no command '/foo'", "/": "no command '/'", "/save": "/save needs a FILE",
                 "/load  ": "/load needs a FILE", "/reset now": "takes nothing",
                 "/quit x": "takes nothing", "/params nothing 3": "no parameter 'nothing'",
                 "/params nothing": "no parameter 'nothing'", "/params top-k x": "bad number 'x'",
                 "/params temperature 1000": "from 0 to 100", "/params top-k 1 2": "bad number '1 2'",
                 "/params top-p 0": "for --top-p", "/params logit-bias 5": "bad list '5'", "/load /nowhere/x": "cannot open",
                 "/save /nowhere/x": "/nowhere/x", f"/load {TM2}": "not a session file"}
        for line, says in cases.items():
            out, err = self.chat(f"{line}\nfox\n", "-q", code=IO if "nowhere" in line else
                                 FORMAT if line.endswith(".bin") else USAGE)
            self.assertRegex(err.decode(), r"\Aedgellm: [^\n]+\n\Z")
            self.assertIn(says, err.decode())
            self.assertEqual(out.decode(errors="replace"), self.answers("fox\n")[0]["text"] + "\n")

    def test_help_names_them_all(self):
        out, err = self.chat("/help\n")
        self.assertEqual(out, b"")
        for name in ("help", "reset", "system", "save", "load", "params", "quit"):
            self.assertRegex(err.decode(), rf"(?m)^  /{name} ")
        self.assertIn("forgotten until there is room", err.decode())

    def test_reset_starts_anew(self):
        first, _, again = self.answers("fox\ndog\n/reset\nfox\n")
        self.assertEqual(first, again)

    def test_system(self):
        folder = self.temporary()
        text = f"hello\n/system Be brief.\n/system\n/save {folder}/a\nfox\n"
        objects = self.answers(text)
        self.assertEqual(objects[1:], self.answers("fox\n", "--system", "Be brief."))
        self.assertNotEqual(objects[1], self.answers("fox\n")[0])
        self.assertIn(b"Be brief.", self.chat(text)[1])
        self.assertEqual(fields(folder / "a")[1]["system"], "Be brief.")
        self.assertIn(b"own", self.chat("/system\n")[1])

    def test_params(self):
        listing = self.chat("/params\n")[1].decode()
        help_text = subprocess.run([EDGELLM, "run", "--help"], capture_output=True, text=True).stdout
        for name in ("tokens", "temperature", "top-k", "top-p", "min-p", "repeat-penalty", "seed"):
            self.assertRegex(listing, rf"(?m)^  {name} +\S+ ")
            self.assertIn(f"--{name}", help_text)
        self.assertRegex(listing, r"(?m)^  top-p +0.95 ")
        self.assertRegex(listing, r"(?m)^  seed +7 ")
        self.assertRegex(self.chat("/params seed\n", "-s", "random")[1].decode(), r"seed +\d+ ")
        self.assertEqual(self.answers("/params temperature 0\n/params tokens 3\nfox\n"),
                         [o | {"seed": 7} for o in self.answers("fox\n", "-t", "0", "-n", "3")])
        self.assertEqual(self.answers("/params seed 9\nfox\n"), self.answers("fox\n", "-s", "9"))

    def test_params_that_are_texts(self):
        path = self.temporary() / "talk.els"
        self.assertRegex(self.chat("/params logit-bias\n")[1].decode(), r'logit-bias +"" ')
        banned = self.answers("/params logit-bias 5=-inf,7=40\nfox\n", "--save", path)
        self.assertEqual(banned, self.answers("fox\n", "--logit-bias", "5=-inf,7=40"))
        self.assertEqual(fields(path)[1]["parameters"]["logit-bias"], "5=-inf,7=40")
        self.assertIn(b" 5=-inf,7=40 ", self.chat(f"/load {path}\n/params logit-bias\n")[1])
        self.assertEqual(self.answers('/params logit-bias 7=40\n/params logit-bias ""\nfox\n'),
                         self.answers("fox\n"))

    def test_quit(self):
        self.assertEqual(len(self.answers("fox\n/quit\nfox\n")), 1)


class Saved(Case):
    MORE = "And then?\n  and the dog\nwhat\n"

    def test_a_saved_conversation_goes_on_with_the_same_bits(self):
        path = self.temporary() / "talk.els"
        for options in ([], ["--exact"]):
            whole = self.answers("the quick\nbrown\n" + self.MORE, *options)
            self.answers("the quick\nbrown\n", "--save", path, *options)
            for way in ([], ["-j", "1", "-b", "1"], ["--kernel", "scalar", "-c", "250"],
                        ["-s", "1", "-n", "99", "-t", "0"]):
                rest = self.answers(self.MORE, "--load", path, *options, *way)
                for o in rest:
                    o["context"] = 256
                self.assertEqual(rest, whole[2:])
            self.assertEqual(self.answers(f"other\n/load {path}\n" + self.MORE, *options)[1:],
                             whole[2:])

    def test_parameters_and_messages_are_kept(self):
        path = self.temporary() / "talk.els"
        self.chat(f"/system Short.\n/params top-k 3\nfox \u00e9\n/save {path}\n")
        tokens, note = fields(path)
        self.assertEqual(note["parameters"]["top-k"], "3")
        self.assertEqual(note["exchanges"][0]["user"], "fox \u00e9")
        self.assertRegex(self.chat(f"/load {path}\n/params\n")[1].decode(), r"(?m)^  top-k +3 ")
        self.assertIn(b"Short.", self.chat(f"/load {path}\n/system\n")[1])

    def test_load_and_save_again(self):
        path = self.temporary() / "talk.els"
        for line in ("one\n", "two\n", "three\n"):
            load = ["--load", path] if path.exists() else []
            self.answers(line, *load, "--save", path)
        users = [e["user"] for e in fields(path)[1]["exchanges"]]
        self.assertEqual(users, ["one", "two", "three"])
        all_at_once = self.temporary() / "all.els"
        self.answers("one\ntwo\nthree\n", "--save", all_at_once)
        self.assertEqual(path.read_bytes(), all_at_once.read_bytes())

    def test_an_empty_conversation(self):
        path = self.temporary() / "empty.els"
        self.chat(f"/save {path}\n")
        self.assertEqual(self.answers(f"/load {path}\nfox\n"), self.answers("fox\n"))

    def test_what_is_no_session_file_is_not_overwritten(self):
        folder = self.temporary()
        letter = folder / "letter.txt"
        letter.write_text("Dear Bob")
        self.assertIn(b"not overwritten", self.chat(f"fox\n/save {letter}\n", code=USAGE)[1])
        self.assertIn(b"not overwritten", self.chat("fox\n", "--save", letter, code=USAGE)[1])
        self.assertEqual(letter.read_text(), "Dear Bob")
        self.assertEqual(os.listdir(folder), ["letter.txt"])

    def test_where_nothing_can_be_saved_is_told_before_the_conversation(self):
        folder = self.temporary()
        for name in ("nowhere", "loop"):
            (folder / name).symlink_to(name if name == "loop" else "none")
        (folder / "file").write_text("x")
        os.mkfifo(folder / "fifo")
        for name, code in (("none/x.els", IO), ("file/x.els", IO), ("x" * 300, IO), ("nowhere", IO),
                           ("loop", IO), ("fifo", IO), ("file", USAGE), (".", IO)):
            out, err = self.chat("fox\n", "--save", folder / name, code=code)
            self.assertEqual(out, b"", name)
            self.assertRegex(err.decode(), r"\Aedgellm: [^\n]+\n\Z")
        self.assertEqual(self.chat("fox\n", "--save", "", code=IO)[0], b"")
        self.assertEqual(sorted(os.listdir(folder)), ["fifo", "file", "loop", "nowhere"])
        (folder / "true.els").symlink_to("target.els")
        self.chat("fox\n", "--save", folder / "target.els")
        self.chat("dog\n", "--save", folder / "true.els")
        self.assertEqual(fields(folder / "target.els")[1]["exchanges"][0]["user"], "dog")

    def test_a_wrong_file_leaves_the_conversation_alone(self):
        folder = self.temporary()
        path, damaged, other = folder / "talk.els", folder / "damaged.els", folder / "other.els"
        self.chat(f"the quick\nbrown\nfox\n/save {path}\n")
        self.chat(f"the quick\n/save {other}\n", model=OTHER)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        damaged.write_bytes(data)
        for file, code, says, options in ((damaged, FORMAT, "checksum", []),
                                          (other, USAGE, "another model file", []),
                                          (path, CONTEXT, "context", ["-c", "50"])):
            out, err = self.chat(f"one\n/load {file}\ntwo\n", "--json", "--hash", *options, code=code)
            self.assertIn(says, err.decode())
            objects = [json.loads(line) for line in out.splitlines()]
            self.assertEqual([o["hash"] for o in objects], 
                             [o["hash"] for o in self.answers("one\ntwo\n", *options)])
            self.assertIn(says, self.chat("one\n", "--load", file, *options, code=code)[1].decode())

    def test_notes_are_not_trusted(self):
        folder = self.temporary()
        path, bad = folder / "talk.els", folder / "bad.els"
        self.chat(f"the quick\nbrown\n/save {path}\n")
        note = fields(path)[1]
        first, second = note["exchanges"]
        lies = [b"", b"{", b"[]", b"\xff", json.dumps(note | {"format": "x"}),
                note | {"version": 2}, note | {"position": note["position"] + 1},
                note | {"position": -1}, note | {"position": 1 << 62}, note | {"ahead": [300]},
                note | {"ahead": [-1]}, note | {"ahead": ["x"]}, note | {"ahead": [1] * 300},
                note | {"opening": -5}, note | {"opening": 1 << 60}, note | {"exchanges": []},
                note | {"exchanges": [second, first]}, note | {"exchanges": [first, first]},
                note | {"exchanges": [first | {"start": 1 << 40}]}, note | {"exchanges": 3},
                note | {"exchanges": [first | {"user": 3}]}, note | {"parameters": {"x": "1"}},
                note | {"parameters": {"top-k": 3}}, note | {"parameters": {"top-k": "-3"}}]
        for lie in lies:
            text = lie if isinstance(lie, bytes) else lie.encode() if isinstance(lie, str) else \
                json.dumps(lie).encode()
            bad.write_bytes(with_note(path, text))
            done = subprocess.run([EDGELLM, "chat", TM2, "-q"], input=f"/load {bad}\nfox\n".encode(),
                                  capture_output=True, timeout=60)
            self.assertIn(done.returncode, (USAGE, FORMAT, CONTEXT), (lie, done.stderr))
            self.assertRegex(done.stderr.decode(), r"\Aedgellm: [^\n]+\n\Z")
            self.assertNotEqual(done.stdout, b"")
        bad.write_bytes(with_note(path, json.dumps(note).encode()))
        self.assertEqual(self.answers(f"/load {bad}\nfox\n"), self.answers(f"/load {path}\nfox\n"))


    def test_where_the_system_message_ends_is_not_trusted(self):
        """All exchanges are dropped: the cache may keep no token that is not the new message's."""
        folder = self.temporary()
        path, bad, saved = (folder / name for name in ("a.els", "bad.els", "saved.els"))
        self.chat("fox\nover the lazy dog\n", "--save", path)
        note, long = fields(path)[1], "x " * 60 + "\n"
        first, second = note["exchanges"]
        true = self.answers(long, "--load", path, "-c", 160)[0]
        self.assertEqual(true["dropped"], 2)
        for opening in (0, note["opening"] + 2, second["start"] - 1, note["position"] - 1):
            lie = [first | {"start": opening}]
            bad.write_bytes(with_note(path, json.dumps(
                note | {"opening": opening, "exchanges": lie}).encode()))
            answer = self.answers(long, "--load", bad, "--save", saved, "-c", 160)[0]
            self.assertEqual((answer["dropped"], answer["hash"]), (1, true["hash"]), opening)
            self.chat("", "--load", saved)


class FullContext(Case):
    def test_the_oldest_exchanges_are_forgotten_and_a_line_says_so(self):
        folder = self.temporary()
        lines = [f"question number {i}" for i in range(12)]
        text = "".join(f"{line}\n/save {folder}/{i}.els\n" for i, line in enumerate(lines))
        out, err = self.chat(text, "--json", "--ignore-eos", "--system", "Be brief.")
        objects = [json.loads(line) for line in out.splitlines()]
        drops = [i for i, o in enumerate(objects) if o["dropped"]]
        self.assertGreater(len(drops), 1)
        self.assertEqual(err.decode().count("[the context is full: the oldest "), len(drops))
        for i, o in enumerate(objects):
            self.assertEqual(len(o["tokens"]), 8) # there was room for all of each answer
            self.assertLessEqual(o["used"], 256)
            tokens, note = fields(folder / f"{i}.els")
            users = [e["user"] for e in note["exchanges"]]
            self.assertEqual(users, lines[i + 1 - len(users):i + 1])
            if i not in drops:
                continue
            before, old = fields(folder / f"{i - 1}.els")
            before, opening = before + old["ahead"], note["opening"]
            kept = old["exchanges"][o["dropped"]:]
            self.assertEqual(tokens[:opening], before[:opening])
            tail = before[kept[0]["start"]:] if kept else []
            self.assertEqual(tokens[opening:opening + len(tail)], tail)
            self.assertLess(o["used"], 256 - 8) # some room is left for the next one
        self.assertLess(len(drops), 7)

    def test_what_follows_is_what_a_fresh_computation_gives(self):
        """A conversation that dropped exchanges goes on like one with the same tokens that has
        computed none of them yet: an empty session, whose note says that all lie ahead."""
        folder = self.temporary()
        path, empty, fresh = folder / "talk.els", folder / "empty.els", folder / "fresh.els"
        text = "".join(f"question number {i}\n" for i in range(7))
        objects = self.answers(text, "--save", path, "-t", "0", "-j", "1")
        self.assertTrue(objects[-1]["dropped"] or objects[-2]["dropped"])
        self.chat(f"/params temperature 0\n/save {empty}\n")
        tokens, note = fields(path)
        fresh.write_bytes(with_note(empty, json.dumps(
            note | {"position": 0, "ahead": tokens + note["ahead"]}).encode()))
        cached, anew = (self.answers("fox\ndog\n", "--load", f) for f in (path, fresh))
        self.assertGreater(anew[0].pop("prompt_tokens"), cached[0].pop("prompt_tokens") + 50)
        self.assertEqual(anew, cached)

    def test_a_message_that_cannot_fit_is_refused_and_nothing_is_lost(self):
        long = "x" * 400
        out, err = self.chat(f"fox\n{long}\ndog\n", "--json", "--hash", code=CONTEXT)
        first, error, last = map(json.loads, out.splitlines())
        self.assertEqual(error["error"]["status"], "context")
        self.assertIn("shorten the message", err.decode())
        self.assertEqual([first["hash"], last["hash"]],
                         [o["hash"] for o in self.answers("fox\ndog\n")])

    def test_a_message_that_fits_only_alone(self):
        objects = self.answers("fox\ndog\n" + "x" * 230 + "\n")
        self.assertEqual([o["dropped"] for o in objects], [0, 0, 2])

    def test_an_answer_that_is_longer_than_the_context(self):
        """With --shift: the system message stays, and the talk goes on behind what is left."""
        text = "one\nthe quick brown fox\nthree\n"
        options = ("-c", 64, "-n", 60, "--ignore-eos", "--system", "Be brief.")
        full = self.answers(text, *options)
        self.assertEqual({o["finish"] for o in full}, {"context"})
        folder = self.temporary()
        got = self.answers(text, *options, "--shift", "--save", folder / "talk.els")
        self.assertEqual({(o["finish"], len(o["tokens"])) for o in got}, {("length", 60)})
        self.assertEqual(got[0]["tokens"][:len(full[0]["tokens"])], full[0]["tokens"])
        self.assertTrue(all(o["shifts"] > 0 and o["used"] <= 65 for o in got))
        for more in (("-j", 1, "-b", 1), ("-b", 3)):
            self.assertEqual(self.answers(text, *options, "--shift", *more), got)
        tokens, note = fields(folder / "talk.els")
        self.assertEqual(tokens[:note["opening"]],
                         fields(self.saved("x", folder / "x.els", *options[4:]))[0][:note["opening"]])
        self.assertEqual(len(note["exchanges"]), 1)
        again = self.answers("four\n", *options, "--shift", "--load", folder / "talk.els")
        self.assertEqual([o["finish"] for o in again], ["length"])

    def saved(self, text, path, *options):
        self.chat(text, "--save", path, "-q", *options)
        return path

    def test_an_answer_that_fills_the_context(self):
        first, second = self.answers("fox\ndog\n", "-n", "4000", "--ignore-eos")
        self.assertEqual((first["finish"], first["used"]), ("context", 257))
        self.assertEqual(second["dropped"], 1)


class Terminal:
    """The program on a pseudo-terminal that is its controlling one."""

    def __init__(self, *options, model=TM2, term="xterm", env=None, stdout=None):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self.modes = termios.tcgetattr(self.slave)
        self.env = os.environ | {"LC_ALL": "C.UTF-8", "HOME": str(OUT)} | (env or {})
        self.env.pop("TERM", None)
        if term is not None:
            self.env["TERM"] = term

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen([EDGELLM, "chat", model, "-s", "7", "-n", "8", *options],
                                        stdin=self.slave, stdout=stdout or self.slave,
                                        stderr=self.slave, env=self.env, preexec_fn=take_terminal)
        self.seen = b""

    def type(self, text):
        os.write(self.master, text if isinstance(text, bytes) else text.encode())

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.seen += os.read(self.master, 65536)

    def wait(self, part, seconds=60):
        """Reads until `part` was seen; forgets everything up to its end and returns it."""
        part = part if isinstance(part, bytes) else part.encode()
        end = time.monotonic() + seconds
        while part not in self.seen:
            if time.monotonic() > end:
                raise AssertionError(f"{part} did not come: {self.seen[-500:]}")
            self.read(0.1)
        at = self.seen.index(part) + len(part)
        before, self.seen = self.seen[:at], self.seen[at:]
        return before

    def wait_for_answer(self):
        """After the return key: until something of the answer is there."""
        self.wait("\r\n")
        end = time.monotonic() + 60
        marks = rb"\x1b\[\?2004l|\x1b[\[?0-9]*\Z"  # the end of editing, perhaps only half of it yet
        while not re.sub(marks, b"", self.seen) and time.monotonic() < end:
            self.read(0.1)

    def end(self):
        """Waits for the end; returns the exit code."""
        end = time.monotonic() + 60
        while self.process.poll() is None:
            self.read(0.05)
            if time.monotonic() > end:
                raise AssertionError(f"it does not end: {self.seen[-500:]}")
        self.read(0)
        return self.process.returncode

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class OnATerminal(Case):
    def start(self, *options, **more):
        state = more.pop("state", None) or self.temporary()
        terminal = Terminal(*options, env={"XDG_STATE_HOME": str(state), **more.pop("env", {})},
                            **more)
        self.addCleanup(terminal.close)
        terminal.wait(PROMPT)
        return terminal

    def users(self, terminal, *keys):
        """Types keys, each of which sends a message; what the messages were."""
        path = self.temporary() / "talk.els"
        for key in keys:
            terminal.type(key)
            terminal.wait("| context")
            terminal.wait(PROMPT)
        terminal.type(f"/save {path}\r")
        terminal.wait(PROMPT)
        return [e["user"] for e in fields(path)[1]["exchanges"]]

    def leave(self, terminal, code=0):
        terminal.type(b"\x04")
        self.assertEqual(terminal.end(), code)
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.modes)


@unittest.skipUnless(EDITLINE, "built without line editing")
class Editing(OnATerminal):
    def test_keys(self):
        terminal = self.start()
        self.assertEqual(self.users(terminal, "fox \u00e9\x7fo\u00fc!\r", "dg\x1b[Do\r", "b\x01a\x05c\r"),
                         ["fox o\u00fc!", "dog", "abc"])
        self.leave(terminal)

    def test_history(self):
        state = self.temporary()
        terminal = self.start(state=state)
        self.assertEqual(self.users(terminal, "one\r", "two\r", "\x1b[A\x1b[A\r"),
                         ["one", "two", "one"])
        self.leave(terminal)
        path = state / "edgellm" / "chat_history"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(os.listdir(path.parent), ["chat_history"])
        terminal = self.start("--no-history", state=state)
        self.assertEqual(self.users(terminal, "\x1b[Athree\r"), ["three"])
        self.leave(terminal)
        terminal = self.start(state=state)
        self.assertEqual(self.users(terminal, "\x1b[A\x1b[A\x1b[A\r"), ["two"])
        self.leave(terminal)

    def test_history_of_several_lines(self):
        state = self.temporary()
        terminal = self.start(state=state)
        terminal.type('"""\r')
        terminal.wait("... ")
        terminal.type("a\r")
        terminal.wait("... ")
        self.assertEqual(self.users(terminal, 'b"""\r'), ["a\nb"])
        self.leave(terminal)
        terminal = self.start(state=state)
        self.assertEqual(self.users(terminal, "\x1b[A\x1b[A\r"), ["a\nb"])
        self.leave(terminal)

    def test_no_history_where_there_is_no_place_for_it(self):
        terminal = self.start(env={"XDG_STATE_HOME": "/proc/nowhere"})
        self.assertEqual(self.users(terminal, "one\r", "\x1b[A\r"), ["one", "one"])
        self.leave(terminal)

    def test_a_file_of_somebody_else_is_no_history(self):
        state = self.temporary()
        (state / "edgellm").mkdir()
        (state / "edgellm" / "chat_history").write_text("my diary\n")
        terminal = self.start(state=state)
        self.users(terminal, "one\r")
        self.leave(terminal)
        self.assertEqual((state / "edgellm" / "chat_history").read_text(), "my diary\n")

    def test_a_paste_of_several_lines_is_one_message(self):
        paste = "\x1b[200~one\r  two \u00e9\nthree\r\x1b[201~"
        terminal = self.start()
        self.assertEqual(self.users(terminal, f"{paste}!\r", "x\x1b[D\x1b[200~//a\rb\x1b[201~\r",
                                    "\x1b[200~single\x1b[201~\r"),
                         ["one\n  two \u00e9\nthree!", "//a\nbx", "single"])
        self.leave(terminal)

    def test_a_paste_in_keys_of_vi(self):
        home = self.temporary()
        (home / ".editrc").write_text("bind -v\n")
        terminal = self.start(env={"HOME": str(home), "EDITRC": str(home / ".editrc")})
        self.assertEqual(self.users(terminal, "foxes\x1b0xi\r", "a\x1b[200~one\rtwo\x1b[201~b\r",
                                    "\x1b[200~x\ry\x1b[201~z\r"),
                         ["oxes", "aone\ntwob", "x\nyz"])
        self.leave(terminal)

    def test_the_marks_of_a_paste_are_off_while_nothing_is_edited(self):
        terminal = self.start()
        terminal.type("fox\r")
        before = terminal.wait("| context")
        self.assertEqual(before.count(b"\x1b[?2004l"), 1)
        self.assertNotIn(b"\x1b[?2004h", before)
        terminal.wait(PROMPT)
        terminal.type(b"\x04")
        self.assertEqual(terminal.end(), 0)
        self.assertIn(b"\x1b[?2004l", terminal.seen)
        self.assertNotIn(b"\x1b[?2004h", terminal.seen[terminal.seen.rindex(b"\x1b[?2004l"):])

    def test_ctrl_z(self):
        terminal = self.start()
        terminal.type("fo")
        terminal.wait("fo")
        terminal.type(b"\x1a")
        self.assertTrue(os.WIFSTOPPED(os.waitpid(terminal.process.pid, os.WUNTRACED)[1]))
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.modes)
        terminal.wait("\x1b[?2004l")
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait("\x1b[?2004h")
        self.assertEqual(self.users(terminal, "x\r"), ["fox"])
        self.leave(terminal)

    def test_ctrl_c_clears_the_line(self):
        terminal = self.start()
        terminal.type("rubbish")
        terminal.wait("rubbish")
        terminal.type(b"\x03")
        self.assertNotIn(b"again leaves", terminal.wait(PROMPT))
        self.assertEqual(self.users(terminal, "fox\r"), ["fox"])
        self.leave(terminal)

    def test_ctrl_c_in_a_paste(self):
        terminal = self.start()
        terminal.type("\x1b[200~half of a")
        time.sleep(0.3)
        terminal.type(b"\x03")
        terminal.wait(PROMPT)
        self.assertEqual(self.users(terminal, "fox\r"), ["fox"])
        self.leave(terminal)

    def test_another_size(self):
        terminal = self.start()
        terminal.type("a" * 70)
        terminal.wait("a" * 70)
        fcntl.ioctl(terminal.slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 40, 0, 0))
        time.sleep(0.2)
        self.assertEqual(self.users(terminal, "b\r"), ["a" * 70 + "b"])
        self.leave(terminal)


class Interrupts(OnATerminal):
    """For both kinds of terminal."""
    TERMS = ("xterm", "dumb") if EDITLINE else ("dumb",)

    def test_ctrl_c_stops_the_answer_only(self):
        for term in self.TERMS:
            path = self.temporary() / "talk.els"
            terminal = self.start("-n", "90000", "-c", "95000", "--ignore-eos", "--save", str(path),
                                  model=LONG, term=term)
            for line in ("fox\r", "dog\r"):
                terminal.type(line)
                terminal.wait_for_answer()
                terminal.type(b"\x03\x03\x03")
                terminal.wait("| stopped]")
                terminal.wait(PROMPT)
            terminal.type("/params tokens 5\r")
            terminal.wait(PROMPT)
            self.assertEqual(self.users(terminal, "cat\r"), ["fox", "dog", "cat"])
            self.leave(terminal)
            tokens, note = fields(path)
            self.assertNotEqual(note["exchanges"][0]["answer"], "")
            for i in (1, 2): # what was broken off was closed: <|im_end|>, line end, <|im_start|>
                self.assertEqual(tokens[note["exchanges"][i]["start"] - 2], 2)
                self.assertEqual(tokens[note["exchanges"][i]["start"]], 1)

    def test_ctrl_c_before_the_answer_takes_the_question_back(self):
        terminal = self.start("-c", "90000", "-j", "1", "--exact", "--kernel", "scalar", model=LONG,
                              term="dumb")
        terminal.type('"""\n')
        for _ in range(12):
            terminal.wait("... ")
            terminal.type("x" * 3000 + "\n")
        terminal.wait("... ")
        idle = terminal.cpu_seconds()
        terminal.type('"""\n')
        while terminal.cpu_seconds() < idle + 0.3:  # at the prompt, which takes minutes
            terminal.read(0.01)
        terminal.type(b"\x03")
        terminal.wait("the question is taken back]")
        terminal.wait(PROMPT)
        self.assertEqual(self.users(terminal, "fox\n"), ["fox"])
        self.leave(terminal)

    def test_twice_at_an_empty_prompt_leaves(self):
        for term in self.TERMS:
            terminal = self.start(term=term)
            terminal.type(b"\x03")
            terminal.wait("Ctrl-C again leaves")
            terminal.wait(PROMPT)
            self.assertEqual(self.users(terminal, "fox\r"), ["fox"])
            terminal.type(b"\x03")
            terminal.wait(PROMPT)
            terminal.type(b"\x03")
            self.assertEqual(terminal.end(), 130)
            self.assertEqual(termios.tcgetattr(terminal.slave), terminal.modes)

    def test_other_signals_restore_the_terminal_and_save(self):
        for term in self.TERMS:
            for number in (signal.SIGTERM, signal.SIGHUP):
                path = self.temporary() / "talk.els"
                terminal = self.start("--save", str(path), term=term)
                terminal.type("fox\r")
                terminal.wait("| context")
                terminal.wait(PROMPT)
                terminal.type("half a li")
                terminal.wait("half a li")
                terminal.process.send_signal(number)
                self.assertEqual(terminal.end(), 128 + number)
                self.assertEqual(termios.tcgetattr(terminal.slave), terminal.modes)
                if term != "dumb":
                    self.assertIn(b"\x1b[?2004l", terminal.seen)
                self.assertEqual([e["user"] for e in fields(path)[1]["exchanges"]], ["fox"])

    def test_a_signal_during_an_answer(self):
        path = self.temporary() / "talk.els"
        terminal = self.start("-n", "90000", "-c", "95000", "--ignore-eos", "--save", str(path),
                              model=LONG)
        terminal.type("fox\r")
        terminal.wait_for_answer()
        terminal.process.send_signal(signal.SIGTERM)
        self.assertEqual(terminal.end(), 143)
        self.assertNotEqual(fields(path)[1]["exchanges"][0]["answer"], "")

    def test_ctrl_c_ends_a_pipe(self):
        process = subprocess.Popen([EDGELLM, "chat", TM2, "-q"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"fox\n")
        process.stdin.flush()
        os.read(process.stdout.fileno(), 1)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=60)[1]
        self.assertEqual((process.returncode, err), (130, b""))


class DumbTerminals(OnATerminal):
    def test_no_escape_codes(self):
        for term in ("dumb", None, ""):
            terminal = self.start(term=term)
            terminal.type("fox\n")
            seen = terminal.wait("| context") + terminal.wait(PROMPT)
            terminal.type("/help\n")
            seen += terminal.wait(PROMPT)
            self.assertNotIn(b"\x1b", seen)
            self.assertIn(b"/params", seen)
            self.leave(terminal)
            self.assertNotIn(b"\x1b", terminal.seen)

    def test_answers_to_a_file(self):
        """Typed on a terminal, but standard output is a file: it holds answers only."""
        path = self.temporary() / "out.txt"
        with open(path, "wb") as out:
            terminal = self.start(stdout=out)
            terminal.type("fox\n")
            terminal.wait("| context")
            terminal.wait(PROMPT)
            self.leave(terminal)
        self.assertEqual(path.read_text(errors="replace"), self.answers("fox\n")[0]["text"] + "\n")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
