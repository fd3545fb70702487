#!/usr/bin/env python3
"""The `edgellm` program with --rt and without rights: it says line by line what it could not get, and
where they are taken in the middle of an answer, "lost"; the text is the same.

    python3 tests/test_rights.py EDGELLM MAKE_TINY INJECT
    python3 tests/test_rights.py EDGELLM MAKE_TINY taken

The first has limits lowered, and the system's refusal in flight played by INJECT, the library of
tests/faults/inject.c.
The second takes them from outside, as an administrator would, from a user who has nothing but the
limits of /etc/security/limits.conf. Giving those needs a root that may raise limits, which those of
containers often may not; then it is told as skipped, exit code 77. Standard library only.
"""
import fcntl
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

NOBODY, SKIPPED, MIB = 65534, 77, 1 << 20
RTPRIO, NICE, MEMLOCK = resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE, resource.RLIMIT_MEMLOCK
SMALLEST_PIPE = 4096  # bytes; an answer of ANSWER tokens has more
ANSWER = ("-p", "the fox", "-n", "8000", "-s", "7", "-t", "1", "--ignore-eos", "-c", "8192", "-b", "16",
          "-j", "1")
TAKEN = "taken" in sys.argv[3:]
INJECT = os.path.abspath(sys.argv[3])
HOME = pathlib.Path(tempfile.mkdtemp(prefix="edgellm-rights-"))  # where nobody may read, too
EDGELLM, TM2 = str(HOME / "edgellm"), str(HOME / "long.tm2.bin")
os.environ["EDGELLM_CACHE"] = "none"


def setUpModule():
    unittest.addModuleCleanup(shutil.rmtree, HOME, ignore_errors=True)
    HOME.chmod(0o755)
    shutil.copy(sys.argv[1], EDGELLM)
    subprocess.run([os.path.abspath(sys.argv[2]), HOME / "long.gguf", "long"], check=True, timeout=60)
    subprocess.run([os.path.abspath(sys.argv[1]), "quantize", HOME / "long.gguf", "-o", TM2, "-q",
                    "--bits", "8", "--calibrate", "none"], check=True, timeout=60)
    os.chmod(TM2, 0o644)


def with_limits(limits):
    """To be done in the child: these, and no other rights."""
    def limit():
        for which, value in limits.items():
            resource.setrlimit(which, (value, value))
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
    return limit


def run(*more, **options):
    done = subprocess.run([EDGELLM, "run", TM2, *ANSWER, *more], capture_output=True, timeout=120, **options)
    if done.returncode != 0:
        raise AssertionError((more, done.stderr))
    return done


class Disturbed:
    """An answer in whose middle something is done; its errors go into a file."""

    def __init__(self, *more, **options):
        self.errors = tempfile.TemporaryFile(dir=HOME)
        self.process = subprocess.Popen([EDGELLM, "run", TM2, *ANSWER, *more], stdout=subprocess.PIPE,
                                        stderr=self.errors, **options)
        fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
        self.text = os.read(self.process.stdout.fileno(), 100)

    def take(self, *limits):
        for which in limits:
            resource.prlimit(self.process.pid, which, (0, 0))

    def end(self):
        self.text += self.process.stdout.read()
        self.process.stdout.close()
        code = self.process.wait(60)
        self.errors.seek(0)
        with self.errors as errors:
            return code, self.text, errors.read().decode()


class Case(unittest.TestCase):
    def check_lost(self, child, whole):
        code, text, errors = child.end()
        self.assertEqual((code, text), (0, whole), errors)
        return re.search(r"(?m)^rt .* \| lost\b", errors) is not None, errors


