#!/usr/bin/env python3
"""Ollama's interface of `edgellm serve` from outside: every route, field and error, and that answers
are those of `edgellm run`.

    python3 tests/test_serve_ollama.py EDGELLM MAKE_TINY OUT_DIR [bench]

bench: edgellm-bench-http was built. Standard library only; how a server is started and asked is
test_serve.py's.
"""
import datetime
import json
import os
import re
import subprocess
import sys
import time
import unittest

import test_serve as serve
from test_serve import JSON, LONG, TINY, ask, run, user

GENERATE, CHAT = "/api/generate", "/api/chat"
TIMES = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
setUpModule = serve.setUpModule


class Lines(serve.Stream):
    """Lines of JSON as they come."""

    def __init__(self, server, path, body):
        super().__init__(server, path, {"model": "tiny", **body})

    def lines(self):
        for line in self.response:
            assert line.endswith(b"\n"), line
            yield json.loads(line)

    def all(self):
        lines = list(self.lines())
        self.client.close()
        assert lines[-1]["done"] and not any(line["done"] for line in lines[:-1]), lines
        return lines


def text_of(lines):
    return "".join(line["response"] if "response" in line else line["message"]["content"]
                   for line in lines)


class Case(serve.Case):
    def answer(self, path, server=None, **body):
        return (server or self.server).answer(path, **{"model": "tiny", "stream": False, **body})

    def lines(self, path, server=None, **body):
        return Lines(server or self.server, path, body).all()

    def is_error(self, reply, status, param=None, words="", kind=None):
        got, _, body = reply
        self.assertEqual(got, status, body)
        self.assertTrue(isinstance(body["error"], str) and body["error"], body)
        self.assertEqual(body.get("param"), param, body)
        self.assertIn(words, body["error"])

    def check_times(self, answer):
        for name in TIMES:
            self.assertIsInstance(answer[name], int, name)
        parts = [answer[name] for name in TIMES[1:]]
        self.assertGreater(answer["prompt_eval_duration"], 0)
        self.assertEqual(answer["total_duration"], sum(parts))
        self.assertLess(answer["total_duration"], serve.WAIT * 10**9)

    def is_time(self, text):
        self.assertRegex(text, r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
        return datetime.datetime.fromisoformat(text[:-1] + "+00:00").timestamp()


# ---- the model ---------------------------------------------------------------------------------

class Model(Case):
    def test_root(self):
        status, headers, body = self.server.ask("/")
        self.assertEqual((status, headers["content-type"], body),
                         (200, "text/plain", "EdgeLLM is running\n"))
        client = self.server.client()
        client.request("HEAD", "/")
        self.assertEqual(client.getresponse().status, 200)
        client.close()

    def test_version(self):
        done = subprocess.run([serve.EDGELLM, "--version"], capture_output=True, check=True)
        version = re.search(r"\d+\.\d+\.\d+", done.stdout.decode()).group()
        self.assertEqual(self.server.ask("/api/version")[2], {"version": version + "+edgellm"})

    def check_entry(self, entry):
        self.assertEqual((entry["name"], entry["model"]), ("tiny:latest", "tiny:latest"))
        self.assertRegex(entry["digest"], r"\A[0-9a-f]{24}\Z")
        self.check_details(entry["details"])

    def check_details(self, details):
        info = self.info()
        self.assertEqual(details["format"], "tm2")
        self.assertEqual((details["family"], details["families"]), ("llama", ["llama"]))
        self.assertEqual(details["parameter_size"], f"{info['parameters'] / 1000:.2f}K")
        self.assertEqual(details["quantization_level"], "o4")  # 14 matrices; the embedding is of i8
        self.assertEqual(info["manifest"]["tensors"], {"f32": 5, "o4/f16/32": 14, "i8/f16/32": 1})

    def info(self):
        done = subprocess.run([serve.EDGELLM, "info", TINY, "--json"], capture_output=True,
                              check=True)
        return json.loads(done.stdout)

    def test_tags(self):
        model, = self.server.ask("/api/tags")[2]["models"]
        self.check_entry(model)
        self.assertEqual(model["size"], os.path.getsize(TINY))
        self.assertEqual(self.is_time(model["modified_at"]), int(os.path.getmtime(TINY)))

    def test_ps(self):
        model, = self.server.ask("/api/ps")[2]["models"]
        self.check_entry(model)
        self.assertEqual((model["size_vram"], model["context_length"]), (0, 256))
        told = float(re.search(r"([\d.]+) MB", self.server.line).group(1))
        self.assertAlmostEqual(model["size"] / 1e6, told, delta=0.1)
        self.assertGreater(self.is_time(model["expires_at"]), time.time() + 1e9)

    def test_show(self):
        for body in ({"model": "tiny"}, {"model": "tiny:latest"}, {"name": "tiny"},
                     {"model": "tiny", "verbose": True}):
            status, _, shown = self.server.ask("/api/show", body)
            self.assertEqual(status, 200, shown)
            self.check_details(shown["details"])
            self.assertEqual(shown["capabilities"], ["completion", "tools"])
            model, info = shown["model_info"], self.info()
            self.assertEqual(model["general.architecture"], "llama")
            self.assertEqual(model["general.parameter_count"], info["parameters"])
            self.assertEqual((model["llama.context_length"], model["llama.embedding_length"],
                              model["llama.block_count"], model["llama.attention.head_count"]),
                             (256, 64, 2, 4))
            self.is_time(shown["modified_at"])
        self.is_error(self.server.ask("/api/show", {}), 400, "model", "missing")
        self.is_error(self.server.ask("/api/show", {"model": 5}), 400, "model")
        self.is_error(self.server.ask("/api/show", {"model": "else"}), 404, "model", "'else'")

    def test_loading(self):
        """There is nothing to compute: the answer is there at once."""
        for more in ({}, {"keep_alive": 0}, {"keep_alive": "10m"}, {"stream": True},
                     {"system": "Be brief."}):
            for path, nothing, empty in ((GENERATE, [{}, {"prompt": ""}], {"response": ""}),
                                         (CHAT, [{}, {"messages": []}],
                                          {"message": {"role": "assistant", "content": ""}})):
                for none in nothing:
                    got = self.answer(path, **none, **more)
                    self.assertLess(abs(self.is_time(got.pop("created_at")) - time.time()), 100)
                    self.assertEqual(got, {"model": "tiny", "done": True, "done_reason": "load",
                                           **empty})
        self.assertEqual(self.answer(GENERATE, prompt="fox", keep_alive=0,
                                     options={"num_predict": 1})["eval_count"], 1)

    def test_which_model(self):
        for name in ("tiny", "tiny:latest", "tiny:7b-q4"):
            self.assertEqual(self.answer(CHAT, model=name)["done_reason"], "load")
        for name in ("", "tin", "tiny2", "tiny/x", "Tiny", ":latest", "x" * 3000):
            for path in (GENERATE, CHAT):
                self.is_error(self.server.ask(path, {"model": name}), 404, "model", "not found")
        for path in (GENERATE, CHAT):
            self.is_error(self.server.ask(path, {}), 400, "model", "missing")


# ---- answers -----------------------------------------------------------------------------------

class Answers(Case):
    GREEDY = {"num_predict": 20, "temperature": 0}

    def test_generate(self):
        answer = self.answer(GENERATE, prompt="the quick brown", options=self.GREEDY)
        right = run("the quick brown", "-n", 20, "-t", 0)
        self.assertEqual(answer["response"], right["text"])
        self.assertEqual((answer["model"], answer["done"], answer["done_reason"]),
                         ("tiny", True, "length"))
        self.assertEqual((answer["prompt_eval_count"], answer["eval_count"]),
                         (right["prompt_tokens"], 20))
        self.check_times(answer)
        self.assertGreater(answer["eval_duration"], 0)
        self.assertLess(abs(self.is_time(answer["created_at"]) - time.time()), 100)

    def test_raw_and_system(self):
        def text(**body):
            return self.answer(GENERATE, prompt="the fox", options=self.GREEDY, **body)
        raw, right = text(raw=True), run("the fox", "--raw", "-n", 20, "-t", 0)
        self.assertEqual((raw["response"], raw["prompt_eval_count"]),
                         (right["text"], right["prompt_tokens"]))
        led, right = text(system="Be brief."), run("the fox", "--system", "Be brief.", "-n", 20,
                                                   "-t", 0)
        self.assertEqual((led["response"], led["prompt_eval_count"]),
                         (right["text"], right["prompt_tokens"]))
        self.assertEqual(text(system="", raw=False)["response"], text()["response"])
        self.assertEqual(text(system="", raw=True)["response"], raw["response"])

    def test_chat(self):
        messages = [{"role": "system", "content": "Be brief."}] + user("the fox")
        right = run("the fox", "--system", "Be brief.", "-n", 20, "-t", 0)
        answer = self.answer(CHAT, messages=messages, options=self.GREEDY)
        self.assertEqual(answer["message"], {"role": "assistant", "content": right["text"]})
        self.assertEqual((answer["done_reason"], answer["prompt_eval_count"],
                          answer["eval_count"]), ("length", right["prompt_tokens"], 20))
        self.check_times(answer)
        longer = messages + [answer["message"]] + user("more")
        self.assertEqual(self.answer(CHAT, messages=longer,
                                     options={"num_predict": 2})["eval_count"], 2)

    def test_streams(self):
        for path, asked in ((GENERATE, {"prompt": "fox"}), (CHAT, {"messages": user("fox")})):
            right = run("fox", "-n", 20, "-t", 0)
            for said in ({}, {"stream": True}, {"stream": None}):  # by default
                stream = Lines(self.server, path, {"options": self.GREEDY, **asked, **said})
                self.assertEqual((stream.status, stream.type), (200, "application/x-ndjson"))
                lines = stream.all()
                self.assertEqual(text_of(lines), right["text"])
                self.assertEqual(text_of(lines[-1:]), "")
                self.assertEqual({line["model"] for line in lines}, {"tiny"})
                self.assertTrue(all("done_reason" not in line for line in lines[:-1]))
                self.assertEqual((lines[-1]["done_reason"], lines[-1]["eval_count"]),
                                 ("length", 20))
                self.check_times(lines[-1])
                if path == CHAT:
                    self.assertEqual({line["message"]["role"] for line in lines}, {"assistant"})

    def test_all_ways_are_run(self):
        """Characters of several tokens, and answers that end by themselves."""
        wild = {"temperature": 100, "top_k": 0, "top_p": 1, "min_p": 0, "repeat_penalty": 1}
        options = ("-t", 100, "--top-k", 0, "--top-p", 1, "--min-p", 0, "--repeat-penalty", 1)
        reasons = set()
        for seed in range(6):
            right = run("fox", "--raw", "-n", 200, "-s", seed, *options)
            body = {"prompt": "fox", "raw": True,
                    "options": {"num_predict": 200, "seed": seed, **wild}}
            whole, lines = self.answer(GENERATE, **body), self.lines(GENERATE, **body)
            self.assertEqual((whole["response"], text_of(lines)), (right["text"], right["text"]))
            reason = {"length": "length", "end": "stop"}[right["finish"]]
            self.assertEqual((whole["done_reason"], lines[-1]["done_reason"]), (reason, reason))
            self.assertEqual(whole["eval_count"], len(right["tokens"]))
            reasons.add(reason)
        self.assertIn("stop", reasons)

    def test_as_openai(self):
        """The same bits by the other door."""
        sampling = {"temperature": 1.5, "seed": 3}
        ours = self.answer(CHAT, messages=user("fox"), options={"num_predict": 30, **sampling})
        theirs = self.server.answer(serve.CHAT, messages=user("fox"), max_tokens=30, **sampling)
        self.assertEqual(ours["message"], theirs["choices"][0]["message"])

    def test_as_long_as_the_context(self):
        for n in ({}, {"num_predict": -1}, {"num_predict": -2}, {"num_predict": 0},
                  {"num_predict": 100000}, {"num_ctx": 256}, {"num_ctx": 0}):
            answer = self.answer(GENERATE, prompt="fox", options={"ignore_eos": True, **n})
            self.assertEqual(answer["prompt_eval_count"] + answer["eval_count"], 257)
            self.assertEqual(answer["done_reason"], "length")

    def test_stop(self):
        body = {"prompt": "fox", "raw": True}
        options = {"temperature": 3, "ignore_eos": True, "num_predict": 120, "seed": 1}
        text = self.answer(GENERATE, **body, options=options)["response"]
        at = next(i for i in range(10, 80) if "\ufffd" not in text[i:i + 3] and
                  "\0" not in text[i:i + 3])
        stop = text[at:at + 3]
        for stops in (stop, [stop], ["never there", stop]):
            whole = self.answer(GENERATE, **body, options={**options, "stop": stops})
            lines = self.lines(GENERATE, **body, options={**options, "stop": stops})
            self.assertEqual((whole["response"], text_of(lines)), (text[:text.index(stop)],) * 2)
            self.assertEqual((whole["done_reason"], lines[-1]["done_reason"]), ("stop", "stop"))


class Fields(Case):
    BASE = {"num_predict": 30, "seed": 5}

    def text(self, options=None, **more):
        return self.answer(GENERATE, prompt="the quick brown fox", raw=True,
                           options={**self.BASE, **(options or {})}, **more)["response"]

    def test_the_sampler_is_that_of_run(self):
        changed = set()
        for fields, options in serve.SAMPLERS:
            with self.subTest(fields):
                right = run("the quick brown fox", "--raw", "-n", 30, "-s", 5, *options)["text"]
                self.assertEqual(self.text(fields), right)
                changed.add(right)
        self.assertGreater(len(changed), 8)

    def test_seed_by_chance(self):
        for seed in ({}, {"seed": -1}, {"seed": None}):
            options = {"num_predict": 30, "temperature": 5, "ignore_eos": True, **seed}
            texts = {self.answer(GENERATE, prompt="fox", options=options)["response"]
                     for _ in range(4)}
            self.assertGreater(len(texts), 1, seed)

    def test_ignored_and_null(self):
        right = self.text()
        for more in ({"suffix": ""}, {"template": ""}, {"system": None}, {"context": []},
                     {"context": None}, {"images": []}, {"format": ""}, {"format": None},
                     {"think": False}, {"think": None}, {"keep_alive": -1}, {"keep_alive": "5m"},
                     {"keep_alive": None}, {"logprobs": False}, {"top_logprobs": 0},
                     {"truncate": True}, {"whatever": 1}):
            self.assertEqual(self.text(**more), right, more)
        for options in ({"num_gpu": 99}, {"num_thread": 3}, {"num_batch": 8}, {"use_mmap": True},
                        {"mirostat": 0}, {"top_p": None}, {"stop": []}, {"stop": None},
                        {"whatever": 1}, {"num_ctx": 100}):
            self.assertEqual(self.text(options), right, options)
        # what is at home in options means nothing beside them, but for what is ours
        self.assertEqual(self.text(temperature=0, seed=9, num_predict=1), right)
        self.answer(CHAT, messages=[{"role": "user", "content": "x", "images": [],
                                     "tool_calls": None, "thinking": None}], tools=[],
                    think=False, options={"num_predict": 1})
        self.assertEqual(self.answer(GENERATE, prompt="fox", options=None, ignore_eos=True,
                                     raw=True)["done_reason"], "length")

    def test_errors(self):
        message = {"role": "user", "content": "x"}
        rows = [(CHAT, {"messages": messages}, param) for messages, param in (
            ("x", "messages"), ([message] * 513, "messages"), ([5], "messages[0].role"),
            ([message, {"role": "robot", "content": "x"}], "messages[1].role"),
            ([{"role": "user"}], "messages[0].content"),
            ([{"role": "user", "content": 5}], "messages[0].content"),
            ([{**message, "images": ["aGk="]}], "messages[0].images"),
            ([{**message, "tool_calls": [{}]}], "messages[0].tool_calls"),
            (user("x " * 300), "messages"))]
        rows += [(GENERATE, {"prompt": prompt, **more}, param) for prompt, more, param in (
            (5, {}, "prompt"), (["x"], {}, "prompt"), ("x " * 300, {}, "prompt"),
            ("x " * 300, {"raw": True}, "prompt"), ("x", {"system": 5}, "system"),
            ("x", {"system": "y", "raw": True}, "system"), ("x", {"raw": 1}, "raw"))]
        both = {"model": [5, None], "stream": [1, "true"], "keep_alive": [True, [], {}],
                "format": ["yaml", 5, [], {"type": "thing"}], "think": [True, "low"],
                "logprobs": ["yes"], "top_logprobs": [3, 21], "options": [5, "x", []],
                "deadline_ms": [0, 1.5, 86400001], "ignore_eos": [0]}
        options = {"num_predict": [-3, 1.5, "5", True, 1 << 40], "num_ctx": [-1, "x", 257, 1 << 20],
                   "temperature": [-1, 101, "hot"], "top_p": [0, 1.1], "top_k": [-2, 0.5],
                   "min_p": [-0.1, 2], "typical_p": [0], "seed": [-2, 1.5, "x"],
                   "stop": ["", 5, ["a", ""], ["a"] * 9, "x" * 129],
                   "repeat_penalty": [0, 101], "repeat_last_n": [-2],
                   "presence_penalty": [101], "frequency_penalty": [-101], "mirostat": [1, 2],
                   "deadline_ms": [0], "ignore_eos": ["x"]}
        rows += [(GENERATE, {"prompt": "x", field: value}, field)
                 for field, value in (("suffix", "x"), ("template", "{{ .Prompt }}"),
                                      ("images", ["aGk="]), ("context", [1, 2]))]
        rows += [(CHAT, {"messages": [message], "tools": {}}, "tools")]
        for path, base in ((CHAT, {"messages": [message]}), (GENERATE, {"prompt": "x"})):
            rows += [(path, {**base, field: value}, field) for field, values in both.items()
                     for value in values]
            rows += [(path, {**base, "options": {field: value}}, "options." + field)
                     for field, values in options.items() for value in values]
        client = self.server.client()
        for path, body, param in rows:
            with self.subTest(path=path, param=param, body=str(body)[:80]):
                self.is_error(ask(client, path, {"model": "tiny", **body}), 400, param)
        client.close()
        self.still_works()

    def test_no_json(self):
        for body in (b"", b"{", b"[]", b'{"model": "tiny", "model": "tiny"}', b"[" * 33 + b"]" * 33):
            self.is_error(self.server.ask(CHAT, body), 400, None, "body")
        self.is_error(self.server.ask(CHAT, {"x": [1] * 9000}), 413, None, "values")
        self.is_error(self.server.ask(CHAT, b"{}", {"Content-Type": "text/plain"}), 415)
        self.is_error(self.server.ask(CHAT), 405)
        self.is_error(self.server.ask("/api/tags", {}), 405)
        self.is_error(self.server.ask(GENERATE, b" " * 300_000), 413, None, "--max-body")


# ---- time, keys, and the end -------------------------------------------------------------------

class Time(Case):
    model, options = LONG, ("-c", "90000", "--sessions", "1", "--queue", "0")  # minutes, if it is full

    def answer(self, path, server=None, **body):
        return super().answer(path, server, model="long", **body)

    def test_deadline_that_can_be_kept(self):
        for where in ({"deadline_ms": 3600000, "options": {"num_predict": 5, "ignore_eos": True}},
                      {"options": {"num_predict": 5, "ignore_eos": True, "deadline_ms": 3600000}}):
            for stream in (False, True):
                body = {"prompt": "fox", "model": "long", **where}
                answer = (self.lines(GENERATE, **body)[-1] if stream
                          else self.server.answer(GENERATE, stream=False, **body))
                told = answer["deadline"]
                self.assertEqual((told["deadline_ms"], told["ended_by_deadline"],
                                  told["max_tokens"]), (3600000, False, 5))
                self.assertGreater(told["forecast_ms"], 0)

    def test_deadline_that_cannot(self):
        for path, asked in ((GENERATE, {"prompt": "fox"}), (CHAT, {"messages": user("fox")})):
            for stream in (False, True):
                reply = self.server.ask(path, {"model": "long", "deadline_ms": 5000, "stream": stream,
                                               "options": {"num_predict": 80000}, **asked})
                self.is_error(reply, 422, "deadline_ms", "are enough")
                self.assertGreater(reply[2]["forecast"]["answer_ms"], 4000)
        self.still_works()

    def test_as_many_as_fit(self):
        """By the forecast, whatever that is on this machine now; all of them, unless it was late."""
        reply = self.server.ask(GENERATE, {"model": "long", "prompt": "fox", "deadline_ms": 5000, "options":
                                           {"num_predict": 80000, "ignore_eos": True}})
        enough = reply[2]["forecast"]["enough_ms"]
        answer = self.answer(GENERATE, prompt="fox", options={"ignore_eos": True},
                             deadline_ms=int(enough / 200) + 1)
        told = answer["deadline"]
        self.assertTrue(0 < told["max_tokens"] < 80000, told)
        if not told["ended_by_deadline"]:
            self.assertEqual(answer["eval_count"], told["max_tokens"])
        self.assertEqual(answer["done_reason"], "length")

    def test_full_and_gone(self):
        stream = Lines(self.server, GENERATE, {"model": "long", "prompt": "fox", "ignore_eos": True})
        next(stream.lines())
        reply = self.server.ask(GENERATE, {"model": "long", "prompt": "x"})
        self.is_error(reply, 429, None, "try again")
        self.assertTrue(1 <= int(reply[1]["retry-after"]) <= 600)
        self.assertEqual(self.answer(CHAT)["done_reason"], "load")  # needs no session
        stream.hang_up()
        body = {"model": "long", "prompt": "x", "stream": False, "options": {"num_predict": 1}}
        self.soon(lambda: self.server.ask(GENERATE, body)[0] == 200)

    def test_cut_off(self):
        """What has begun and cannot end says so on its last line."""
        server = self.start("-c", "90000", "--drain", "1", model=LONG)
        body = {"model": "long", "prompt": "fox", "ignore_eos": True}
        stream, whole = Lines(server, CHAT, {"messages": user("fox"), **body}), server.client()
        whole.request("POST", GENERATE, json.dumps({"stream": False, **body}), JSON)
        lines = stream.lines()
        next(lines)
        self.soon(lambda: server.metric("sessions_taken") == 2)
        server.process.terminate()
        self.assertIn("shutting down", list(lines)[-1]["error"])
        response = whole.getresponse()
        self.is_error((response.status, None, json.loads(response.read())), 503, None, "shutting")
        whole.close()
        stream.hang_up()
        self.ends_well(server, None)


class Keys(Case):
    def test_of_the_environment(self):
        server = self.start(env={**os.environ, "EDGELLM_API_KEY": "s3cret"})
        rows = [("/api/version", None), ("/api/tags", None), ("/api/ps", None),
                ("/api/show", {"model": "tiny"}), (CHAT, {"model": "tiny"}),
                (GENERATE, {"model": "tiny"})]
        self.assertEqual(server.ask("/")[0], 200)
        for path, body in rows:
            self.is_error(server.ask(path, body), 401, None, "Bearer")
            self.assertEqual(server.ask(path, body, {"Authorization": "Bearer s3cret"})[0], 200)
        self.ends_well(server)


class Bench(Case):
    """`edgellm bench` measures it as an Ollama."""
    model, options = LONG, ("-c", "4096")

    def test_bench(self):
        url = f"ollama=http://127.0.0.1:{self.server.port}"
        done = subprocess.run([serve.EDGELLM, "bench", "--backend", url, "--runs", "2", "--warmup",
                               "1", "-n", "8", "--json"], capture_output=True, timeout=serve.WAIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertIn("long:latest", json.dumps(report))
        self.assertIn("+edgellm", json.dumps(report))


if "bench" not in sys.argv[4:]:  # edgellm-bench-http is left out of this build
    del Bench


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
