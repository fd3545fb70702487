#!/usr/bin/env python3
"""`edgellm bench --submit`: what the report holds, that docs/boards/README.md names all of it, and that nothing
in it names a machine, a user or a place.

    python3 tests/test_submit.py EDGELLM MAKE_TINY OUT_DIR SOURCE_DIR

Standard library only.
"""
import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import sys
import unittest

EDGELLM, MAKE_TINY = (os.path.abspath(path) for path in sys.argv[1:3])
OUT, ROOT = (pathlib.Path(path).absolute() for path in sys.argv[3:5])
HOME = OUT / "home" / "zaphod-the-user"
TM2 = HOME / "secret-folder" / "tiny.tm2.bin"
os.environ["EDGELLM_CACHE"] = "none"
USAGE, IO = 2, 3
REQUEST = ("--runs", "2", "--warmup", "0", "-p", "4", "-n", "3", "-j", "1")
SECRETS = {"serial": "10000000abcdef42", "mac": "b8:27:eb:12:34:56", "host": "heart-of-gold", "id": "5eed" * 8}
BOARD = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/serial-number": SECRETS["serial"] + "\0",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
                    f"Serial\t\t: {SECRETS['serial']}\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "proc/meminfo": "MemTotal:        8245248 kB\n",
    "proc/sys/kernel/hostname": SECRETS["host"] + "\n",
    "proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-2712\n",
    "proc/version": f"Linux version 6.6.31 (zaphod@{SECRETS['host']}) #1 SMP PREEMPT\n",
    "etc/machine-id": SECRETS["id"] + "\n",
    "sys/class/net/eth0/address": SECRETS["mac"] + "\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "2400000\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, timeout=120, **options)


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    TM2.parent.mkdir(parents=True)
    for path, text in BOARD.items():
        (OUT / "board" / path).parent.mkdir(parents=True, exist_ok=True)
        (OUT / "board" / path).write_text(text)
    run(MAKE_TINY, OUT / "tiny.gguf", check=True)
    run(EDGELLM, "quantize", OUT / "tiny.gguf", "-o", TM2, "-q", check=True)


def submit(path, *arguments, **options):
    return run(EDGELLM, "bench", TM2, *REQUEST, "--submit", path, *arguments, **options)


def keys(value, way=""):
    """(a.b, b) of all that is inside."""
    for key, inner in value.items():
        yield way + key, key
        if isinstance(inner, dict):
            yield from keys(inner, f"{way}{key}.")


