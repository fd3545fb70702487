#!/usr/bin/env python3
"""Manual pages and completions (tools/manual.py) say what the programs say of themselves.

    python3 tests/test_manual.py OUT_DIR EDGELLM [EDGELLM-NAME...]

Pages are read by groff, completions by their shells, where these are installed. Standard library only.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

OUT = pathlib.Path(sys.argv[1]).absolute()
PROGRAMS = sys.argv[2:]
TOOL = pathlib.Path(__file__).parent.parent / "tools" / "manual.py"


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, **options).stdout


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    output(sys.executable, TOOL, OUT, *PROGRAMS)


def options_of(command):
    text = output(PROGRAMS[0], "help", command).partition("\noptions:\n")[2].partition("\nexamples:")[0]
    return re.findall(r"^  (?:-.,|   ) --([a-z0-9-]+)", text, re.MULTILINE)


def pages():
    return {path.stem.removeprefix("edgellm-"): path for path in OUT.glob("man1/edgellm-*.1")}


class Manual(unittest.TestCase):
    def test_every_option_of_every_command(self):
        for command in ("run", "chat", "info", "tokenize", "perplexity", "bench", "certify", "doctor"):
            page = pages()[command].read_text().replace("\\-", "-")
            names = options_of(command)
            self.assertGreater(len(names), 3)
            self.assertEqual(re.findall(r"\\fB--([a-z0-9-]+)\\fR", page), names)
            fish = (OUT / "fish/edgellm.fish").read_text()
            zsh = (OUT / "zsh/_edgellm").read_text()
            for name in names:
                self.assertIn(f"'__fish_seen_subcommand_from {command}'", fish)
                self.assertIn(f"-l {name} ", fish)
                self.assertIn(f"'--{name}", zsh)

    def test_programs_that_edgellm_starts(self):
        for program in PROGRAMS[1:]:
            self.assertIn(pathlib.Path(program).name.removeprefix("edgellm-"), pages())

    @unittest.skipUnless(shutil.which("groff"), "groff is not installed")
    def test_pages_are_read_without_a_warning(self):
        for path in [*pages().values(), OUT / "man1/edgellm.1"]:
            done = subprocess.run(["groff", "-man", "-Kutf8", "-Tutf8", "-ww", path], capture_output=True,
                                  text=True, timeout=60)
            self.assertEqual(done.stderr, "", path)
            self.assertIn("Commands", done.stdout)

    def completed(self, *words):
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _edgellm; ' \
                 'printf "%s\\n" "${COMPREPLY[@]}"'
        return output("bash", "-c", script, "bash", OUT / "bash/edgellm", *words).split()

    def test_bash_completes(self):
        self.assertEqual(self.completed("edgellm", "to"), ["tokenize"])
        self.assertEqual(self.completed("edgellm", "run", "m", "--prompt-f"), ["--prompt-file"])
        self.assertEqual(self.completed("edgellm", "info", "mod"), [])
        self.assertEqual(self.completed("edgellm", "help", "perp"), ["perplexity"])

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_reads_it(self):
        output("zsh", "-n", OUT / "zsh/_edgellm")

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish_reads_it(self):
        output("fish", "-n", OUT / "fish/edgellm.fish")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
