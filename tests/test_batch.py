#!/usr/bin/env python3
"""`edgellm batch` from outside, on tiny models: that answers are those of `edgellm run` and of the
server, what becomes of lines that are wrong, and that after any death the next run makes the output
whole, with nothing lost and nothing twice.

    python3 tests/test_batch.py EDGELLM MAKE_TINY OUT_DIR [sanitized | counted]

Standard library only.
"""
import collections
import http.client
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
INSTRUMENTED = len(sys.argv) > 4
TINY, LONG = str(OUT / "tiny.tm2.bin"), str(OUT / "long.tm2.bin")
USAGE, IO, FORMAT, MEMORY = 2, 3, 4, 6
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
WAIT = 60  # seconds in which anything has happened
os.environ["EDGELLM_CACHE"] = "none"  # nothing of the tests' goes into the user's folders


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for kind, path in (((), TINY), (("long",), LONG)):
        gguf = path.replace(".tm2.bin", ".gguf")
        subprocess.run([MAKE_TINY, gguf, *kind], check=True, timeout=60)
        subprocess.run([EDGELLM, "quantize", gguf, "-o", path, "-q"], check=True, timeout=60)


def line(custom_id, url=TEXT, method="POST", **body):
    return json.dumps({"custom_id": custom_id, "method": method, "url": url, "body": body})


def text(custom_id, prompt, **body):
    return line(custom_id, prompt=prompt, **{"max_tokens": 12, **body})


def chat(custom_id, content, **body):
    return line(custom_id, CHAT, messages=[{"role": "user", "content": content}],
                **{"max_tokens": 12, **body})


