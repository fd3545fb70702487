#!/usr/bin/env python3
"""`edgellm serve` asked what /openapi.json says may be asked, and what it says may not, by schemathesis:
no answer is a 5xx, each is as described, and nothing wrong is taken.

    python3 tests/clients/test_schemathesis.py EDGELLM MAKE_TINY OUT_DIR

Needs the packages openai and schemathesis: `make test-clients`. Two of its checks are left out.
positive_data_acceptance: the schema cannot say how many tokens a prompt has, nor how large a number
is that JSON's reader takes. unsupported_method: libwebsockets answers TRACE itself, with 403.
"""
import json
import subprocess
import sys
import unittest
import urllib.request

import served
import test_openai as client

COMMAND = [sys.executable, "-m", "schemathesis.cli", "run"]
OPTIONS = ["--max-examples", "40", "--checks", "all", "--exclude-checks",
           "positive_data_acceptance,unsupported_method", "--generation-allow-x00", "false",
           "--generation-deterministic", "--no-color", "-w", "1"]


class Api(client.Client):
    def test_api(self):
        root = self.url[:-3]
        with urllib.request.urlopen(root + "/openapi.json", timeout=60) as reply:
            api = json.load(reply)
        paths = len(api["paths"])
        # There is one model: else nearly all that is asked by Ollama's interface is 404.
        api["components"]["schemas"]["model_name"]["pattern"] = "^tiny(:[^\\u0000]*)?$"  # with any tag
        path = served.OUT / "openapi.json"
        path.write_text(json.dumps(api))
        done = subprocess.run([*COMMAND, str(path), "--url", root, "-H",
                               f"Authorization: Bearer {served.KEY}", *OPTIONS],
                              capture_output=True, text=True, timeout=600, cwd=served.OUT)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(f"{paths} selected / {paths} total", done.stdout)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "Api.test_api"], verbosity=2)
