"""A server with a tiny model, which the tests beside this file ask by the packages that people use; and what
`edgellm run` answers.

    python3 tests/clients/test_NAME.py EDGELLM MAKE_TINY OUT_DIR
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TINY = str(OUT / "tiny.tm2.bin")
KEY = "a-key"
HEADERS = {"Authorization": f"Bearer {KEY}"}
ROOMS = {"type": "object", "required": ["room", "on"], "properties": {
    "room": {"type": "string", "enum": ["kitchen", "hall"]}, "on": {"type": "boolean"}}}
TOOLS = [{"type": "function", "function": {"name": "switch_lamp", "description": "Switches a lamp.",
                                           "parameters": ROOMS}},
         {"type": "function", "function": {"name": "get_time", "description": "The time of day.",
                                           "parameters": {"type": "object", "properties": {}}}}]
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "the fox"}]
os.environ["EDGELLM_CACHE"] = "none"


def run(*options):
    """What `edgellm run` answers."""
    done = subprocess.run([EDGELLM, "run", TINY, *map(str, options), "--json"], check=True,
                          capture_output=True, timeout=60)
    return json.loads(done.stdout)


def check_call(case, name, arguments):
    """A call of one of TOOLS, as its schema has it."""
    if name == "get_time":
        case.assertEqual(arguments, {})
        return
    case.assertEqual((name, set(arguments)), ("switch_lamp", {"room", "on"}))
    case.assertIn(arguments["room"], ("kitchen", "hall"))
    case.assertIsInstance(arguments["on"], bool)


class Server:
    """kind: of the model, for make_tiny; options: of `edgellm serve`."""

    def __init__(self, *options, kind=()):
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir(parents=True)
        gguf = str(OUT / "tiny.gguf")
        subprocess.run([MAKE_TINY, gguf, *kind], check=True, timeout=60)
        subprocess.run([EDGELLM, "quantize", gguf, "-o", TINY, "-q"], check=True, timeout=60)
        self.process = subprocess.Popen(
            [EDGELLM, "serve", TINY, "--port", "0", "--calibrate", "20", *options],
            stdout=subprocess.PIPE, env={**os.environ, "EDGELLM_API_KEY": KEY})
        line = self.process.stdout.readline().decode()
        self.url = line.split(" at ")[1].split(" ")[0]

    def end(self):
        self.process.terminate()
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0