class Submit(unittest.TestCase):
    def report(self, *arguments):
        path = HOME / "report.json"
        done = submit(path, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"decode ", done.stdout)
        return json.loads(path.read_text()), path.read_text()

    def test_of_this_machine(self):
        got, _ = self.report()
        info = json.loads(run(EDGELLM, "info", TM2, "--json").stdout)
        facts = json.loads(run(EDGELLM, "doctor", "--json").stdout)["facts"]
        self.assertEqual((got["kind"], got["format"], got["emulated"]), ("EdgeLLM board report", 1, False))
        for key in ("cpu_model", "cores_online", "governor", "memory_total_bytes", "page_bytes", "kernel_release",
                    "virtual_machine"):
            self.assertEqual(got["board"][key], facts[key], key)
        self.assertEqual(got["board"]["machine"], os.uname().machine)
        self.assertEqual(got["program"]["version"], facts["version"])
        self.assertEqual(got["measured"]["file_bytes"], info["file_bytes"])
        self.assertRegex(got["model"]["identity"], r"\A[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}\Z")
        measured = got["measured"]
        self.assertEqual((measured["runs"], measured["tokens"], measured["threads"]), (2, 3, 1))
        self.assertGreater(measured["decode_tok_s"], 0)
        self.assertGreater(measured["peak_rss"], 1 << 20)
        self.assertGreaterEqual(measured["jitter_ms"], 0)
        self.assertEqual(measured["token_ms"]["samples"], 6)
        self.assertIsNone(measured["token_ms"]["p99"])  # of six samples there is none
        self.assertGreater(measured["roofline"]["share"], 0)

    def test_of_a_board(self):
        got, _ = self.report("--root", OUT / "board")
        self.assertIs(got["emulated"], False)
        board = got["board"]
        self.assertEqual((board["name"], board["cpu_model"], board["governor"]),
                         ("Raspberry Pi 5 Model B Rev 1.0", "Cortex-A76", "ondemand"))
        self.assertEqual((board["memory_total_bytes"], board["kernel_release"]), (8245248 * 1024, "6.6.31+rpt-rpi-2712"))
        self.assertEqual(got["throttling"]["firmware_throttled_bits"], 0x50005)

    def test_an_emulated_processor_is_the_one_that_was_named(self):
        got, _ = self.report("--root", OUT / "board", "--emulated", "Nehalem")
        board = got["board"]
        self.assertIs(got["emulated"], True)
        self.assertEqual((board["cpu_vendor"], board["cpu_model"], board["cpu_features"]), (None, "Nehalem", None))
        self.assertEqual(board["name"], "Raspberry Pi 5 Model B Rev 1.0")

    def test_nothing_names_anybody(self):
        names = {pwd.getpwuid(os.getuid()).pw_name, socket.gethostname(), "zaphod", "secret-folder", str(OUT),
                 *SECRETS.values()} - {"root", ""}
        environment = {**os.environ, "USER": "zaphod", "HOME": str(HOME), "HOSTNAME": SECRETS["host"]}
        path = HOME / "report.json"
        for arguments in ((), ("--root", str(OUT / "board")), ("--rt",)):
            self.assertEqual(submit(path, *arguments, env=environment).returncode, 0)
            text = path.read_text()
            for name in names:
                self.assertNotRegex(text, rf"(?i)(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", arguments)
            self.assertNotIn("/", re.sub(r'"compiler": "[^"]*"', "", text).replace("GB/s", ""))

    def test_all_of_it_is_documented(self):
        got, _ = self.report("--root", OUT / "board")
        document = (ROOT / "docs" / "boards" / "README.md").read_text()
        told = set(re.findall(r"`([a-z0-9_.]+)`", document))
        for way, key in keys(got):
            if way.startswith("measured.conditions.") and way.count(".") > 2:
                continue  # as `edgellm bench --json` has them
            self.assertTrue(way in told or key in told, f"docs/boards/README.md: {way}")

    def test_whole_or_not_at_all(self):
        path = OUT / "kept.json"
        path.write_text("what was there")
        full = submit(path, "-c", "2")  # fails after the file was begun
        self.assertNotEqual(full.returncode, 0)
        self.assertEqual(path.read_text(), "what was there")
        self.assertEqual([p.name for p in OUT.glob("kept.json*")], ["kept.json"])
        self.assertEqual(submit(path).returncode, 0)  # as all outputs do: the new one takes its place
        self.assertEqual(json.loads(path.read_text())["format"], 1)
        done = submit(OUT / "no" / "folder" / "x.json")
        self.assertEqual((done.returncode, done.stdout), (IO, b""))
        self.assertRegex(done.stderr.decode(), r"\Aedgellm: [^\n]+\n\Z")

    def test_what_does_not_go_with_it(self):
        for arguments in (("--blocks", "2"), ("--load", "cpu"), ("--sessions", "2"), ("--csv", OUT / "x.csv"),
                          ("--prompt", "fox")):
            done = submit(OUT / "x.json", *arguments)
            self.assertEqual((done.returncode, done.stdout), (USAGE, b""), arguments)
            self.assertIn(b"--submit", done.stderr)
        done = run(EDGELLM, "bench", TM2, *REQUEST, "--emulated", "x")
        self.assertEqual(done.returncode, USAGE)
        self.assertFalse((OUT / "x.json").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