def run(prompt, *options):
    done = subprocess.run([EDGELLM, "run", TINY, "-p", prompt, "--json", *map(str, options)],
                          capture_output=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Some of all that there is; all but the last few are answered.
MANY = [*(text(f"t{i}", f"the quick {i}", seed=i, max_tokens=5 + 7 * i) for i in range(8)),
        *(chat(f"c{i}", "fox " * i + "?", seed=i, temperature=0.4 * i) for i in range(8)),
        text("no seed", "the fox"), text("stops", "fox", stop=["a", "e", "o"], max_tokens=60),
        text("greedy", "over the lazy dog", temperature=0), text("on", "x", ignore_eos=True),
        chat("object", "JSON", response_format={"type": "json_object"}, seed=3, max_tokens=60),
        text("wild", "fox", temperature=100, top_k=0, top_p=1, min_p=0, max_tokens=90, seed=1),
        chat('"ä\\', "fox"), text("far", "fox " * 900), chat("hot", "fox", temperature=-1)]


def what_counts(answer):
    """All of a line but times and names."""
    response = answer["response"]
    body = response and response["body"]
    if body and "choices" in body:
        usage = {k: n for k, n in body["usage"].items() if k != "prompt_tokens_details"}  # a server's
        body = (body["object"], body["model"], body["choices"], usage)
    return (response and response["status_code"], body, answer["error"])


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = OUT / self.id().rsplit(".", 1)[1]
        self.folder.mkdir()
        self.source, self.output = self.folder / "in.jsonl", self.folder / "out.jsonl"
        self.part = self.folder / "out.jsonl.part"

    def write(self, lines, end="\n"):
        self.source.write_text("\n".join(lines) + end)

    def command(self, *options, model=TINY):
        return [EDGELLM, "batch", model, str(self.source), "-o", str(self.output), "--calibrate", "5",
                "-j", "1", *map(str, options)]

    def batch(self, *options, **more):
        return subprocess.run(self.command(*options), capture_output=True, timeout=WAIT, **more)

    def succeeds(self, *options, **more):
        done = self.batch("--json", *options, **more)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertFalse(self.part.exists())
        return json.loads(done.stdout)

    def fails(self, done, code, *words):
        message = done.stderr.decode()
        self.assertEqual((done.returncode, done.stdout), (code, b""), message)
        self.assertRegex(message, r"\Aedgellm: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, message)

    def answers(self, path=None):
        """By custom_id; each is there once, and each line has a name of its own."""
        data = (path or self.output).read_bytes()
        self.assertTrue(data == b"" or data.endswith(b"\n"))
        lines = [json.loads(text) for text in data.decode().split("\n")[:-1]]
        for answer in lines:
            self.assertEqual(set(answer), {"id", "custom_id", "response", "error"})
            self.assertNotEqual(answer["response"] is None, answer["error"] is None)
        for key in ("id", "custom_id"):
            found = collections.Counter(a[key] for a in lines)
            self.assertEqual([k for k, n in found.items() if n > 1 and k is not None], [])
        return {a["custom_id"]: a for a in lines}

    def counted(self):
        return {k: what_counts(a) for k, a in self.answers().items()}


class Answers(Case):
    def test_are_the_same_however_many_at_a_time(self):
        self.write(MANY)
        results = []
        for options in (("--sessions", 1), ("--sessions", 3, "-j", 2), ("--sessions", 16, "-b", 1)):
            summary = self.succeeds(*options)
            self.assertEqual((summary["requests"], summary["earlier"], summary["unreadable"]),
                             (len(MANY), 0, 0))
            self.assertEqual((summary["answered"], summary["refused"]), (len(MANY) - 2, 2))
            results.append(self.counted())
            total = sum(body[3]["completion_tokens"] for status, body, _ in results[-1].values()
                        if status == 200)
            self.assertEqual(summary["answer_tokens"], total)
            self.output.unlink()
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])
        self.assertEqual(set(results[0]), {json.loads(m)["custom_id"] for m in MANY})
        self.assertEqual((results[0]["far"][0], results[0]["hot"][0]), (400, 400))
        self.assertEqual(results[0]["far"][1]["error"]["code"], "context_length_exceeded")
        self.assertEqual(results[0]["hot"][1]["error"]["param"], "temperature")

    def test_are_those_of_run(self):
        self.write([text("raw", "the quick brown", seed=7, max_tokens=40), chat("chat", "fox", seed=7),
                    text("without", "the fox"), text("zero", "the fox", seed=0)])
        self.succeeds("-s", 9)
        answers = self.answers()
        for custom_id, right in (
                ("raw", run("the quick brown", "--raw", "-s", 7, "-n", 40)),
                ("chat", run("fox", "-s", 7, "-n", 12)),
                ("without", run("the fox", "--raw", "-s", 9, "-n", 12)),
                ("zero", run("the fox", "--raw", "-s", 0, "-n", 12))):
            body = answers[custom_id]["response"]["body"]
            choice = body["choices"][0]
            self.assertEqual(choice.get("text", choice.get("message", {}).get("content")), right["text"])
            self.assertEqual(body["usage"]["prompt_tokens"], right["prompt_tokens"])
        self.assertNotEqual(answers["without"]["response"]["body"]["choices"],
                            answers["zero"]["response"]["body"]["choices"])

    @unittest.skipUnless(pathlib.Path(EDGELLM).with_name("edgellm-serve").exists(), "no server here")
    def test_are_those_of_the_server(self):
        asked = [m for m in MANY if json.loads(m)["custom_id"] != "no seed"]
        self.write(asked)
        self.succeeds("--sessions", 4)
        ours = self.counted()
        server = subprocess.Popen([EDGELLM, "serve", TINY, "--port", "0", "--calibrate", "5",
                                   "-j", "1"],
                                  stdout=subprocess.PIPE)
        try:
            port = int(re.search(rb":(\d+) ", server.stdout.readline()).group(1))
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
            for one in map(json.loads, asked):
                if "seed" not in one["body"]:
                    one["body"]["seed"] = 0
                client.request("POST", one["url"], json.dumps(one["body"]),
                               {"Content-Type": "application/json"})
                reply = client.getresponse()
                got = {"response": {"status_code": reply.status, "body": json.load(reply)},
                       "error": None}
                self.assertEqual(what_counts(got), ours[one["custom_id"]], one)
            client.close()
        finally:
            server.terminate()
            server.communicate(timeout=WAIT)

    def test_form(self):
        self.write([chat("one", "fox", max_tokens=3)])
        self.succeeds()
        answer = self.answers()["one"]
        self.assertRegex(answer["id"], r"\Abatch_req_[0-9a-f]{16}_1\Z")
        body = answer["response"]["body"]
        self.assertEqual(answer["response"]["request_id"], answer["id"])
        self.assertRegex(body["id"], r"\Achatcmpl-[0-9a-f]{16}\Z")
        self.assertEqual((body["object"], body["model"]), ("chat.completion", "tiny"))
        self.assertLess(abs(body["created"] - time.time()), 1000)
        self.assertEqual(body["usage"]["completion_tokens"], 3)

    def test_progress(self):
        """Also while nothing but wrong requests comes."""
        self.write([text(f"t{i}", "fox", max_tokens=0) for i in range(5)])
        ours, its = os.openpty()
        done = subprocess.run(self.command(), stdout=subprocess.DEVNULL, stderr=its, timeout=WAIT)
        os.close(its)
        told = os.read(ours, 4096).decode()
        os.close(ours)
        self.assertEqual(done.returncode, 0, told)
        self.assertTrue(told.startswith("\r1 of 5 requests"), told)

    def test_line_for_people(self):
        self.write([text("a", "fox", max_tokens=3), "no"])
        done = self.batch()
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertRegex(done.stdout.decode(), r"\A\S+out.jsonl: 2 requests; 1 answered, 0 refused, 1 "
                                               r"unreadable; 3 tokens in [\d.]+ s, [\d.]+ tokens/s\n\Z")
        self.output.unlink()
        done = self.batch("-q")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))