class Lowered(Case):
    def test_nothing_is_permitted(self):
        whole = run().stdout
        nothing = with_limits({RTPRIO: 0, NICE: 0, MEMLOCK: 0})
        done = run("--rt", preexec_fn=nothing)
        self.assertEqual(done.stdout, whole)
        lines = re.findall(r"(?m)^rt +not: (.*)$", done.stderr.decode())
        for begin in ("memory: not all is locked (", "SCHED_FIFO", "nice: refused (", "SCHED_DEADLINE: refused ("):
            self.assertTrue(any(line.startswith(begin) for line in lines), (begin, lines))
        self.assertRegex(done.stderr.decode(), r"(?m)^rt +1 thread on core \d+ \| 0\.0 of [\d.]+ MB locked"
                                               r" \| (nice \d+|SCHED_\w+):")
        told = json.loads(run("--rt", "--json", preexec_fn=nothing).stdout)
        self.assertEqual(told["tokens"], json.loads(run("--json").stdout)["tokens"])
        told = told["realtime"]
        self.assertEqual((told["locked_bytes"], told["chosen"]), (0, len(told["tries"]) - 1))
        for got in told["tries"][:-1]:
            self.assertIn("not permitted", got["refusal"])
            self.assertTrue(any(line.startswith(got["name"] + ": refused") for line in told["not"]), got)
        self.assertIsNone(told["tries"][-1]["refusal"])

    def test_memory_that_may_not_be_locked_later(self):
        """What is locked stays, and the answer goes on."""
        whole = run().stdout
        child = Disturbed("--rt")
        child.take(MEMLOCK)
        self.check_lost(child, whole)

    def test_refused_in_flight(self):
        """One of the changes of policy that lending makes is refused, as if rights were gone."""
        whole, mark = run().stdout, HOME / "mark"
        if "lending" not in run("--rt").stderr.decode():
            self.skipTest("nothing is lent here: what is refused in flight was not tried")
        for nth in (60, 100, 61, 101):  # behind those of the beginning
            mark.unlink(missing_ok=True)
            child = Disturbed("--rt", env=os.environ | {
                "LD_PRELOAD": INJECT, "EDGELLM_FAULT": f"policy:{nth}:1", "EDGELLM_FAULT_MARK": str(mark)})
            self.assertFalse(mark.exists())
            lost, errors = self.check_lost(child, whole)
            if mark.exists():
                self.assertTrue(lost, errors)
                self.assertRegex(errors, r"(?m)^rt +not: policy: lost \(Operation not permitted\)$")
                return
        self.fail("no change of policy was made in flight")


class Taken(Case):
    RIGHTS = {RTPRIO: 1, MEMLOCK: 64 * MIB}

    def test_by_an_administrator(self):
        user = with_limits(self.RIGHTS)
        whole = run().stdout
        told = run("--rt", preexec_fn=user).stderr.decode()
        self.assertRegex(told, r"(?m)^rt +1 thread on core \d+ \| ([\d.]+) of \1 MB locked \| ")
        for _ in range(5):  # which policy is the most even is measured
            child = Disturbed("--rt", preexec_fn=user)
            child.take(RTPRIO, MEMLOCK)
            lost, errors = self.check_lost(child, whole)
            if lost:
                self.assertRegex(errors, r"(?m)^rt +not: policy: lost \(Operation not permitted\)$")
                return
            self.assertNotIn("lending", errors)
        self.fail("it never lent any time: " + errors)


def may_give():
    """Can a user be given real-time rights by limits alone, and are they taken from outside?"""
    probe = subprocess.run([sys.executable, "-c",
                            f"import os, resource as r; r.setrlimit({RTPRIO}, (1, 1)); os.setuid({NOBODY}); "
                            "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"],
                           stderr=subprocess.DEVNULL, timeout=60)
    return os.geteuid() == 0 and probe.returncode == 0


if __name__ == "__main__":
    if TAKEN and not may_give():
        print("skipped: real-time rights cannot be given by limits here (root without CAP_SYS_RESOURCE, "
              "or no root)", file=sys.stderr)
        shutil.rmtree(HOME)
        sys.exit(SKIPPED)
    result = unittest.main(argv=sys.argv[:1], defaultTest="Taken" if TAKEN else "Lowered", verbosity=2,
                           exit=False).result
    sys.exit(not result.wasSuccessful() or (SKIPPED if result.skipped else 0))
