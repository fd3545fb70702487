"""What smart_home.py and machine_monitor.py share: questions to `edgellm serve` whose answers keep to a
JSON schema and to a deadline, and how long they took. Standard library only.

A key, if the server wants one: EDGELLM_API_KEY.
"""
import json
import os
import statistics
import time
import urllib.error
import urllib.request

ENOUGH_FOR_P50 = 20  # 10 / (1 - 0.5)


class Refused(Exception):
    """There is no answer in time."""


class Asker:
    def __init__(self, server):
        self.url = server.rstrip("/") + "/v1/completions"
        self.times_ms, self.refused = [], 0

    def post(self, body, timeout):
        headers = {"Content-Type": "application/json"}
        if os.environ.get("EDGELLM_API_KEY"):
            headers["Authorization"] = "Bearer " + os.environ["EDGELLM_API_KEY"]
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.load(response)

    def try_once(self, prompt, schema, until):
        """The answer, or the seconds after which to ask again."""
        left = until - time.monotonic()
        if left < 0.001:
            raise Refused("its time was over before it was asked")
        body = {"prompt": prompt, "json_schema": schema, "deadline_ms": int(1000 * left),
                "temperature": 0, "repeat_penalty": 1}
        try:
            return json.loads(self.post(body, left + 5)["choices"][0]["text"]), 0
        except urllib.error.HTTPError as error:
            said = json.load(error)["error"]
            if error.code == 422:  # it cannot be done in time: known at once, and nothing was computed
                forecast = said.get("forecast")  # none, if its time had passed when it was looked at
                raise Refused(f"it would take {forecast['enough_ms']:.0f} ms" if forecast else
                              "its time was over before its turn") from None
            if error.code in (429, 503):  # others ask too, or it has just been started
                return None, float(error.headers.get("Retry-After", 1))
            raise SystemExit(f"{self.url}: {said['message']}") from None  # a mistake of ours: 400, 401, ...
        except OSError as error:
            raise Refused(f"{self.url}: {error}") from None

    def ask(self, prompt, schema, came, deadline_ms):
        """The answer as its schema has it. came: when the question was there, by time.monotonic(): the
        deadline counts from then, so that what it waited for here is part of it."""
        until = came + deadline_ms / 1000
        try:
            answer, wait = self.try_once(prompt, schema, until)
            while answer is None:
                if time.monotonic() + wait >= until:
                    raise Refused(f"the server is busy for {wait:.0f} s")
                time.sleep(wait)
                answer, wait = self.try_once(prompt, schema, until)
        except Refused:
            self.refused += 1
            raise
        self.times_ms.append(1000 * (time.monotonic() - came))
        return answer

    def summary(self):
        n = len(self.times_ms)
        said = f"{n} answers, {self.refused} refused"
        if n >= ENOUGH_FOR_P50:
            said += f", P50 {statistics.median(self.times_ms):.0f} ms"
        elif n:
            said += f", P50 needs {ENOUGH_FOR_P50}"
        return said + (f", max {max(self.times_ms):.0f} ms" if n else "")