class BadLines(Case):
    def test_each_is_answered_and_the_rest_goes_on(self):
        good = text("good", "fox", max_tokens=2)
        inner = {"custom_id": "x", "method": "POST", "url": TEXT, "body": {"prompt": "a"}}
        deep = '{"custom_id": "deep", "a": ' + "[" * 60 + "]" * 60 + "}"
        cases = [("{", "invalid_json_line"), ("[]", "invalid_json_line"), ("no", "invalid_json_line"),
                 (good + "}", "invalid_json_line"), (deep, "invalid_json_line"),
                 ('{"custom_id": "a", "custom_id": "b"}', "invalid_json_line"),
                 (json.dumps([0] * 9000), "invalid_json_line"),
                 ("\\", "invalid_json_line"), ("\0", "invalid_json_line"),
                 (text("long", "x" * 40001), "line_too_long"), (text("longer", "x" * 200000), "line_too_long")]
        for key, value, code in (("custom_id", None, "invalid_custom_id"),
                                 ("custom_id", 5, "invalid_custom_id"),
                                 ("custom_id", "", "invalid_custom_id"),
                                 ("custom_id", "x" * 513, "invalid_custom_id"),
                                 ("method", "GET", "invalid_method"), ("url", "/v1/x", "invalid_url"),
                                 ("url", None, "invalid_url"), ("body", "text", "invalid_body"),
                                 ("body", None, "invalid_body")):
            cases.append((json.dumps({**inner, "custom_id": f"x{len(cases)}", key: value}), code))
        refused = [line("stream", prompt="a", stream=True), line("deadline", prompt="a", deadline_ms=9),
                   line("field", prompt="a", top_p=7), line("none"), line("n", prompt="a", n=2),
                   line("messages", CHAT, prompt="a"), line("tools", CHAT, messages=[
                       {"role": "user", "content": "a"}], tools=[{"type": "function"}])]
        lines = ["", good, "  \t", *(c[0] for c in cases), *refused, "\r", text("end", "fox", max_tokens=2)]
        self.write(lines, end="")
        summary = self.succeeds("--max-line", 40000)
        self.assertEqual((summary["requests"], summary["answered"]), (len(lines) - 3, 2))
        self.assertEqual((summary["unreadable"], summary["refused"]), (len(cases), len(refused)))
        answers = self.answers()
        found = [json.loads(a) for a in self.output.read_text().splitlines()]
        codes = {a["error"]["line"]: a["error"]["code"] for a in found if a["error"]}
        self.assertEqual(codes, {lines.index(c[0]) + 1: c[1] for c in cases})
        for asked in refused:
            custom_id = json.loads(asked)["custom_id"]
            response = answers[custom_id]["response"]
            self.assertEqual(response["status_code"], 400)
            self.assertTrue(response["body"]["error"]["message"])
        self.assertEqual(answers["good"]["response"]["status_code"], 200)
        self.assertEqual(answers["end"]["response"]["status_code"], 200)
        # It is as much done as one with answers alone.
        again = self.succeeds("--max-line", 40000)
        self.assertEqual((again["earlier"], again["answered"]), (len(lines) - 3, 0))

    def test_bytes_that_are_no_text(self):
        self.source.write_bytes(b"\xff\xfe\n" + b'{"custom_id": "\xc3"}\n' + text("a", "b").encode())
        summary = self.succeeds()
        self.assertEqual((summary["unreadable"], summary["answered"]), (2, 1))

    def test_the_same_name_twice(self):
        self.write([text(f"n{i}", "fox") for i in range(40)] + ["no", "", line("n7", "/v1/x")])
        self.fails(self.batch(), FORMAT, "'n7' twice, in lines 8 and 43", "nothing was computed")
        self.assertEqual(os.listdir(self.folder), ["in.jsonl"])

    def test_nothing_to_do(self):
        self.source.write_text("")
        self.assertEqual(self.succeeds()["requests"], 0)
        self.assertEqual(self.output.read_bytes(), b"")

    def test_wrong_arguments(self):
        self.fails(self.batch(), IO, "in.jsonl")
        self.write([text("a", "b")])
        self.fails(subprocess.run([EDGELLM, "batch", TINY, self.source], capture_output=True,
                                  timeout=WAIT), USAGE, "-o")
        self.fails(subprocess.run([EDGELLM, "batch", TINY, "/dev/stdin", "-o", self.output], timeout=WAIT,
                                  capture_output=True, input=b""), IO, "no regular file")
        pipe = self.source.with_name("pipe")  # nobody writes to it
        os.mkfifo(pipe)
        self.fails(subprocess.run([EDGELLM, "batch", TINY, pipe, "-o", self.output], timeout=WAIT,
                                  capture_output=True), IO, "no regular file")
        self.fails(self.batch("--max-ram", "1M"), MEMORY, "the cap is 1048576")
        self.fails(self.batch("-c", 100000), USAGE)
        self.assertFalse(self.output.exists())
        self.output.mkdir()
        self.fails(self.batch(), IO, "no regular file")

    @unittest.skipIf(INSTRUMENTED, "other memory")
    def test_memory_does_not_grow_with_lines(self):
        with self.source.open("w") as out:
            for i in range(3 * 300):  # piece by piece: this process's own memory is its child's at first
                out.write("x" * 100000 + ("\n" if i % 300 == 299 else ""))
        process = subprocess.Popen(self.command("-q"))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        self.assertEqual(status, 0)
        self.assertLess(usage.ru_maxrss, 60000)  # kilobytes


class Restarts(Case):
    N = 48

    def setUp(self):
        super().setUp()
        self.lines = [(chat if i % 2 else text)(f"r{i}", f"fox {i}", seed=i, max_tokens=4 + i % 9)
                      for i in range(self.N)]
        self.lines[5], self.lines[17], self.lines[30] = "no request", "", line("refused", top_p=9)
        self.write(self.lines)

    def right(self):
        """What an undisturbed run makes of it."""
        self.succeeds()
        found = self.counted()
        self.output.unlink()
        self.assertEqual(len(found), self.N - 1)  # the blank one; None is the bad one's
        return found

    def whole(self, right):
        summary = self.succeeds()
        self.assertEqual(summary["earlier"] + summary["answered"] + summary["refused"] +
                         summary["unreadable"], self.N - 1)
        self.assertEqual(self.counted(), right)
        return summary

    def lines_there(self):
        return self.part.read_bytes().count(b"\n") if self.part.exists() else 0

    def test_killed_at_many_moments(self):
        right, chance = self.right(), random.Random(5)
        kills, moments = 0, set()
        while kills < 14 or len(moments) < 4:
            self.assertLess(kills, 200)
            process = subprocess.Popen(self.command("--sessions", 1 + kills % 4), stdout=subprocess.PIPE)
            more = self.lines_there() + chance.randrange(4)
            until = time.monotonic() + WAIT
            while self.lines_there() < more and process.poll() is None and time.monotonic() < until:
                time.sleep(0.0005)
            time.sleep(chance.random() * 0.004)
            process.kill()
            process.communicate(timeout=WAIT)
            kills += 1
            moments.add(self.lines_there())
            if self.output.exists():  # it was done before: once more
                self.whole(right)
                self.output.unlink()
        self.whole(right)

    def test_whatever_is_left(self):
        """The end of the file may be anything, as after a power cut."""
        right = self.right()
        self.succeeds()
        data = self.output.read_bytes()
        ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
        cut = ends[20]
        for left, before in (
                (data[:5], 0), (b"", 0), (data[:cut + 1], 21), (data[:cut + 30], 21),
                (data[:ends[21] - 1], 21), (data[:ends[-1] - 1], len(ends) - 1),
                (data[:cut] + data[ends[2]:ends[3]], 21),  # one line twice
                (data[:cut] + bytes(4096) + data[cut:], 21),  # blocks that were never written
                (data[:cut + 60] + bytes(9) + data[cut + 69:], 21),
                (data[:cut] + data[cut:].replace(b"batch_req_", b"batch_rex_"), 21),
                (data[:cut] + b"\n\n" + data[cut:], 21)):
            self.output.unlink()
            self.part.write_bytes(left)
            self.assertEqual(self.whole(right)["earlier"], before)
        # All was there, but the file had not got its name yet.
        self.output.rename(self.part)
        self.assertEqual(self.whole(right)["earlier"], self.N - 1)
        # And once more: nothing is done.
        before = self.output.stat().st_mtime_ns
        self.assertEqual(self.whole(right)["earlier"], self.N - 1)
        self.assertEqual(self.output.stat().st_mtime_ns, before)

    def test_of_something_else(self):
        self.succeeds()
        data = self.output.read_bytes()
        for options in (("-s", 4), ("-c", 128), ("--exact",), ("--max-line", 2048), ("--template", "chatml")):
            self.fails(self.batch(*options), USAGE, "is not the output of this input")
        self.write(self.lines + [text("more", "fox")])
        self.fails(self.batch(), USAGE, "out.jsonl'")
        self.assertEqual(self.output.read_bytes(), data)
        self.output.rename(self.part)
        self.fails(self.batch(), USAGE, "out.jsonl.part'")
        self.assertEqual(self.part.read_bytes(), data)
        for letter in (b"a letter to somebody", b"\n\nDear Ada\n", b"{}\n", bytes(5000), data[:9] + b"\n"):
            self.part.write_bytes(letter)
            self.fails(self.batch(), USAGE, "out.jsonl.part'")
            self.assertEqual(self.part.read_bytes(), letter)
        self.part.unlink()
        self.write(self.lines)
        self.output.write_bytes(data[:-200])  # whoever did that had a reason
        self.fails(self.batch(), USAGE, "out.jsonl'")
        self.output.write_bytes(b"")  # as mktemp makes it
        self.succeeds()

    def endless(self, *options):
        self.write([text(f"e{i}", "fox", ignore_eos=True, max_tokens=90000, seed=i) if i > 1 else
                    text(f"e{i}", "fox", max_tokens=2) for i in range(6)])
        process = subprocess.Popen(self.command("-c", 90000, "--sessions", 1, *options, model=LONG),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        until = time.monotonic() + WAIT
        while self.lines_there() < 2 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        return process

    def test_asked_to_stop(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.endless()
            process.send_signal(number)
            out, err = process.communicate(timeout=WAIT)
            self.assertEqual((process.returncode, out), (128 + number, b""), err)
            self.assertIn(b"stopped with 2 of 6 requests answered", err)
            self.assertEqual(set(self.answers(self.part)), {"e0", "e1"})
            self.part.unlink()

    def test_two_writers(self):
        self.endless()
        done = subprocess.run(self.command("-c", 90000, "--sessions", 1, model=LONG), timeout=WAIT,
                              capture_output=True)
        self.fails(done, IO, "is being written by another program")
        self.assertEqual(self.lines_there(), 2)

    def test_changed_meanwhile(self):
        process = self.endless()
        with self.source.open("a") as out:
            out.write("\n")
        process.kill()
        process.communicate(timeout=WAIT)
        done = subprocess.run(self.command("-c", 90000, "--sessions", 1, model=LONG), timeout=WAIT,
                              capture_output=True)
        self.fails(done, USAGE, "is not the output of this input")

    @unittest.skipIf(sys.argv[4:] == ["counted"], "gcov's counts are limited too")
    def test_disk_full(self):
        right = self.right()
        for size in (100, 3000, 3001, 5000):
            def limit(most=size):
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
            done = self.batch(preexec_fn=limit)
            self.fails(done, IO, "cannot write", "File too large", "goes on from them")
            data = self.part.read_bytes() if self.part.exists() else b""
            self.assertTrue(len(data) <= size and (data == b"" or data.endswith(b"\n")))
        self.assertGreater(self.whole(right)["earlier"], 3)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
